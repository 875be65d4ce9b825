/** Learning on this device as the page sees it: what was learned, what the person said about answers, the profile. Signals and calls, no markup. */
import { signal } from '@preact/signals';
import type { Learning, LearningStatus } from '../api.ts';
import { abortError, AppError, isAbort } from '../errors.ts';
import type { ArchiveCell } from '../learning/archive.ts';
import type { Profile } from '../learning/profile.ts';
import type { PartId } from '../learning/record.ts';

type ExportedFile = Awaited<ReturnType<Learning['exports']>>[number];

export interface LearningOptions {
  readonly learning: Learning;
  readonly report: (error: unknown) => void;
}

export function createLearning({ learning, report }: LearningOptions) {
  const learned = signal<LearningStatus | null>(null);
  const learningError = signal('');
  const exported = signal<readonly ExportedFile[] | null>(null);
  const archive = signal<readonly ArchiveCell[]>([]);
  const profile = signal<Profile | null>(null);
  let iterating: AbortController | null = null;

  const stopWatching = learning.watch((status) => {
    learned.value = status;
  });

  /** What fails is said where it was asked for; true if it went well. */
  async function attempt(work: () => Promise<unknown>): Promise<boolean> {
    learningError.value = '';
    try {
      await work();
      return true;
    } catch (error) {
      if (isAbort(error)) return false;
      if (error instanceof AppError) learningError.value = error.message;
      else report(error);
      return false;
    }
  }

  return {
    learned, learningError, exported, archive, profile,
    async iterate(): Promise<void> {
      if (iterating !== null) return;
      iterating = new AbortController();
      const { signal: stopped } = iterating;
      await attempt(() => learning.startIteration({}, stopped, () => undefined));
      iterating = null;
    },
    stopIterating: (): void => iterating?.abort(abortError()),
    enablePart: (part: PartId, on: boolean): Promise<boolean> => attempt(() => learning.enable(part, on)),
    rollBackPart: (part: PartId): Promise<boolean> => attempt(() => learning.rollBack(part)),
    removePart: (part: PartId | 'all'): Promise<boolean> =>
      attempt(async () => {
        await learning.remove(part);
        exported.value = null;
      }),
    removeLesson: (text: string): Promise<boolean> => attempt(() => learning.removeLesson(text)),
    confirmAnswer: (runId: string, answer: string | null): Promise<boolean> => attempt(() => learning.confirmAnswer(runId, answer)),
    rateAnswer: (runId: string, rating: number, text: string): Promise<boolean> => attempt(() => learning.rate(runId, rating, text)),
    recordEdit: (edit: Parameters<Learning['recordEdit']>[0]): Promise<boolean> => attempt(() => learning.recordEdit(edit)),
    makeExports: (): Promise<boolean> =>
      attempt(async () => {
        exported.value = await learning.exports();
      }),
    readArchive: (): Promise<boolean> =>
      attempt(async () => {
        archive.value = await learning.archive();
      }),
    readProfile: (): Promise<boolean> =>
      attempt(async () => {
        profile.value = await learning.profile();
      }),
    saveProfile: (next: Profile): Promise<boolean> =>
      attempt(async () => {
        await learning.setProfile(next);
        profile.value = next;
      }),
    deleteProfile: (): Promise<boolean> =>
      attempt(async () => {
        await learning.clearProfile();
        profile.value = await learning.profile();
      }),
    stopLearning(): void {
      stopWatching();
      iterating?.abort(abortError());
    },
  };
}
