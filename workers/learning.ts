/** The learning worker: serves `LearningWorkerApi`. Training runs here so that the page stays responsive; between two passes it looks for a stop. */
import { serve } from '../src/engine/serve.ts';
import { adapterEpochs } from '../src/learning/adapter.ts';
import { trainLogistic } from '../src/learning/logistic.ts';
import type { LearningWorkerApi } from '../src/learning/worker-api.ts';

const api: LearningWorkerApi = {
  async trainAdapter({ embedder, dimensions, examples, options }, call) {
    const epochs = adapterEpochs(embedder, dimensions, examples, options);
    for (let epoch = 1; ; epoch++) {
      const next = epochs.next();
      if (next.done === true) return next.value;
      call.progress({ epoch, of: options.epochs, loss: next.value });
      // A turn of the event loop: a stop message is read only then.
      await new Promise((resolve) => setTimeout(resolve));
      call.signal.throwIfAborted();
    }
  },
  trainLogistic: ({ features, examples }) => Promise.resolve(trainLogistic(features, examples).model),
};

serve(api);
