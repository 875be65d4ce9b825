import { describe, expect, it } from 'vitest';
import type { CorpusStatus } from '../../../src/api.ts';
import type { ModelState, ModelStatus } from '../../../src/engine/models.ts';
import { AppError } from '../../../src/errors.ts';
import { librarySlot, modelAction, modelFacts, modelTone, slotRow, sortedRows } from '../../../src/ui/status.ts';

function row(id: string, change: Partial<ModelStatus> = {}): ModelStatus {
  return {
    id, role: 'llm', backend: 'wllama', label: id, note: '', licence: 'MIT', sizeBytes: 491_400_032, memoryMB: 750, needs: [], source: 'hub', state: 'absent', reason: '', error: null, progress: null,
    recommended: false, ...change,
  };
}

function corpus(id: string, change: Partial<CorpusStatus> = {}): CorpusStatus {
  return {
    id, kind: 'shard', name: id, language: 'en', licence: '', attribution: '', state: 'complete', documents: 10, passages: 100, embedded: 100, bytes: 1_000_000, embedder: 'minilm',
    sourceUrl: `http://page/${id}/`, progress: null, pausable: false, error: null, ...change,
  };
}

describe('slotRow', () => {
  it('shows what is under way before what is ready, what is ready before what failed, and what failed before what is proposed', () => {
    const proposed = row('a', { recommended: true });
    const failed = row('b', { state: 'failed', error: new AppError('engine/empty-output') });
    const ready = row('c', { state: 'ready' });
    const busy = row('d', { state: 'downloading' });
    const other = row('e', { role: 'embedder', state: 'ready' });
    expect(slotRow([other, proposed, failed, ready, busy], 'llm')?.id).toBe('d');
    expect(slotRow([other, proposed, failed, ready], 'llm')?.id).toBe('c');
    expect(slotRow([other, proposed, failed], 'llm')?.id).toBe('b');
    expect(slotRow([other, row('x', { state: 'stored' }), proposed], 'llm')?.id).toBe('a');
    expect(slotRow([other, row('x', { state: 'stored' })], 'llm')?.id).toBe('x');
    expect(slotRow([other], 'llm')).toBeNull();
    expect(slotRow([row('u', { state: 'unavailable', recommended: true })], 'llm')).toBeNull();
  });
});

describe('modelAction', () => {
  const cases: readonly (readonly [ModelState, string | null])[] = [
    ['absent', 'Download and load'],
    ['stored', 'Load'],
    ['paused', 'Resume'],
    ['failed', 'Retry'],
    ['downloading', 'Cancel'],
    ['loading', 'Cancel'],
    ['ready', 'Unload'],
    ['unavailable', null],
  ];
  it.each(cases)('%s offers %s', (state, label) => {
    expect(modelAction(row('a', { state }), true)?.label ?? null).toBe(label);
  });

  it('does not offer to cancel what this page did not begin', () => {
    expect(modelAction(row('a', { state: 'downloading' }), false)).toBeNull();
  });

  it('calls a copy beside the page a load, not a download', () => {
    expect(modelAction(row('a', { source: 'local' }), false)?.label).toBe('Load');
    expect(modelAction(row('a', { source: 'none' }), false)).toBeNull();
  });
});

describe('facts and order', () => {
  it('tells size, need and source', () => {
    expect(modelFacts(row('a'))).toEqual(['491 MB', 'needs 750 MB memory', 'from the model hub']);
    expect(modelFacts(row('a', { needs: ['webgpu', 'shader-f16'], memoryMB: 1629.75 }))).toEqual(['491 MB', 'needs 1.6 GB graphics memory', 'WebGPU', 'shader-f16', 'from the model hub']);
    expect(modelFacts(row('endpoint', { source: 'endpoint', sizeBytes: 0, memoryMB: 0 }))).toEqual(['your own server']);
  });

  it('sorts by size, with what cannot run here last', () => {
    const rows = [row('big', { sizeBytes: 3 }), row('small', { sizeBytes: 1 }), row('tiny', { sizeBytes: 0.5, state: 'unavailable' }), row('own', { source: 'endpoint' }), row('e', { role: 'embedder' })];
    expect(sortedRows(rows, 'llm').map((item) => item.id)).toEqual(['small', 'big', 'tiny']);
  });

  it('shows a failure as a problem', () => {
    expect(modelTone(row('a', { state: 'failed' }))).toBe('problem');
  });
});

describe('librarySlot', () => {
  const demo = 'http://page/shards/demo/';

  it('offers the demo shard while there is nothing', () => {
    expect(librarySlot([], demo, new Set())).toMatchObject({ tone: 'idle', action: { kind: 'import', url: demo, label: 'Import' } });
  });

  it('can pause only the import that this page runs', () => {
    const importing = corpus('a', { state: 'importing' });
    expect(librarySlot([importing], demo, new Set()).action).toBeNull();
    expect(librarySlot([importing], demo, new Set([importing.sourceUrl])).action).toMatchObject({ kind: 'pause', url: importing.sourceUrl });
  });

  it('resumes what is partial and shows why it stopped', () => {
    expect(librarySlot([corpus('a', { state: 'partial' })], demo, new Set())).toMatchObject({ tone: 'idle', state: 'Paused', action: { kind: 'import', label: 'Resume' } });
    const broken = corpus('a', { state: 'partial', error: new AppError('shard/checksum', { part: 'p' }) });
    expect(librarySlot([broken], demo, new Set())).toMatchObject({ tone: 'problem', problem: broken });
  });

  it('adds up what can be searched', () => {
    const slot = librarySlot([corpus('Demo'), corpus('own', { kind: 'own', passages: 20, embedded: 5 }), corpus('x', { state: 'partial', passages: 999 })], demo, new Set());
    expect(slot.name).toBe('Demo and Your documents');
    expect(slot.facts[0]).toBe('120 passages');
    expect(slot.facts[1]).toBe('105 with vectors');
    expect(slot.tone).toBe('ready');
  });
});
