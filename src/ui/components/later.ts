/** The parts of the page that come when they are needed, or when nothing else is to do. */
import { lazy } from './lazy.tsx';

export const MethodPanel = lazy('the list of methods', async () => (await import('./method-panel.tsx')).MethodPanel);
export const PassageDialog = lazy('the passage', async () => (await import('./passage-dialog.tsx')).PassageDialog);
export const StatePanel = lazy('the state of the search', async () => (await import('./state-panel.tsx')).StatePanel);
export const TableView = lazy('the table', async () => (await import('./table-view.tsx')).TableView);
export const LearningView = lazy('what was learned', async () => (await import('./learning-view.tsx')).LearningView);
export const LibraryView = lazy('the library', async () => (await import('./library-view.tsx')).LibraryView);
export const TableScore = lazy('the comparison', async () => (await import('../lab/table-score.tsx')).TableScore);
export const LabView = lazy('the lab', async () => (await import('../lab/lab-view.tsx')).LabView);
export const StepEditor = lazy('the editor', async () => (await import('./step-editor.tsx')).StepEditor);

/** Rejects where one does not come; it is asked for again when it is drawn. */
export async function preloadLater(): Promise<void> {
  for (const part of [LibraryView, MethodPanel, PassageDialog, StatePanel, TableView, TableScore, StepEditor, LearningView]) await part.preload();
}
