/**
 * Learning on this device (METHODS §8.1, §8.2): answers that were confirmed, iterations and how they went, the learned parts with their checks, files for training
 * elsewhere, the personal profile. Everything is off until a check accepted it, and everything can be deleted.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { LearnedPartStatus, LearningStatus } from '../../api.ts';
import type { Profile } from '../../learning/profile.ts';
import type { IterationRecord, PartCheck, PartId } from '../../learning/record.ts';
import type { App } from '../app.ts';
import { visibleLine, visibleText } from '../text/display.ts';
import { formatBytes, formatCount, plural } from '../text/format.ts';
import { ArchiveMap } from './archive-map.tsx';
import { ConfirmButton, Notice } from './controls.tsx';
import { PlotSeries, type Series } from './plot.tsx';
import '../styles/learning.css';

const parts: Readonly<Record<PartId, readonly [title: string, about: string]>> = {
  bank: ['Worked examples', 'Good runs of this device, shown to the model as examples for similar questions.'],
  lessons: ['Lessons', 'Short rules that the model wrote by comparing good and bad ways to the same answer; shown to it as advice when it plans and words searches.'],
  adapter: ['Query adapter', 'Moves the meaning of a query a little towards the passages that helped.'],
  selector: ['Passage selector', 'Puts passages first that are more likely to hold what is asked.'],
  gate: ['Search gate', 'Says whether one more search is worth it.'],
};
const metrics: Readonly<Record<PartCheck['metric'], string>> = { f1: 'F1', supportRecall: 'passages found', logLoss: 'log-likelihood' };
const stages = { sampling: 'Working through the questions', scoring: 'Weighing the ways', training: 'Training the parts', checking: 'Checking on answers held back' } as const;

export function LearningView({ app }: { readonly app: App }) {
  const status = app.learned.value;
  const heading = useRef<HTMLHeadingElement>(null);
  // This view comes later than others, so it takes the focus itself.
  useEffect(() => heading.current?.focus({ preventScroll: true }), []);
  return (
    <div class="page" data-testid="learning">
      <h1 ref={heading} tabIndex={-1}>
        Learning
      </h1>
      <p class="page-lead">From answers that you confirm, this device learns to search better. All of it stays here, nothing is used before a check found that it does no harm, and you can delete it.</p>
      {app.learningError.value === '' ? null : <Notice tone="bad">{app.learningError.value}</Notice>}
      {status === null ? <p class="working">Reading</p> : <Learned app={app} status={status} />}
      <ProfilePanel app={app} />
    </div>
  );
}

function Learned({ app, status }: { readonly app: App; readonly status: LearningStatus }) {
  const { running } = status;
  return (
    <>
      <section class="panel" aria-labelledby="confirmed-heading">
        <h2 id="confirmed-heading">Answers you confirmed</h2>
        <p class="figures">
          {plural(status.confirmed.length, 'answer')}, {plural(status.edits, 'change')} to steps, {plural(status.ratings, 'rating')}, {plural(status.trajectories, 'kept run')}
        </p>
        {status.confirmed.length === 0 ? <p class="empty">Confirm or correct an answer below it, and it appears here. A handful is needed to begin.</p> : null}
        {status.confirmed.length === 0 ? null : (
          <details class="more">
            <summary>Show them</summary>
            <ul class="rows">
              {status.confirmed.map((item) => (
                <li key={item.runId} class="library-row">
                  <div class="library-main">
                    <p>
                      <bdi>{visibleLine(item.question)}</bdi>
                    </p>
                    <p class="slot-facts">
                      <bdi>{visibleLine(item.answer)}</bdi>
                    </p>
                  </div>
                  <div class="library-buttons">
                    <ConfirmButton label="Withdraw" what={`the answer ${visibleLine(item.answer)}`} onConfirm={() => void app.confirmAnswer(item.runId, null)} />
                  </div>
                </li>
              ))}
            </ul>
          </details>
        )}
        {running === null ? (
          <div class="row">
            <button type="button" class="button button-primary" data-testid="iterate" disabled={status.confirmed.length === 0} onClick={() => void app.iterate()}>
              Learn from them
            </button>
            <p class="section-note">Every question is worked through several times. It can be stopped and gone on with.</p>
          </div>
        ) : (
          <div class="row row-grow">
            <div class="progress">
              <progress aria-label={stages[running.stage]} value={running.done} max={Math.max(1, running.total)} />
              <p class="progress-text">
                <span>{stages[running.stage]}</span>
                <bdi class="progress-item">{visibleLine(running.label)}</bdi>
                <span class="figures">
                  {formatCount(running.done)} of {formatCount(running.total)}
                </span>
              </p>
            </div>
            <button type="button" class="button button-plain" onClick={() => app.stopIterating()}>
              Stop
            </button>
          </div>
        )}
      </section>
      <section class="panel" aria-labelledby="parts-heading">
        <h2 id="parts-heading">Learned parts</h2>
        <ul class="rows">
          {status.parts.map((part) => (
            <PartRow key={part.part} app={app} part={part} rules={part.part === 'lessons' ? status.lessons : []} />
          ))}
        </ul>
      </section>
      <Iterations iterations={status.iterations} />
      <Archive app={app} trajectories={status.trajectories} />
      <Exports app={app} />
      <section class="panel" aria-labelledby="forget-heading">
        <h2 id="forget-heading">Forget</h2>
        <div class="row">
          <ConfirmButton label="Delete" what="everything learned, with confirmed answers, changes and ratings" onConfirm={() => void app.removePart('all')} />
          <p class="section-note">All parts, kept runs, iterations, confirmed answers, changes and ratings. The profile stays.</p>
        </div>
      </section>
    </>
  );
}

function checkText(check: PartCheck): string {
  const figure = (value: number | null): string => (value === null ? '–' : value.toFixed(3));
  const [mean, low, high] = check.difference ?? [null, null, null];
  const interval = mean === null ? 'too few to tell' : `${mean >= 0 ? '+' : ''}${figure(mean)}, from ${figure(low)} to ${figure(high)}`;
  return `${metrics[check.metric]}: ${figure(check.before)} before, ${figure(check.after)} after (${interval}), on ${plural(check.heldBack, 'example')} held back`;
}

function PartRow({ app, part, rules }: { readonly app: App; readonly part: LearnedPartStatus; readonly rules: readonly string[] }) {
  const [title, about] = parts[part.part];
  const { check } = part;
  return (
    <li class="library-row" data-testid="part" data-part={part.part}>
      <div class="library-main">
        <p class="library-name">
          <span>{title}</span>
          <span class={`tag ${part.enabled ? 'tag-strong' : ''}`}>{part.version === 0 ? (check === null ? 'nothing learned yet' : 'not accepted') : part.enabled ? 'in use' : 'off'}</span>
        </p>
        <p class="slot-facts">{about}</p>
        {check === null ? null : (
          <>
            <p class="slot-facts figures">{checkText(check)}</p>
            <p class="slot-facts">
              {check.accepted ? 'Accepted' : 'Refused'}: <bdi>{visibleLine(check.reason)}</bdi>
            </p>
          </>
        )}
        {rules.length === 0 ? null : (
          <ul class="rows" aria-label="Lessons">
            {rules.map((rule) => (
              <li key={rule} class="library-row" data-testid="lesson">
                <p class="library-main">
                  <bdi>{visibleLine(rule)}</bdi>
                </p>
                <div class="library-buttons">
                  <ConfirmButton label="Delete" what={`the lesson ${visibleLine(rule)}`} onConfirm={() => void app.removeLesson(rule)} />
                </div>
              </li>
            ))}
          </ul>
        )}
      </div>
      <div class="library-buttons">
        {part.version === 0 ? null : (
          <label class="option">
            <input type="checkbox" checked={part.enabled} onChange={(event) => void app.enablePart(part.part, event.currentTarget.checked)} />
            <span>
              Use it<span class="visually-hidden">: {title}</span>
            </span>
          </label>
        )}
        {part.canRollBack ? (
          <button type="button" class="button button-quiet" onClick={() => void app.rollBackPart(part.part)}>
            Back to the version before<span class="visually-hidden"> of {title}</span>
          </button>
        ) : null}
        {check === null && part.version === 0 ? null : <ConfirmButton label="Delete" what={title} onConfirm={() => void app.removePart(part.part)} />}
      </div>
    </li>
  );
}

/** Scores on the questions held back, and the effective number of ways. */
function seriesOf(iterations: readonly IterationRecord[]): readonly Series[] {
  type Value = (record: IterationRecord) => number | null | undefined;
  const of = (label: string, value: Value): Series => ({ label, values: iterations.map((record) => value(record) ?? null) });
  return [
    of('Exact', (record) => record.dev?.em),
    of('F1', (record) => record.dev?.f1),
    of('Passages found', (record) => record.dev?.supportRecall),
    of('Effective share of ways', (record) => (record.meanEss === null ? null : record.meanEss / Math.max(1, record.trajectories))),
  ];
}

