/** Two runs on the same questions: what changed comes first. */
import { useState } from 'preact/hooks';
import type { ItemRecord } from '../../lab/record.ts';
import { compareItems, systemsOf } from '../../lab/summary.ts';
import { visibleLine } from '../text/display.ts';
import { failureNames, probability, Table } from './table.tsx';
import type { ReportRun } from './report-data.ts';

interface Pair {
  readonly a: ItemRecord;
  readonly b: ItemRecord;
}

/** 0: right only in the first run, 1: only in the second, 2: other words, equally right or wrong, 3: the same. */
function changeOf({ a, b }: Pair): 0 | 1 | 2 | 3 {
  if (a.scores.em > b.scores.em) return 0;
  if (a.scores.em < b.scores.em) return 1;
  return a.prediction === b.prediction ? 3 : 2;
}

const changes = ['Right only in the first', 'Right only in the second', 'Other answer', 'Same'] as const;

function pairsOf(run: ReportRun, other: ReportRun): readonly { readonly label: string; readonly pairs: readonly Pair[] }[] {
  const key = (item: ItemRecord): string => JSON.stringify([item.dataset, item.method, item.setting, item.seed, item.qid]);
  const ofOther = new Map(other.items.map((item) => [key(item), item]));
  return systemsOf(run.items).flatMap(({ label, items }) => {
    const pairs = items.flatMap((a) => {
      const b = ofOther.get(key(a));
      return b === undefined ? [] : [{ a, b }];
    });
    return pairs.length === 0 ? [] : [{ label, pairs: [...pairs].sort((x, y) => changeOf(x) - changeOf(y)) }];
  });
}

const listed = 100;

export function SideBySide({ run, other }: { readonly run: ReportRun; readonly other: ReportRun }) {
  const systems = pairsOf(run, other);
  const [label, setLabel] = useState(systems[0]?.label ?? '');
  const chosen = systems.find((system) => system.label === label);
  if (chosen === undefined) return <section><h2>Two runs</h2><p>The runs share no questions and methods.</p></section>;
  const { pairs } = chosen;
  const result = compareItems(pairs.map(({ a }) => a), pairs.map(({ b }) => b), { resamples: 2000 });
  const [mean = 0, low = 0, high = 0] = result.em.difference ?? [];
  return (
    <section>
      <h2>Two runs</h2>
      <p>
        First: <bdi>{visibleLine(run.title)}</bdi>. Second: <bdi>{visibleLine(other.title)}</bdi>.
      </p>
      <label class="choice">System{' '}
        <select value={label} onChange={(event) => setLabel(event.currentTarget.value)}>
          {systems.map((system) => <option key={system.label} value={system.label}>{visibleLine(system.label)}</option>)}
        </select>
      </label>
      <p>
        On {pairs.length} questions: EM first − second {(mean * 100).toFixed(1)} points ({(low * 100).toFixed(1)} to {(high * 100).toFixed(1)}),
        right only in the first {result.em.onlyA}, only in the
        second {result.em.onlyB}, McNemar p {probability(result.em.mcnemar)}.
      </p>
      <Table
        caption={`Changed questions first${pairs.length > listed ? `, ${listed} of ${pairs.length}` : ''}`}
        rows={pairs.slice(0, listed)}
        columns={[
          { name: 'Question', cell: ({ a }) => <bdi>{visibleLine(a.question)}</bdi> },
          { name: 'Change', cell: (pair) => <span class={`change change-${changeOf(pair)}`}>{changes[changeOf(pair)]}</span> },
          { name: 'Gold', cell: ({ a }) => <bdi>{visibleLine(a.answers[0] ?? 'none')}</bdi> },
          { name: 'First', cell: ({ a }) => <bdi>{visibleLine(a.prediction) || '–'}</bdi> },
          { name: 'Second', cell: ({ b }) => <bdi>{visibleLine(b.prediction) || '–'}</bdi> },
          { name: 'Outcome, first', cell: ({ a }) => failureNames[a.scores.failure] },
          { name: 'Outcome, second', cell: ({ b }) => failureNames[b.scores.failure] },
        ]}
      />
    </section>
  );
}
