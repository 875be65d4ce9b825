/** The corpus worker: serves `CorpusWorkerApi` over one store, one library and one set of model files. */
import { kernelBinaries } from 'virtual:foray-kernel';
import { browserNet, createModelFiles } from '../src/corpus/download.ts';
import { createTabChannel } from '../src/corpus/import.ts';
import type { BatchSearch } from '../src/corpus/kernel/batch.ts';
import { openKernel } from '../src/corpus/kernel/kernel.ts';
import { createLibrary } from '../src/corpus/library.ts';
import type { Library } from '../src/corpus/library.ts';
import { permittedLocks } from '../src/corpus/locks.ts';
import { createStore } from '../src/corpus/store.ts';
import type { StoreNotice } from '../src/corpus/store.ts';
import { vectorBudgetBytes } from '../src/corpus/vector-set.ts';
import type { CorpusWorkerApi } from '../src/corpus/worker-api.ts';
import { readEnvironment, requestComputeDevice } from '../src/engine/device.ts';
import { serve } from '../src/engine/serve.ts';

const locks = permittedLocks(navigator.locks);
const net = browserNet(self.location.origin);
const store = createStore({ onNotice: (notice: StoreNotice | null) => library.noticed(notice) });
const channel = createTabChannel(typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel('foray'));
// Compiled beside the opening of the word indexes; nothing waits for it but vectors.
const kernel = openKernel(kernelBinaries);
let loaded: Promise<BatchSearch> | null = null;
/** Loaded with the first batch or probe: the first screen has neither. */
const loadBatches = (): Promise<BatchSearch> =>
  (loaded ??= import('../src/corpus/kernel/batch.ts').then(({ createBatchSearch }) => createBatchSearch(kernel, () => requestComputeDevice(), () => performance.now())));
const batches: BatchSearch = { verdict: async () => (await loadBatches()).verdict(), search: async (...asked) => (await loadBatches()).search(...asked) };
const library: Library = createLibrary({ store, net, locks, channel, kernel, vectorBudgetBytes: vectorBudgetBytes(readEnvironment().memoryGiB) }, batches);
const models = createModelFiles(store, net, locks);

serve<CorpusWorkerApi>({
  watch: (_input, call) => library.watch(call.signal),
  library: () => library.snapshot(),
  search: ({ request, vector }, call) => library.search(request, vector, call.signal),
  searchMany: ({ asked }, call) => library.searchMany(asked, call.signal),
  passage: ({ id }) => library.passage(id),
  neighbours: ({ id }) => library.neighbours(id),
  frequencies: ({ terms }) => library.frequencies(terms),
  complete: ({ prefix, limit }) => library.complete(prefix, limit),
  importShard: async ({ url }, call) => ({ id: await library.importShard(url, call.signal, (progress) => call.progress(progress)) }),
  deleteCorpus: ({ id }) => library.deleteCorpus(id),
  addDocuments: ({ files }, call) => library.addDocuments(files, call.signal, (progress) => call.progress(progress)),
  deleteDocument: ({ id }) => library.deleteDocument(id),
  nextUnembedded: ({ embedder, dimensions, limit }) => library.nextUnembedded(embedder, dimensions, limit),
  storeVectors: (batch) => library.storeVectors(batch),
  probeVectors: () => batches.verdict(),
  async storage() {
    const available = await store.available().catch(() => false);
    const [estimate, persisted] = await Promise.all([
      navigator.storage?.estimate().catch(() => null) ?? null,
      navigator.storage?.persisted().catch(() => false) ?? false,
    ]);
    return { usedBytes: estimate?.usage ?? null, quotaBytes: estimate?.quota ?? null, persisted, available };
  },
  ensureModel: ({ model, base }, call) => models.ensure(model, base, call.signal, (progress) => call.progress(progress)),
  hasModel: ({ model }) => models.has(model),
  modelBlob: ({ id, path }) => models.blob(id, path),
  removeModel: ({ id }) => models.remove(id),
  storedModels: () => models.list(),
  appendRun: ({ id, label, startedAt, events }) => store.appendRun({ id, label, startedAt }, events),
  runs: () => store.runs(),
  run: ({ id }) => store.run(id),
  deleteRun: ({ id }) => store.deleteRun(id),
  saveCall: ({ run, key, call }) => store.saveCall(run, key, call),
  calls: ({ run }) => store.calls(run),
  setting: ({ name }) => store.setting(name),
  saveSetting: ({ name, value }) => store.saveSetting(name, value),
});
