/**
 * The state of a search outside the model (METHODS §4.7): what is kept and why it matters, what connects the passages, what each query brought, what was weighed.
 * Only what a method told is shown, each part with a sentence for those who see it for the first time.
 */
import type { ComponentChildren } from 'preact';
import type { Importance } from '../../agent/events.ts';
import { treeRows, type SearchState, type TrajectoryView } from '../search-state.ts';
import type { RunView, SearchView } from '../state.ts';
import { visibleLine } from '../text/display.ts';
import { formatCount, formatDuration, plural } from '../text/format.ts';
import '../styles/state.css';

const importances: Readonly<Record<Importance, string>> = { very_high: 'very important', high: 'important', fair: 'useful', low: 'marginal' };
/** Longer lists end with how many more there are. */
const shown = 12;

/** Titles of all passages that the run found, by id. */
function titlesOf(run: RunView): ReadonlyMap<string, string> {
  const titles = new Map<string, string>();
  for (const item of run.search.summary?.curated ?? []) titles.set(item.id, item.title);
  for (const node of [...run.nodes, ...run.search.trajectories.flatMap((item) => item.nodes)]) {
    for (const search of node.searches) for (const { passage } of search.hits) titles.set(passage.id, passage.section === '' ? passage.title : `${passage.title}, ${passage.section}`);
  }
  return titles;
}

function Part({ title, about, children }: { readonly title: string; readonly about: string; readonly children: ComponentChildren }) {
  return (
    <section class="state-part">
      <h3>{title}</h3>
      <p class="state-about">{about}</p>
      {children}
    </section>
  );
}

function Names({ names }: { readonly names: readonly string[] }) {
  return (
    <ul class="state-names">
      {names.slice(0, shown).map((name, index) => (
        <li key={index}>
          <bdi class="tag">{visibleLine(name)}</bdi>
        </li>
      ))}
      {names.length > shown ? <li class="section-note">and {formatCount(names.length - shown)} more</li> : null}
    </ul>
  );
}

const stepName = (node: number | null): string => (node === null || node === 0 ? 'Whole question' : `Step ${node}`);

export function StatePanel({ run }: { readonly run: RunView }) {
  const { search } = run;
  const titles = titlesOf(run);
  const titleOf = (id: string): string => visibleLine(titles.get(id) ?? id);
  return (
    <div class="state" data-testid="state-panel">
      <Gate search={search} />
      <Kept search={search} isLive={run.phase !== 'ended'} />
      <Connections search={search} titleOf={titleOf} />
      <Queries run={run} />
      <Expansions search={search} />
      <Goals search={search} />
      {search.selections.length === 0 ? null : (
        <Part title="Chosen from what was found" about="The model looked over the passages of a search as a list and kept those that help.">
          <ul class="state-list">
            {search.selections.map((selection, index) => (
              <li key={index}>
                <span class="state-step">{stepName(selection.node)}</span>
                <span>
                  Kept: <bdi>{selection.kept.map(titleOf).join('; ') || 'none'}</bdi>
                </span>
                {selection.dropped.length === 0 ? null : (
                  <details class="more">
                    <summary>{plural(selection.dropped.length, 'passage')} set aside</summary>
                    <Names names={selection.dropped.map(titleOf)} />
                  </details>
                )}
              </li>
            ))}
          </ul>
        </Part>
      )}
      {search.links.length === 0 ? null : (
        <Part title="Links followed" about="From a passage that was found to passages that it links to.">
          <ul class="state-list">
            {search.links.map((link, index) => (
              <li key={index}>
                <span class="state-step">{stepName(link.node)}</span>
                <span>
                  <bdi>{titleOf(link.from)}</bdi> → <bdi>{link.to.map(titleOf).join('; ')}</bdi>
                </span>
              </li>
            ))}
          </ul>
        </Part>
      )}
      {search.claims.length === 0 ? null : (
        <Part title="Checked before answering" about="Each statement was held against the passages. Yes only if every part of it stands there.">
          <ul class="state-list">
            {search.claims.map((claim, index) => (
              <li key={index}>
                <span class={`tag ${claim.ok ? 'tag-strong' : 'tag-warn'}`}>{claim.ok ? 'stands there' : 'does not stand there'}</span>
                <bdi>{visibleLine(claim.claim)}</bdi>
                {claim.missing === null || claim.missing === '' ? null : <span class="section-note">Missing: {visibleLine(claim.missing)}</span>}
              </li>
            ))}
          </ul>
        </Part>
      )}
      <Trajectories search={search} />
      <Tree search={search} />
      <Thoughts search={search} />
    </div>
  );
}

function Gate({ search }: { readonly search: SearchState }) {
  const { gate } = search;
  if (gate === null) return null;
  return (
    <Part title="Search or answer from memory" about="Before searching the model was asked whether it knows the answer.">
      <p>
        <span class="tag tag-strong">{gate.search ? 'searched' : 'answered from memory'}</span> <bdi>{visibleLine(gate.reason)}</bdi>
        {gate.confidence === null ? null : <span class="section-note figures"> Certainty of its own words: {Math.round(gate.confidence * 100)} %</span>}
      </p>
    </Part>
  );
}

