/** The status strip: which model or shard each slot speaks of, what its one button does, and what its line says. Pure. */
import type { CorpusStatus } from '../api.ts';
import type { ModelStatus } from '../engine/models.ts';
import { formatBytes, formatCount, formatMemory, plural } from './text/format.ts';
import { visibleLine } from './text/display.ts';

/** `ready`: in use. `busy`: something is under way. `idle`: could be had. `problem`: needs the person's eye. */
export type Tone = 'ready' | 'busy' | 'idle' | 'problem';

/** What a click does; the page maps it to the searcher. */
export type StatusAction =
  | { readonly kind: 'use' | 'unload' | 'cancel'; readonly id: string; readonly role: 'llm' | 'embedder'; readonly label: string }
  | { readonly kind: 'import' | 'pause'; readonly url: string; readonly label: string }
  | { readonly kind: 'open'; readonly label: string };

/** One state word for every row of every list, so that the strip, the panel and the library say the same. */
export const modelStates: Readonly<Record<ModelStatus['state'], string>> = {
  absent: 'Not loaded',
  downloading: 'Downloading',
  paused: 'Paused',
  stored: 'On this device',
  loading: 'Starting',
  ready: 'Ready',
  failed: 'Failed',
  unavailable: 'Not for this device',
};

const modelSources: Readonly<Record<ModelStatus['source'], string>> = {
  local: 'from beside this page',
  hub: 'from the model hub',
  stored: 'stored on this device',
  endpoint: 'your own server',
  none: 'no source reachable',
};

/** Which row a slot shows: the one in use or under way, else the one that failed or waits, else the one to propose. */
export function slotRow(rows: readonly ModelStatus[], role: 'llm' | 'embedder'): ModelStatus | null {
  const mine = rows.filter((row) => row.role === role);
  const inState = (...states: ModelStatus['state'][]): ModelStatus | undefined => mine.find((row) => states.includes(row.state));
  return (
    inState('downloading', 'loading') ??
    inState('ready') ??
    mine.find((row) => row.state === 'failed' && row.error !== null) ??
    mine.find((row) => row.recommended && row.state !== 'unavailable') ??
    inState('stored') ??
    inState('paused') ??
    inState('absent') ??
    null
  );
}

export function modelTone(row: ModelStatus): Tone {
  switch (row.state) {
    case 'ready':
      return 'ready';
    case 'downloading':
    case 'loading':
      return 'busy';
    case 'failed':
      return 'problem';
    case 'absent':
    case 'paused':
    case 'stored':
    case 'unavailable':
      return 'idle';
  }
}

/** Memory and features that a model needs, as short phrases. */
function needsOf(row: ModelStatus): string[] {
  if (row.source === 'endpoint') return [];
  const onGpu = row.needs.includes('webgpu');
  const memory = row.memoryMB > 0 ? [`needs ${formatMemory(row.memoryMB)} ${onGpu ? 'graphics memory' : 'memory'}`] : [];
  return [...memory, ...(onGpu ? ['WebGPU'] : []), ...(row.needs.includes('shader-f16') ? ['shader-f16'] : [])];
}

/** Size, need, source. */
export function modelFacts(row: ModelStatus): string[] {
  return [...(row.sizeBytes > 0 ? [formatBytes(row.sizeBytes)] : []), ...needsOf(row), modelSources[row.source]];
}

/** The one button of a model's row. `isMine`: this page started what is under way, so it can stop it. */
export function modelAction(row: ModelStatus, isMine: boolean): StatusAction | null {
  const action = (kind: 'use' | 'unload' | 'cancel', label: string): StatusAction => ({ kind, id: row.id, role: row.role, label });
  switch (row.state) {
    case 'absent':
      return row.source === 'none' ? null : action('use', row.source === 'local' || row.source === 'endpoint' ? 'Load' : 'Download and load');
    case 'stored':
      return action('use', 'Load');
    case 'paused':
      return action('use', 'Resume');
    case 'failed':
      return action('use', 'Retry');
    case 'downloading':
    case 'loading':
      return isMine ? action('cancel', 'Cancel') : null;
    case 'ready':
      return action('unload', 'Unload');
    case 'unavailable':
      return null;
  }
}

/** By download size, smallest first; what this device cannot run comes last. */
export function sortedRows(rows: readonly ModelStatus[], role: 'llm' | 'embedder'): ModelStatus[] {
  const last = (row: ModelStatus): number => (row.state === 'unavailable' ? 1 : 0);
  return rows.filter((row) => row.role === role && row.source !== 'endpoint').sort((a, b) => last(a) - last(b) || a.sizeBytes - b.sizeBytes || a.label.localeCompare(b.label, 'en'));
}

export interface LibrarySlot {
  readonly tone: Tone;
  readonly name: string;
  readonly state: string;
  readonly facts: readonly string[];
  /** The corpus whose progress is shown. */
  readonly busy: CorpusStatus | null;
  readonly problem: CorpusStatus | null;
  readonly action: StatusAction | null;
}

/** All corpora in one slot. `firstShard`: address of the demo shard, offered while the library is empty. `mine`: addresses that this page is importing. */
export function librarySlot(corpora: readonly CorpusStatus[], firstShard: string, mine: ReadonlySet<string>): LibrarySlot {
  const complete = corpora.filter((corpus) => corpus.state === 'complete');
  const busy = corpora.find((corpus) => corpus.state === 'importing') ?? null;
  const waiting = corpora.find((corpus) => corpus.kind === 'shard' && (corpus.state === 'partial' || corpus.state === 'failed')) ?? null;
  const problem = corpora.find((corpus) => corpus.error !== null && corpus.state !== 'importing') ?? null;
  const sum = (of: (corpus: CorpusStatus) => number): number => complete.reduce((total, corpus) => total + of(corpus), 0);
  const embedded = sum((corpus) => corpus.embedded);
  const passages = sum((corpus) => corpus.passages);
  const facts = complete.length === 0 ? [] : [plural(passages, 'passage'), `${embedded === passages ? 'all' : embedded === 0 ? 'none' : formatCount(embedded)} with vectors`, formatBytes(sum((corpus) => corpus.bytes))];
  const names = complete.map((corpus) => (corpus.kind === 'own' ? 'Your documents' : visibleLine(corpus.name)));
  const name = names.length > 2 ? `${names[0] ?? ''} and ${names.length - 1} more` : names.join(' and ');
  if (busy !== null) {
    const action: StatusAction | null = mine.has(busy.sourceUrl) ? { kind: 'pause', url: busy.sourceUrl, label: 'Pause' } : null;
    return { tone: 'busy', name: visibleLine(busy.name), state: 'Importing', facts: [], busy, problem: null, action };
  }
  if (waiting !== null && complete.length === 0) {
    const action: StatusAction = { kind: 'import', url: waiting.sourceUrl, label: 'Resume' };
    return { tone: problem === null ? 'idle' : 'problem', name: visibleLine(waiting.name), state: problem === null ? 'Paused' : 'Interrupted', facts: [formatBytes(waiting.bytes)], busy: null, problem, action };
  }
  if (complete.length === 0) {
    return { tone: 'idle', name: 'No shard yet', state: 'Empty', facts: ['the demo shard is small and lies beside this page'], busy: null, problem, action: { kind: 'import', url: firstShard, label: 'Import' } };
  }
  return { tone: problem === null ? 'ready' : 'problem', name, state: 'Ready', facts, busy: null, problem, action: { kind: 'open', label: 'Open library' } };
}
