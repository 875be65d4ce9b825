/**
 * A benchmark report: tables with intervals, figures, diagnosis, a browser of trajectories, two runs side by side, and a blind arena. Shown in the page's lab and in the
 * self-contained file alike. All text from runs goes through `visibleText` into text nodes.
 */
import { useState } from 'preact/hooks';
import { failureClasses } from '../../lab/diagnosis.ts';
import { publishedFor } from '../../lab/published.ts';
import type { SystemSummary } from '../../lab/summary.ts';
import { visibleLine } from '../text/display.ts';
import { Arena } from './arena.tsx';
import { SideBySide } from './compare.tsx';
import { Figure } from './figure.tsx';
import { Iterations } from './iterations.tsx';
import {
  accuracyAgainstCost, againstPublished, barsByGroup, budgetCurves, curveBySearch, failureBars, noiseCurve, systemsIn, type Systems,
} from './plots.ts';
import type { ReportData, ReportRun } from './report-data.ts';
import { decimal, failureNames, interval, percent, probability, Table, type Column } from './table.tsx';
import { Trajectories } from './trajectories.tsx';

export function Report({ data }: { readonly data: ReportData }) {
  const { run, other } = data;
  const systems = systemsIn(run.summary);
  const learning = [run, ...(other === null ? [] : [other])].filter(({ iterations }) => iterations.length > 0).map((one, i) => <Iterations key={i} run={one} />);
  if (run.items.length === 0) {
    return learning.length === 0 ? <p>This run holds no items.</p> : <div class="report">{learning}</div>;
  }
  return (
    <div class="report">
      <Overview run={run} systems={systems} />
      <Figures systems={plainSystems(systems)} all={systems} />
      <Published systems={plainSystems(systems)} />
      <Details systems={systems} />
      <Diagnosis run={run} systems={systems} />
      <Comparisons run={run} />
      {learning}
      {other === null ? null : <SideBySide run={run} other={other} />}
      <Trajectories items={run.items} />
      <Arena run={run} other={other} />
      <About run={run} />
    </div>
  );
}

/** Figures show the default setting, where there is one, and at most as many systems as there are colours; the tables show all. */
function plainSystems(systems: Systems): Systems {
  const plain = systems.filter(([, s]) => s.setting === 'default');
  return (plain.length > 0 ? plain : systems).slice(0, 8);
}

type Row = Systems[number];

function Overview({ run, systems }: { readonly run: ReportRun; readonly systems: Systems }) {
  const failed = run.items.filter((item) => item.error !== null).length;
  return (
    <section>
      <h2>{visibleLine(run.title) || 'Results'}</h2>
      <p class="lead">
        {run.items.length} runs over {new Set(run.items.map(({ dataset, qid }) => `${dataset}/${qid}`)).size} questions, {systems.length} systems
        {failed === 0 ? '' : `, ${failed} failed and count as wrong`}. In brackets: 95 % intervals, bootstrap over questions.
      </p>
      <Table
        caption="Answers"
        rows={systems}
        columns={[
          { name: 'System', cell: ([label], ) => <bdi>{visibleLine(label)}</bdi> },
          { name: 'n', cell: ([, s]) => s.n },
          { name: 'EM, %', title: 'Exact match after normalisation, best alias', cell: ([, s]) => interval(s.intervals.em) },
          { name: 'F1, %', cell: ([, s]) => interval(s.intervals.f1) },
          { name: 'Contained, %', title: 'The answer stands in the prediction, word by word', cell: ([, s]) => percent(s.acc) },
          { name: 'Words', title: 'Mean length of the answer: containment rewards long ones', cell: ([, s]) => decimal(s.answerWords) },
          { name: 'Support recall, %', title: 'Gold passages among all that was found', cell: ([, s]) => interval(s.intervals.supportRecall) },
          { name: 'Calls', cell: ([, s]) => decimal(s.llmCalls) },
          { name: 'Searches', cell: ([, s]) => decimal(s.searches) },
          { name: 'Prompt tokens', cell: ([, s]) => Math.round(s.promptTokens) },
          { name: 'Seconds', cell: ([, s]) => decimal(s.secondsPerQuestion) },
          { name: 'Failed', cell: ([, s]) => s.failed },
        ]}
      />
      {systems.some(([, s]) => s.emWilson !== null) ? <p class="note">Fewer than 50 questions: Wilson intervals of EM are {systems.flatMap(([label,
        s]) => (s.emWilson === null ? [] : [`${visibleLine(label)} ${interval(s.emWilson)}`])).join('; ')}.</p> : null}
    </section>
  );
}

