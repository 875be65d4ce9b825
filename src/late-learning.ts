/** The learning service, loaded at its first use: the first screen needs nothing of it. */
import type { LearningService, LearningServiceDeps } from './learning-service.ts';

/** The same contract as `createLearningService`; a call waits until the code is there, and rejects where it cannot be fetched. */
export function lateLearningService(deps: LearningServiceDeps): LearningService {
  let loading: Promise<LearningService> | null = null;
  const service = (): Promise<LearningService> => {
    loading ??= import('./learning-service.ts').then(
      ({ createLearningService }) => createLearningService(deps),
      (error: unknown) => {
        loading = null;
        throw error;
      },
    );
    return loading;
  };
  return {
    watch(listener) {
      let stop: (() => void) | null = null;
      let isOver = false;
      void service().then((loaded) => {
        if (!isOver) stop = loaded.watch(listener);
      });
      return () => {
        isOver = true;
        stop?.();
      };
    },
    status: async () => (await service()).status(),
    startIteration: async (options, signal, onProgress) => (await service()).startIteration(options, signal, onProgress),
    enable: async (part, on) => (await service()).enable(part, on),
    rollBack: async (part) => (await service()).rollBack(part),
    remove: async (part) => (await service()).remove(part),
    removeLesson: async (text) => (await service()).removeLesson(text),
    archive: async () => (await service()).archive(),
    exports: async () => (await service()).exports(),
    profile: async () => (await service()).profile(),
    setProfile: async (profile) => (await service()).setProfile(profile),
    clearProfile: async () => (await service()).clearProfile(),
    confirmAnswer: async (runId, answer) => (await service()).confirmAnswer(runId, answer),
    rate: async (runId, rating, text) => (await service()).rate(runId, rating, text),
    recordEdit: async (edit) => (await service()).recordEdit(edit),
    forRun: async () => (await service()).forRun(),
  };
}
