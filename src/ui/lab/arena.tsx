/** Blind judging: two answers to the same question without names, in chance order; Bradley–Terry strengths of what was judged so far. Judgements stay in this page. */
import { useMemo, useState } from 'preact/hooks';
import type { ItemRecord } from '../../lab/record.ts';
import { bradleyTerry, createRandom, shuffled, type Duel } from '../../lab/statistics.ts';
import { systemsOf } from '../../lab/summary.ts';
import { visibleLine, visibleText } from '../text/display.ts';
import { Table } from './table.tsx';
import type { ReportRun } from './report-data.ts';

interface Contender {
  readonly name: string;
  readonly item: ItemRecord;
}

type Round = readonly [left: Contender, right: Contender];

/** Pairs that answer otherwise, in a fixed chance order. */
function roundsOf(run: ReportRun, other: ReportRun | null): Round[] {
  const contenders = [run, ...(other === null ? [] : [other])].flatMap((source, i) =>
    systemsOf(source.items).flatMap(({ label, items }) => items.map((item): Contender => ({ name: other === null ? label : `${i === 0 ? 'first' : 'second'}: ${label}`, item }))),
  );
  const byQuestion = new Map<string, Contender[]>();
  for (const contender of contenders) {
    const key = `${contender.item.dataset}/${contender.item.qid}`;
    byQuestion.set(key, [...(byQuestion.get(key) ?? []), contender]);
  }
  const rounds = [...byQuestion.values()].flatMap((group) =>
    group.flatMap((a, i) => group.slice(i + 1).flatMap((b): Round[] => (a.name === b.name || a.item.prediction === b.item.prediction ? [] : [[a, b]]))),
  );
  const random = createRandom(13);
  return shuffled(rounds, 13).map(([a, b]) => (random.bit() === 1 ? [a, b] : [b, a]));
}

export function Arena({ run, other }: { readonly run: ReportRun; readonly other: ReportRun | null }) {
  const rounds = useMemo(() => roundsOf(run, other), [run, other]);
  const [at, setAt] = useState(0);
  const [duels, setDuels] = useState<readonly Duel[]>([]);
  const [isOpen, setIsOpen] = useState(false);
  const round = rounds[at];
  const strengths = useMemo(() => (duels.length === 0 ? [] : bradleyTerry(duels)), [duels]);
  const judge = (duel: Duel | null): void => {
    if (duel !== null) setDuels([...duels, duel]);
    setAt(at + 1);
  };
  if (rounds.length === 0) return null;
  return (
    <section class="arena">
      <h2>Blind arena</h2>
      {!isOpen ? (
        <button type="button" onClick={() => setIsOpen(true)}>Judge {rounds.length} pairs of answers</button>
      ) : round === undefined ? (
        <p role="status">All pairs are judged.</p>
      ) : (
        <>
          <p role="status">Pair {at + 1} of {rounds.length}</p>
          <h3><bdi>{visibleLine(round[0].item.question)}</bdi></h3>
          <div class="duel">
            {round.map(({ item }, i) => (
              <div key={i} class="contender">
                <h4>Answer {i === 0 ? 'A' : 'B'}</h4>
                <p class="reading"><bdi>{visibleText(item.prediction) || 'no answer'}</bdi></p>
                {item.steps.flatMap((step) => (step.kind === 'record' ? step.evidence : [])).slice(0, 4).map((quote, q) => <blockquote key={q}><bdi>{visibleText(quote.text)}</bdi></blockquote>)}
              </div>
            ))}
          </div>
          <div class="player" role="group" aria-label="Judgement">
            <button type="button" onClick={() => judge({ winner: round[0].name, loser: round[1].name, isDraw: false })}>A is better</button>
            <button type="button" onClick={() => judge({ winner: round[0].name, loser: round[1].name, isDraw: true })}>Equal</button>
            <button type="button" onClick={() => judge({ winner: round[1].name, loser: round[0].name, isDraw: false })}>B is better</button>
            <button type="button" onClick={() => judge(null)}>Skip</button>
          </div>
        </>
      )}
      {strengths.length === 0 ? null : (
        <Table
          caption={`Bradley–Terry strengths from ${duels.length} judgements (400 points: odds of ten to one)`}
          rows={strengths}
          columns={[
            { name: 'System', cell: (row) => <bdi>{visibleLine(row.name)}</bdi> },
            { name: 'Strength', cell: (row) => `${Math.round(row.score)} (${Math.round(row.low)} to ${Math.round(row.high)})` },
            { name: 'Judged', cell: (row) => row.duels },
          ]}
        />
      )}
    </section>
  );
}