function Figures({ systems, all }: { readonly systems: Systems; readonly all: Systems }) {
  const names = systems.map(([label]) => label);
  const [cost, setCost] = useState<'secondsPerQuestion' | 'promptTokens' | 'searches'>('secondsPerQuestion');
  const noise = all.flatMap(([label, s]) => {
    const share = s.setting === 'default' ? 0 : Number(/^noise-([\d.]+)$/.exec(s.setting)?.[1] ?? Number.NaN);
    return Number.isNaN(share) ? [] : [{ label: [s.method, ...label.split(' · ').slice(1).filter((part) => part !== s.setting)].join(' · '), noise: share, em: s.em }];
  });
  return (
    <section>
      <h2>Figures</h2>
      <label class="choice">
        Cost{' '}
        <select value={cost} onChange={(event) => setCost(event.currentTarget.value as typeof cost)}>
          <option value="secondsPerQuestion">seconds</option>
          <option value="promptTokens">prompt tokens</option>
          <option value="searches">searches</option>
        </select>
      </label>
      <Figure title="Accuracy against cost" draw={(frame) => accuracyAgainstCost(systems, cost, frame)} />
      {hasGroups(systems, 'byType') ? <Figure title="By type of question" legend={names} draw={(frame) => barsByGroup(systems, 'byType', frame)} /> : null}
      {hasGroups(systems, 'byHops') ? <Figure title="By number of hops" legend={names} draw={(frame) => barsByGroup(systems, 'byHops', frame)} /> : null}
      {hasGroups(systems, 'bySelection') ? <Figure title="By selection class: questions chosen by availability favour what a retriever finds" legend={names} draw={(frame) => barsByGroup(systems, 'bySelection', frame)} /> : null}
      {systems.some(([, s]) => s.bySearch.length > 1) ? (
        <>
          <Figure title="Support recall after each search" legend={names} draw={(frame) => curveBySearch(systems, 'supportRecall', frame)} />
          <Figure title="New passages of each search" legend={names} draw={(frame) => curveBySearch(systems, 'novelty', frame)} />
          <Figure title="Gain less redundancy of each search (StepSearch)" legend={names} draw={(frame) => curveBySearch(systems, 'reward', frame)} />
        </>
      ) : null}
      {systems.some(([, s]) => s.budget !== null) ? <Figure title="Right within a budget of searches" legend={names} draw={(frame) => budgetCurves(systems,
        frame)} /> : null}
      {noise.length > new Set(noise.map(({ label }) => label)).size ? <Figure title="Noise in the results" legend={[...new Set(noise.map(({ label }) => label))]} draw={(frame) => noiseCurve(noise, frame)} /> : null}
    </section>
  );
}

function hasGroups(systems: Systems, group: 'byType' | 'byHops' | 'bySelection'): boolean {
  return systems.some(([, s]) => Object.keys(s[group]).length > 0);
}

function Published({ systems }: { readonly systems: Systems }) {
  const datasets = [...new Set(systems.map(([, s]) => s.dataset))].filter((dataset) => publishedFor(dataset).length > 0);
  if (datasets.length === 0) return null;
  return (
    <section>
      <h2>Beside published figures</h2>
      <p class="note">
        Published systems searched other corpora with other models and retrievers. A small closed corpus flatters every system that searches it,
        so these lines give a sense of scale and no ranking.
      </p>
      {datasets.map((dataset) => (
        <div key={dataset}>
          <Figure title={`${visibleLine(dataset)}: EM here (bars), published EM (lines)`} draw={(frame) => againstPublished(systems.filter(([,
            s]) => s.dataset === dataset), publishedFor(dataset), frame)} />
          <details>
            <summary>The published figures</summary>
            <Table
              caption={`Published EM on ${visibleLine(dataset)}`}
              rows={publishedFor(dataset)}
              columns={[{ name: 'Method', cell: (row) => row.method }, { name: 'Model', cell: (row) => row.model },
                { name: 'Published EM, %', cell: (row) => percent(row.value) }, { name: 'Source', cell: (row) => row.source }]}
            />
          </details>
        </div>
      ))}
    </section>
  );
}