function Kept({ search, isLive }: { readonly search: SearchState; readonly isLive: boolean }) {
  const { summary } = search;
  if (summary === null) return null;
  const { budget } = summary;
  return (
    <Part title="Kept so far" about="The passages that the search holds on to, the most important first. When the set is full, the least important one goes.">
      <p class="figures section-note">
        {plural(summary.pool, 'passage')} found
        {isLive ? `. Left: ${plural(budget.callsLeft, 'model call')}, ${plural(budget.searchesLeft, 'search', 'searches')}, ${formatDuration(Math.max(0, budget.msLeft))}` : ''}
      </p>
      {summary.curated.length === 0 ? (
        <p class="empty">Nothing is kept yet.</p>
      ) : (
        <ol class="state-list state-kept">
          {summary.curated.map((item) => (
            <li key={`${item.id} ${item.node}`}>
              <bdi>{visibleLine(item.title)}</bdi>
              <span class={`tag ${item.importance === 'very_high' || item.importance === 'high' ? 'tag-strong' : ''}`}>{importances[item.importance]}</span>
              <span class="state-step">{stepName(item.node)}</span>
            </li>
          ))}
        </ol>
      )}
    </Part>
  );
}

function Connections({ search, titleOf }: { readonly search: SearchState; readonly titleOf: (id: string) => string }) {
  const { summary } = search;
  if (summary === null || (summary.bridges.length === 0 && summary.singletons.length === 0)) return null;
  return (
    <Part title="What connects them" about="Names and dates that stand in several passages tie the steps together; those that stand in one only may be the next step.">
      {summary.bridges.length === 0 ? null : (
        <ul class="state-list">
          {summary.bridges.slice(0, shown).map((bridge) => (
            <li key={bridge.entity}>
              <bdi class="state-entity">{visibleLine(bridge.entity)}</bdi>
              <bdi class="section-note">{bridge.passages.map(titleOf).join('; ')}</bdi>
            </li>
          ))}
        </ul>
      )}
      {summary.singletons.length === 0 ? null : (
        <>
          <p class="section-note">Once so far</p>
          <Names names={summary.singletons} />
        </>
      )}
    </Part>
  );
}

function Queries({ run }: { readonly run: RunView }) {
  const rows = run.nodes.flatMap((node) => node.searches.map((search, index) => ({ node: node.id, search, index, isUsed: node.evidence.length > 0 })));
  const verdictOf = (node: number, query: string) => run.search.verdicts.findLast((verdict) => verdict.node === node && verdict.query === query);
  const refused = run.search.verdicts.filter((verdict) => !rows.some((row) => row.node === verdict.node && row.search.query === verdict.query));
  if (rows.length === 0 && refused.length === 0) return null;
  return (
    <Part title="Queries and what they brought" about="A good query is new and brings passages that were not seen before; one that was not is reworded.">
      <ul class="state-list">
        {rows.map(({ node, search, index }) => {
          const verdict = verdictOf(node, search.query);
          return (
            <li key={`${node} ${index}`}>
              <span class="state-step">{stepName(node)}</span>
              <bdi class="query">{visibleLine(search.query)}</bdi>
              <span class="section-note figures">{yieldOf(search)}</span>
              {verdict === undefined ? null : <Verdict verdict={verdict} />}
            </li>
          );
        })}
        {refused.map((verdict, index) => (
          <li key={`refused ${index}`}>
            <span class="state-step">{stepName(verdict.node)}</span>
            <bdi class="query">{visibleLine(verdict.query)}</bdi>
            <Verdict verdict={verdict} />
          </li>
        ))}
      </ul>
    </Part>
  );
}

function yieldOf(search: SearchView): string {
  return `${plural(search.hits.length, 'passage')}, ${formatCount(search.newCount)} not seen before`;
}

function Verdict({ verdict }: { readonly verdict: SearchState['verdicts'][number] }) {
  return (
    <span class="state-verdict">
      <span class={`tag ${verdict.novel ? '' : 'tag-warn'}`}>{verdict.novel ? 'new' : 'said before'}</span>
      {verdict.useful === null ? null : <span class={`tag ${verdict.useful ? 'tag-strong' : 'tag-warn'}`}>{verdict.useful ? 'helped' : 'did not help'}</span>}
      {verdict.note === '' ? null : <bdi class="section-note">{visibleLine(verdict.note)}</bdi>}
      {verdict.refined === null || verdict.refined === '' ? null : (
        <span class="section-note">
          Reworded: <bdi class="query">{visibleLine(verdict.refined)}</bdi>
        </span>
      )}
    </span>
  );
}

