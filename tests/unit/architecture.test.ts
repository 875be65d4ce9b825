/**
 * The house rules that neither the compiler nor the linter sees: who may import whom, who owns which outside thing, what stays pure, and that the error catalogue,
 * the code and docs/failures.md agree.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { errorCodes } from '../../src/errors.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Every file that is, or could be, committed. */
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8' })
  .split('\n')
  .filter((path) => path !== '' && existsSync(join(root, path)));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

interface Import {
  readonly target: string;
  readonly typeOnly: boolean;
  readonly names: readonly string[];
}

interface Module {
  readonly path: string;
  readonly imports: readonly Import[];
  /** Called or accessed names such as `fetch(`, `Date.now`, `navigator.gpu`, and bare globals. */
  readonly uses: ReadonlySet<string>;
  readonly lines: number;
}

const modules: readonly Module[] = files.filter((path) => /^(?:src|workers|tools)\/.*\.(?:ts|tsx|mjs)$/.test(path)).map(parse);
const inSrc = modules.filter(({ path }) => path.startsWith('src/'));

function parse(path: string): Module {
  const text = read(path);
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true, path.endsWith('.tsx') ? ts.ScriptKind.TSX : ts.ScriptKind.TS);
  const imports: Import[] = [];
  const uses = new Set<string>();
  const add = (specifier: string, typeOnly: boolean, names: readonly string[]): void => {
    const bare = specifier.split('?', 1)[0] ?? '';
    imports.push({ target: bare.startsWith('.') ? relative(root, join(root, dirname(path), bare)) : bare, typeOnly, names });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
      const clause = node.importClause;
      const bindings = clause?.namedBindings;
      const elements = bindings !== undefined && ts.isNamedImports(bindings) ? bindings.elements : [];
      const namesTypes = elements.length > 0 && clause?.name === undefined && elements.every((e) => e.isTypeOnly);
      const isTypeOnly = clause?.phaseModifier === ts.SyntaxKind.TypeKeyword || namesTypes;
      add(node.moduleSpecifier.text, isTypeOnly, elements.filter((e) => !e.isTypeOnly).map((e) => (e.propertyName ?? e.name).text));
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined && ts.isStringLiteral(node.moduleSpecifier)) {
      add(node.moduleSpecifier.text, node.isTypeOnly, []);
    } else if (ts.isCallExpression(node)) {
      const [first] = node.arguments;
      if (node.expression.kind === ts.SyntaxKind.ImportKeyword && first !== undefined && ts.isStringLiteral(first)) add(first.text, false, []);
      if (ts.isIdentifier(node.expression)) uses.add(`${node.expression.text}(`);
      const called = ts.isPropertyAccessExpression(node.expression) ? node.expression : null;
      if (called !== null && /^(?:globalThis|self|window)$/.test(called.expression.getText(source))) uses.add(`${called.name.text}(`);
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument) && ts.isStringLiteral(node.argument.literal)) {
      add(node.argument.literal.text, true, []);
    } else if (ts.isPropertyAccessExpression(node)) {
      const owner = ts.isPropertyAccessExpression(node.expression) ? node.expression.name.text : node.expression.getText(source);
      uses.add(`${owner}.${node.name.text}`);
      if (ts.isIdentifier(node.expression)) uses.add(node.expression.text);
    } else if (ts.isNewExpression(node) && ts.isIdentifier(node.expression)) {
      uses.add(`new ${node.expression.text}`);
      if (node.expression.text === 'Date' && (node.arguments?.length ?? 0) === 0) uses.add('new Date()');
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return { path, imports, uses, lines: text.split('\n').length };
}

/** `path: what` for every import that `isWrong`, as a list to read when the test is red. */
function importsWhere(among: readonly Module[], isWrong: (module: Module, imported: Import) => boolean): string[] {
  return among.flatMap((module) => module.imports.filter((imported) => isWrong(module, imported)).map((imported) => `${module.path} imports ${imported.target}`));
}

function layer(path: string): string {
  const [top = '', second = ''] = path.split('/');
  if (top !== 'src') return top;
  if (['csv.ts', 'errors.ts', 'progress.ts'].includes(second)) return 'base';
  if (path.startsWith('src/ui/lab/')) return 'report';
  if (['main.ts', 'offline.ts', 'launch.ts', 'ui'].includes(second)) return 'ui';
  if (second.endsWith('.ts')) return 'api';
  return second;
}