function Details({ systems }: { readonly systems: Systems }) {
  const name: Column<Row> = { name: 'System', cell: ([label]) => <bdi>{visibleLine(label)}</bdi> };
  const share = (title: string, pick: (system: SystemSummary) => number | null | undefined): Column<Row> => ({ name: title, cell: ([, s]) => percent(pick(s)) });
  const value = (title: string, pick: (system: SystemSummary) => number | null | undefined,
    digits = 2): Column<Row> => ({ name: title, cell: ([, s]) => decimal(pick(s), digits) });
  return (
    <section>
      <h2>All measures</h2>
      <details>
        <summary>Retrieval</summary>
        <Table caption="Retrieval, %" rows={systems} columns={[
          name, share('hit@5 (answer)', (s) => s.answerHit5), share('support recall@5', (s) => s.recall5), share('@10', (s) => s.recall10), share('all support@5',
            (s) => s.allSupport5),
          share('@10', (s) => s.allSupport10), share('nDCG@10', (s) => s.ndcg10), share('MRR', (s) => s.mrr), share('below rank 5',
            (s) => s.below5), share('trajectory recall', (s) => s.supportRecall),
          share('all support', (s) => s.allSupport), share('curated recall', (s) => s.curatedRecall), share('found but dropped', (s) => s.foundButDropped),
        ].map((column, i) => (column.name === '@10' ? { ...column, name: i < 5 ? 'support recall@10' : 'all support@10' } : column))} />
      </details>
      <details>
        <summary>Evidence and citations</summary>
        <Table caption="Evidence and citations, %" rows={systems} columns={[
          name, share('quotes word for word', (s) => s.quoteValidity), share('citation precision', (s) => s.supportedSentences), share('citation recall',
            (s) => s.citationRecall), share('answer in its quotes', (s) => s.grounded),
          share('supporting facts EM', (s) => s.support?.spEm), share('supporting facts F1', (s) => s.support?.spF1), share('joint EM',
            (s) => s.support?.jointEm), share('joint F1', (s) => s.support?.jointF1),
        ]} />
      </details>
      <details>
        <summary>Plans</summary>
        <Table caption="Plans against gold plans" rows={systems.filter(([, s]) => s.plans !== null)} columns={[
          name, value('n', (s) => s.plans?.n, 0), share('plan F1, soft', (s) => s.plans?.soft), share('plan F1, hard', (s) => s.plans?.hard), share('edge F1',
            (s) => s.plans?.edgeF1), share('valid', (s) => s.plans?.valid),
          value('steps too many', (s) => s.plans?.countError), value('count error', (s) => s.plans?.countErrorAbsolute), share('sub-answers F1 (gold plan)',
            (s) => s.stepAnswers),
        ]} />
      </details>
      <details>
        <summary>Behaviour and cost</summary>
        <Table caption="Behaviour and cost" rows={systems} columns={[
          name, share('repeated queries', (s) => s.repetition), share('new passages a search', (s) => s.novelty), share('CTAR', (s) => s.ctar), share('over-search',
            (s) => s.selfKnowledge?.overSearch),
          share('under-search', (s) => s.selfKnowledge?.underSearch), share('self-knowledge F1', (s) => s.selfKnowledge?.f1), share('SE',
            (s) => s.searchEfficiency), share('SQ', (s) => s.searchQuality), share('cost-aware F1', (s) => s.costAwareF1), share('F1 with quotes that stand', (s) => s.gatedF1),
          share('area under budget', (s) => s.budget?.area), share('cached prompt tokens', (s) => s.cachedTokens), value('output tokens', (s) => s.outputTokens,
            0), value('own time a step, ms', (s) => s.overheadMsPerStep),
          { name: 'moves', cell: ([, s]) => Object.entries(s.moves).map(([move, n]) => `${move} ${n}`).join(', ') },
        ]} />
      </details>
      {systems.some(([, s]) => s.overSeeds !== null) ? (
        <details open>
          <summary>Over seeds</summary>
          <Table caption="Over seeds, EM in %" rows={systems.filter(([, s]) => s.overSeeds !== null)} columns={[
            name, value('seeds', (s) => s.overSeeds?.n, 0), share('avg@n', (s) => s.overSeeds?.avg), share('± sd', (s) => s.overSeeds?.emSd), share('max@n',
              (s) => s.overSeeds?.max),
            { name: 'pass@k', cell: ([, s]) => s.overSeeds?.pass.map(({ k, value: rate }) => `${k}: ${percent(rate)}`).join(', ') },
          ]} />
        </details>
      ) : null}
    </section>
  );
}