function Iterations({ iterations }: { readonly iterations: readonly IterationRecord[] }) {
  if (iterations.length === 0) return null;
  const percent = (value: number | null | undefined): string => (value === null || value === undefined ? '–' : `${(value * 100).toFixed(1)} %`);
  return (
    <section class="panel" aria-labelledby="iterations-heading">
      <h2 id="iterations-heading">Iterations</h2>
      <PlotSeries series={seriesOf(iterations)} label="Scores on questions held back, by iteration" />
      <div class="table-scroll" role="region" aria-label="Iterations in a table" tabIndex={0}>
        <table class="figures iterations">
          <thead>
            <tr>
              {['Iteration', 'Questions', 'Exact', 'F1', 'Passages found', 'Effective ways', 'Evidence gain', 'Accepted'].map((name) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {iterations.map((record) => (
              <tr key={record.iteration}>
                <th scope="row">{record.iteration}</th>
                <td>{record.train?.questions ?? 0}</td>
                <td>{percent(record.dev?.em)}</td>
                <td>{percent(record.dev?.f1)}</td>
                <td>{percent(record.dev?.supportRecall)}</td>
                <td>{record.meanEss === null ? '–' : `${record.meanEss.toFixed(2)} of ${record.trajectories}`}</td>
                <td>{record.meanEvidenceGain === null ? '–' : record.meanEvidenceGain.toFixed(2)}</td>
                <td>{record.checks.filter((check) => check.accepted).map((check) => parts[check.part][0]).join(', ') || 'none'}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="section-note">Evidence gain: how much likelier the right answer is with the passages than without, as a difference of log-likelihoods.</p>
    </section>
  );
}

/** Read anew whenever there are more or fewer kept runs. */
function Archive({ app, trajectories }: { readonly app: App; readonly trajectories: number }) {
  useEffect(() => void app.readArchive(), [trajectories]);
  return <ArchiveMap cells={app.archive.value} />;
}

const fileNotes: readonly (readonly [RegExp, string])[] = [
  [/^sft/, 'Whole runs with their weights, for supervised fine-tuning; retrieved text is marked not to be learned.'],
  [/^dpo/, 'Pairs of a better and a worse text, among them your changes.'],
  [/^grpo/, 'Groups of plans with their rewards.'],
  [/^rank/, 'Orders of passages.'],
  [/^runs?/, 'The runs themselves.'],
];

function Exports({ app }: { readonly app: App }) {
  const files = app.exported.value;
  return (
    <section class="panel" aria-labelledby="exports-heading">
      <h2 id="exports-heading">Files for training elsewhere</h2>
      <p class="slot-facts">They hold your questions, confirmed answers and passages of your library, your own documents included. They leave this device only if you save and pass them on.</p>
      <div class="row">
        <button type="button" class="button button-plain" onClick={() => void app.makeExports()}>
          {files === null ? 'Prepare the files' : 'Prepare them again'}
        </button>
      </div>
      {files === null ? null : files.length === 0 ? (
        <p class="empty">There is nothing to export yet.</p>
      ) : (
        <ul class="rows">
          {files.map((file) => (
            <li key={file.name} class="library-row" data-testid="export">
              <div class="library-main">
                <p class="library-name">
                  {file.name} <span class="slot-facts figures">{formatBytes(file.blob.size)}</span>
                </p>
                <p class="slot-facts">{fileNotes.find(([pattern]) => pattern.test(file.name))?.[1] ?? ''}</p>
                {file.problems.length === 0 ? null : (
                  <Notice tone="warn">
                    <ul>
                      {file.problems.slice(0, 5).map((problem, index) => (
                        <li key={index}>{visibleLine(problem)}</li>
                      ))}
                    </ul>
                  </Notice>
                )}
              </div>
              <div class="library-buttons">
                <SaveLink blob={file.blob} name={file.name} />
              </div>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function SaveLink({ blob, name }: { readonly blob: Blob; readonly name: string }) {
  const [url, setUrl] = useState<string | null>(null);
  useEffect(() => {
    const made = URL.createObjectURL(blob);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [blob]);
  return url === null ? null : (
    <a class="button button-plain" href={url} download={name}>
      Save<span class="visually-hidden"> {name}</span>
    </a>
  );
}

const choices = {
  depth: { label: 'Depth', options: [['quick', 'Quick'], ['normal', 'As set for the run'], ['thorough', 'Thorough']] },
  queryStyle: { label: 'Queries', options: [['as-written', 'As they are'], ['keywords', 'Keywords'], ['with-interests', 'Lean to my interests']] },
  stop: { label: 'When to stop', options: [['early', 'Early'], ['normal', 'As usual'], ['late', 'Late']] },
} as const;

function ProfilePanel({ app }: { readonly app: App }) {
  useEffect(() => void app.readProfile(), []);
  const profile = app.profile.value;
  return (
    <section class="panel" aria-labelledby="profile-heading">
      <h2 id="profile-heading">Your profile</h2>
      <p class="slot-facts">Off unless you switch it on. It is this text and nothing else, it changes how a question is pursued, and it is in none of the files above.</p>
      {profile === null ? <p class="working">Reading</p> : <ProfileForm key={JSON.stringify(profile)} app={app} profile={profile} />}
    </section>
  );
}

function ProfileForm({ app, profile }: { readonly app: App; readonly profile: Profile }) {
  const [draft, setDraft] = useState(profile);
  const [interests, setInterests] = useState(profile.interests.join(', '));
  const [said, setSaid] = useState('');
  const parsed = interests.split(',').map((word) => word.trim().slice(0, 40)).filter((word) => word !== '').slice(0, 12);
  return (
    <form
      class="profile"
      data-testid="profile"
      onSubmit={(event) => {
        event.preventDefault();
        void app.saveProfile({ ...draft, interests: parsed }).then((isSaved) => setSaid(isSaved ? 'Saved' : ''));
      }}
    >
      <label class="choice">
        <input type="checkbox" checked={draft.enabled} onChange={(event) => setDraft({ ...draft, enabled: event.currentTarget.checked })} />
        <span>Use the profile</span>
      </label>
      <label class="field-label" for="profile-about">
        About you, for yourself; no model reads it
      </label>
      <textarea id="profile-about" class="field" rows={3} dir="auto" maxLength={2000} value={visibleText(draft.about)} onInput={(event) => setDraft({ ...draft, about: event.currentTarget.value })} />
      <label class="field-label" for="profile-interests">
        Interests, separated by commas
      </label>
      <input id="profile-interests" class="field" type="text" dir="auto" autocomplete="off" maxLength={500} value={interests} onInput={(event) => setInterests(event.currentTarget.value)} />
      <div class="wishes">
        <Choice name="depth" value={draft.depth} onChoose={(depth) => setDraft({ ...draft, depth })} />
        <Choice name="queryStyle" value={draft.queryStyle} onChoose={(queryStyle) => setDraft({ ...draft, queryStyle })} />
        <Choice name="stop" value={draft.stop} onChoose={(stop) => setDraft({ ...draft, stop })} />
      </div>
      <div class="row">
        <button type="submit" class="button button-plain">
          Save the profile
        </button>
        <ConfirmButton label="Delete" what="the profile" onConfirm={() => void app.deleteProfile()} />
        <span class="said" role="status">
          {said}
        </span>
      </div>
    </form>
  );
}

interface ChoiceProps<N extends keyof typeof choices> {
  readonly name: N;
  readonly value: Profile[N];
  readonly onChoose: (value: Profile[N]) => void;
}

function Choice<N extends keyof typeof choices>({ name, value, onChoose }: ChoiceProps<N>) {
  const { label, options } = choices[name];
  return (
    <div class="wish">
      <label class="field-label" for={`profile-${name}`}>
        {label}
      </label>
      <select
        id={`profile-${name}`}
        class="field"
        value={value}
        onChange={(event) => {
          const chosen = options.find(([id]) => id === event.currentTarget.value);
          if (chosen !== undefined) onChoose(chosen[0] as Profile[N]);
        }}
      >
        {options.map(([id, text]) => (
          <option key={id} value={id}>
            {text}
          </option>
        ))}
      </select>
    </div>
  );
}