function Expansions({ search }: { readonly search: SearchState }) {
  if (search.expansions.length === 0) return null;
  return (
    <Part title="Words added to a query" about="The model proposed words that the answer’s passage may use. Words that no passage has, or too many have, were left out; the number says how many passages have them.">
      <ul class="state-list">
        {search.expansions.map((expansion, index) => (
          <li key={index}>
            <span class="state-step">{stepName(expansion.node)}</span>
            <bdi class="query">{visibleLine(expansion.query)}</bdi>
            <ul class="state-names">
              {expansion.terms.slice(0, 40).map((term, i) => (
                <li key={i}>
                  <span class={`tag ${term.kept ? 'tag-strong' : 'tag-out'}`}>
                    <bdi>{visibleLine(term.term)}</bdi> <span class="figures">{formatCount(term.documents)}</span>
                    <span class="visually-hidden">{term.kept ? ' passages, added' : ' passages, left out'}</span>
                  </span>
                </li>
              ))}
            </ul>
            <span class="section-note figures">Weight of an added word: {Number(expansion.weight.toFixed(2))} of a word of the question</span>
          </li>
        ))}
      </ul>
    </Part>
  );
}

function Goals({ search }: { readonly search: SearchState }) {
  if (search.goals.length === 0) return null;
  return (
    <Part title="What each step looked for" about="What a satisfying passage would state, written down before searching, and whether what came did state it.">
      <ul class="state-list">
        {search.goals.map((goal, index) => (
          <li key={index}>
            <span class="state-step">{stepName(goal.node)}</span>
            {goal.goal === '' ? null : <bdi>{visibleLine(goal.goal)}</bdi>}
            {goal.reflections.map((reflection, i) => (
              <span key={i} class="state-verdict">
                <span class={`tag ${reflection.satisfied ? 'tag-strong' : 'tag-warn'}`}>{reflection.satisfied ? 'met' : 'not met'}</span>
                <bdi class="section-note">{visibleLine(reflection.why)}</bdi>
              </span>
            ))}
          </li>
        ))}
      </ul>
    </Part>
  );
}

const logpNotes = { exact: 'every token read', topn: 'partly bounded', verify: 'from a yes or no' } as const;

function trajectoryFacts({ nodes, logp }: TrajectoryView): string {
  const searches = nodes.reduce((sum, node) => sum + node.searches.length, 0);
  return [
    plural(searches, 'search', 'searches'),
    logp === null ? '' : `log-likelihood ${logp.mean.toFixed(2)} a token, ${plural(logp.tokens, 'token')}, ${logpNotes[logp.method]}`,
  ].filter((fact) => fact !== '').join(', ');
}

function Trajectories({ search }: { readonly search: SearchState }) {
  const { trajectories, weights } = search;
  if (trajectories.length === 0 && weights === null) return null;
  return (
    <Part
      title="Several ways to the answer"
      about="The question was worked through several times with some chance in it. Agreement says how far the ways come to the same answer. It is not the probability that the answer is true."
    >
      {weights === null ? null : (
        <ul class="state-list state-shares">
          {weights.scores.map((score, index) => (
            <li key={index}>
              <bdi class="state-entity">{visibleLine(score.answer) || 'no answer'}</bdi>
              <meter aria-label={`Agreement on ${visibleLine(score.answer) || 'no answer'}`} min={0} max={1} value={Math.min(1, Math.max(0, score.share))} />
              <span class="figures section-note">{Math.round(score.share * 100)} % agreement</span>
            </li>
          ))}
        </ul>
      )}
      {weights?.ess === null || weights === null ? null : <p class="section-note figures">Effective number of ways: {weights.ess.toFixed(1)} of {formatCount(trajectories.length)}</p>}
      <ol class="state-list">
        {trajectories.map((item) => (
          <li key={item.trajectory}>
            <span class="state-step">
              Way {item.trajectory} of {Math.max(item.of, trajectories.length)}
            </span>
            <bdi>{item.answer === null ? 'under way or broken off' : visibleLine(item.answer) || 'no answer'}</bdi>
            <span class="section-note figures">{trajectoryFacts(item)}</span>
          </li>
        ))}
      </ol>
    </Part>
  );
}

function Tree({ search }: { readonly search: SearchState }) {
  if (search.tree.length === 0) return null;
  return (
    <Part title="Search tree" about="States of the search that were gone on from, the most promising first. The number is the model’s own estimate that the evidence is enough.">
      <ol class="state-list state-tree">
        {treeRows(search.tree).map((row) => (
          <li key={row.state} style={{ '--depth': String(Math.min(row.depth, 8)) }}>
            <span class="visually-hidden">Level {row.depth + 1}: </span>
            <bdi class="query">{visibleLine(row.query) || 'start'}</bdi>
            <span class="figures section-note">{row.value.toFixed(2)}</span>
            {row.isBest ? <span class="tag tag-strong">best</span> : null}
          </li>
        ))}
      </ol>
    </Part>
  );
}

function Thoughts({ search }: { readonly search: SearchState }) {
  if (search.thoughts.length === 0) return null;
  return (
    <details class="more">
      <summary>{plural(search.thoughts.length, 'note')} that the model wrote while working</summary>
      <ol class="state-list">
        {search.thoughts.map((thought, index) => (
          <li key={index}>
            <span class="state-step">{stepName(thought.node)}</span>
            <bdi>{visibleLine(thought.text)}</bdi>
          </li>
        ))}
      </ol>
    </details>
  );
}