/** What each layer may import at run time; types may come from any layer at or below it and from its siblings. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  base: ['base'],
  corpus: ['corpus', 'base'],
  engine: ['engine', 'base'],
  agent: ['agent', 'base'],
  learning: ['learning', 'agent', 'corpus', 'engine', 'base'],
  lab: ['lab', 'agent', 'learning', 'corpus', 'engine', 'base'],
  api: ['api', 'agent', 'learning', 'lab', 'corpus', 'engine', 'base'],
  ui: ['ui', 'report', 'api', 'agent', 'base'],
  // The lab's part of the page works with the lab itself; it is loaded when it is opened.
  report: ['report', 'ui', 'api', 'lab', 'learning', 'agent', 'base'],
  workers: ['workers', 'corpus', 'engine', 'learning', 'base'],
  tools: ['tools', 'report', 'lab', 'learning', 'agent', 'corpus', 'engine', 'api', 'base'],
};
/** The pure part of the engine that the agent calls. */
const modelContract: ReadonlySet<string> = new Set(['src/engine/llm.ts', 'src/engine/constrained.ts']);
const alsoTypes: Readonly<Record<string, readonly string[]>> = {
  corpus: ['engine'],
  engine: ['corpus'],
  agent: ['corpus', 'engine'],
  ui: ['lab', 'learning', 'corpus', 'engine'],
  report: ['corpus', 'engine'],
  workers: ['tools'],
};