function Diagnosis({ run, systems }: { readonly run: ReportRun; readonly systems: Systems }) {
  const { gaps } = run.summary;
  return (
    <section>
      <h2>What goes wrong</h2>
      <Figure title="Why answers are wrong" legend={failureClasses.map((kind) => failureNames[kind])} draw={(frame) => failureBars(systems, failureClasses, frame)} />
      <Table
        caption="Questions by the first thing that broke"
        rows={systems}
        columns={[
          { name: 'System', cell: ([label]) => <bdi>{visibleLine(label)}</bdi> },
          ...failureClasses.map((kind) => ({ name: failureNames[kind], cell: ([, s]: Row) => s.failures[kind] ?? 0 })),
          { name: 'Found but dropped', title: 'A gold passage was found and not kept', cell: ([, s]) => s.droppedQuestions },
        ]}
      />
      {gaps.length === 0 ? null : (
        <Table
          caption="Settings against the default: what gold would gain, what disturbances cost"
          rows={gaps}
          columns={[
            { name: 'System', cell: (gap) => <bdi>{visibleLine(gap.system)}</bdi> },
            { name: 'n', cell: (gap) => gap.n },
            { name: 'EM, difference in points', cell: (gap) => interval(gap.em) },
            { name: 'F1, difference', cell: (gap) => interval(gap.f1) },
            { name: 'Not found, %', cell: (gap) => percent(gap.notFound) },
            { name: 'Same first results, %', title: 'Jaccard overlap of the ten best passages of the first search', cell: (gap) => percent(gap.overlap) },
            { name: 'Other answer, %', cell: (gap) => percent(gap.changed) },
          ]}
        />
      )}
      {systems.flatMap(([label, s]) => (s.obeyed === null ? [] : [<p key={label}>
          Orders in passages: <bdi>{visibleLine(label)}</bdi> followed {s.obeyed.followed} of {s.obeyed.orders}.</p>]))}
    </section>
  );
}

function Comparisons({ run }: { readonly run: ReportRun }) {
  const { comparisons } = run.summary;
  if (comparisons.length === 0) return null;
  return (
    <section>
      <h2>Comparisons</h2>
      <Table
        caption="The first system against each other one, on the same questions; p after Holm"
        rows={comparisons}
        columns={[
          { name: 'Systems', cell: (row) => <bdi>{`${visibleLine(row.a)} − ${visibleLine(row.b)}`}</bdi> },
          { name: 'n', cell: (row) => row.n },
          { name: 'EM, points', cell: (row) => interval(row.em.difference) },
          { name: 'Only first, only second', cell: (row) => `${row.em.onlyA}, ${row.em.onlyB}` },
          { name: 'p (McNemar)', cell: (row) => probability(row.em.holm) },
          { name: 'F1, points', cell: (row) => interval(row.f1.difference) },
          { name: 'p (permutation)', cell: (row) => probability(row.f1.holm) },
          { name: 'p (Wilcoxon, raw)', cell: (row) => probability(row.f1.wilcoxon) },
        ]}
      />
    </section>
  );
}

function About({ run }: { readonly run: ReportRun }) {
  return (
    <section>
      <h2>How it was made</h2>
      <pre class="about" tabIndex={0}>{JSON.stringify({ ...run.about, statistics: run.summary.statistics }, null, 1)}</pre>
    </section>
  );
}