describe('dependency direction', () => {
  const local = (imported: Import): boolean => /^(?:src|workers|tools)\//.test(imported.target);

  it('follows ui → api → {agent, learning, lab} → {corpus, engine} → errors', () => {
    const wrong = importsWhere(modules, (module, imported) => {
      if (!local(imported)) return false;
      const from = layer(module.path);
      const to = layer(imported.target);
      if (from === 'agent' && modelContract.has(imported.target)) return false;
      return allowed[from]?.includes(to) !== true && !(imported.typeOnly && alsoTypes[from]?.includes(to) === true);
    });
    expect(wrong).toEqual([]);
  });

  it('lets the agent take from engine and corpus only types and the pure helpers of the language model contract', () => {
    const helpers = new Set(['complete', 'completeJson', 'firstJsonValue', 'jsonSchemaOf']);
    const agent = modules.filter(({ path }) => path.startsWith('src/agent/'));
    const wrong = importsWhere(
      agent,
      (_, imported) => /^src\/(?:corpus|engine)\//.test(imported.target) && !imported.typeOnly && !(modelContract.has(imported.target) && imported.names.every((name) => helpers.has(name))),
    );
    expect(wrong).toEqual([]);
  });

  it('lets nothing in src import a worker, a tool or a test', () => {
    expect(importsWhere(inSrc, (_, imported) => /^(?:workers|tools|tests|bench)\//.test(imported.target))).toEqual([]);
  });
});

describe('owners', () => {
  /** Outside package → the only files of src and workers that may import it. */
  const packages: readonly (readonly [RegExp, RegExp])[] = [
    [/^comlink$/, /^src\/engine\/(?:host|serve)\.ts$/],
    [/^idb$/, /^src\/corpus\/store\.ts$/],
    [/^@huggingface\/transformers|^onnxruntime/, /^src\/engine\/backends\/(?:transformers|onnx-embedder|cross-encoder|static-embedder|ort)\.ts$/],
    [/^@wllama\//, /^src\/engine\/backends\/wllama\.ts$/],
    [/^@mlc-ai\//, /^src\/engine\/backends\/webllm\.ts$/],
    [/^pdfjs-dist/, /^src\/corpus\/documents\/pdf\.ts$/],
    [/^@noble\//, /^src\/(?:corpus\/(?:download|shard)|agent\/calls)\.ts$/],
    [/^preact|^@preact\//, /^src\/(?:ui\/|main\.)/],
    [/^@observablehq\/plot/, /^src\/ui\/lab\/plots\.ts$/],
    [/^d3-dsv/, /^src\/csv\.ts$/],
    [/^node:/, /^$/],
  ];

  it.each(packages)('%s stays with its owner %s', (name, owner) => {
    const ours = modules.filter(({ path }) => !path.startsWith('tools/'));
    expect(importsWhere(ours, (module, imported) => name.test(imported.target) && !owner.test(module.path))).toEqual([]);
  });

  /** Global → the only files that may touch it. The page's clock, network and graphics device each have a door. */
  const globals: readonly (readonly [string, RegExp])[] = [
    ['fetch(', /^(?:src\/corpus\/(?:download|remote)\.ts|src\/page-files\.ts|src\/engine\/backends\/http\.ts|workers\/service-worker\.ts)$/],
    ['new XMLHttpRequest', /^$/],
    ['new WebSocket', /^$/],
    ['new EventSource', /^$/],
    ['navigator.sendBeacon', /^$/],
    ['navigator.gpu', /^(?:src\/engine\/device\.ts|workers\/.*)$/],
    ['new Date()', /^src\/(?:searcher|main)\.tsx?$/],
    ['Date.now', /^src\/(?:searcher|main)\.tsx?$/],
    ['Math.random', /^$/],
    ['new Worker', /^src\/(?:.*\/worker-api|engine\/device|corpus\/documents\/pdf)\.ts$/],
    ['indexedDB.open', /^$/],
    ['eval(', /^$/],
    ['new Function', /^$/],
  ];

  it.each(globals)('%s stays with its owner %s', (name, owner) => {
    const ours = modules.filter(({ path }) => !path.startsWith('tools/'));
    expect(ours.filter(({ path, uses }) => uses.has(name) && !owner.test(path)).map(({ path }) => path)).toEqual([]);
  });

  it('keeps the pure files pure: no page, no storage, no network, no clock, no chance', () => {
    const pure = inSrc.filter(({ path }) => path.startsWith('src/agent/') || (path.startsWith('src/learning/') && !path.endsWith('/worker-api.ts')) || /^src\/corpus\/(?:passages|lexical|vectors|links|search|shard)\.ts$/.test(path));
    const forbidden = ['window', 'document.body', 'document.createElement', 'document.querySelector', 'navigator', 'localStorage', 'sessionStorage', 'indexedDB', 'caches', 'performance', 'Date', 'new Date()', 'fetch(', 'setTimeout(', 'setInterval('];
    expect(pure.length).toBeGreaterThan(5);
    expect(pure.flatMap(({ path, uses }) => forbidden.filter((name) => uses.has(name)).map((name) => `${path} uses ${name}`))).toEqual([]);
  });
});

describe('files', () => {
  it('are at most 700 lines in src', () => {
    expect(inSrc.filter(({ lines }) => lines > 700).map(({ path, lines }) => `${path}: ${lines} lines`)).toEqual([]);
  });

  it('are named by what they hold', () => {
    expect(files.filter((path) => /(?:^|\/)(?:utils?|helpers?|misc|common)(?:\/|\.[a-z]+$)/i.test(path))).toEqual([]);
  });

  it('begin with a comment on what they own', () => {
    const bare = modules.filter(({ path }) => !path.endsWith('.d.ts') && !/^(?:\/\/ @ts-check\n|\/\/\/ <reference[^\n]*\n)*\/\*\*/.test(read(path)));
    expect(bare.map(({ path }) => path)).toEqual([]);
  });

  it('name no package registry and no path of one machine', () => {
    // Spelt in pieces so that this file does not name them itself.
    const words = [['npm', 'js'], ['py', 'pi\\.'], ['python', 'hosted'], ['maven', '\\.org'], ['repo1?\\.', 'maven'], ['yarn', 'pkg'], ['/ro', 'ot/'], ['/wo', 'rk/']];
    const pattern = new RegExp(words.map((pieces) => pieces.join('')).join('|'), 'i');
    const texts = files.filter((path) => /\.(?:ts|tsx|js|mjs|json|jsonl|md|html|css|sh|yml|yaml|npmrc|txt|webmanifest)$|(?:^|\/)\.ci\/run$/.test(path) && statSync(join(root, path)).size < 4e6);
    const wrong = texts.flatMap((path) => {
      const found = pattern.exec(read(path));
      return found === null ? [] : [`${path}: ${found[0]}`];
    });
    expect(wrong).toEqual([]);
  });
});

describe('errors', () => {
  const elsewhere = inSrc.filter(({ path }) => path !== 'src/errors.ts').map(({ path }) => read(path)).join('\n');

  it.each(errorCodes)('%s is thrown somewhere', (code) => {
    expect(elsewhere.includes(`'${code}'`)).toBe(true);
  });

  it('have a row each in docs/failures.md', () => {
    const rows = read('docs/failures.md').split('\n').filter((line) => line.startsWith('|'));
    expect(errorCodes.filter((code) => !rows.some((row) => row.includes(`\`${code}\``)))).toEqual([]);
  });

  it('are the only codes that docs/failures.md names', () => {
    const named = [...read('docs/failures.md').matchAll(/`((?:engine|device|embed|shard|download|storage|document|question|run|lab|learning|launch)\/[a-z0-9-]+)`/g)].map((match) => match[1] ?? '');
    expect(named.filter((code) => !(errorCodes as readonly string[]).includes(code))).toEqual([]);
  });

  it('name test files in docs/failures.md that are there', () => {
    const named = [...read('docs/failures.md').matchAll(/`(tests\/[\w./-]+)`/g)].map((match) => match[1] ?? '');
    expect(named.length).toBeGreaterThan(0);
    expect([...new Set(named)].filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });
});
