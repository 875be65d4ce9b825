/**
 * Links of own documents: among each other, and to and from the documents of shards, by exact mention of a title. A document's links come and go with it: it is
 * compared with each other source once, when the later of the two appears, and nothing else is read again. Pure but for the callbacks.
 */
import { analyse } from './analysis.ts';
import { createMentionMatcher, isLinkable, plainTitle } from './links.ts';
import type { SearchSource } from './search.ts';

/** A document of another source, and a passage of another source. */
export interface FarDocument {
  readonly key: string;
  readonly document: number;
}
export interface FarPassage {
  readonly key: string;
  readonly ordinal: number;
}

/** Links of one source that cross to others; ordinals and documents are local to the source that `key` names. */
export interface FarLinks {
  out(ordinal: number): readonly FarDocument[];
  in(document: number): readonly FarPassage[];
}

export interface OwnLinks {
  /** A live view. */
  of(key: string): FarLinks;
  /** Forgets sources that are gone and compares those that are new. One call at a time. */
  update(own: readonly SearchSource[], shards: readonly SearchSource[]): Promise<void>;
}

/** Passages that may name a title and are read to find out; a title in more passages than this is as vague as a common word. */
const mostRead = 500;

/** `read`: the texts of some passages of a source, null where one is gone. `pause`: lets others have the thread. */
export function createOwnLinks(
  read: (source: SearchSource, ordinals: readonly number[]) => Promise<readonly (string | null)[]>,
  pause: () => Promise<void>,
): OwnLinks {
  const out = new Map<string, Map<number, FarDocument[]>>();
  const back = new Map<string, Map<number, FarPassage[]>>();
  /** For each source those that it was compared with. */
  const compared = new Map<string, Set<string>>();

  const push = <T>(table: Map<string, Map<number, T[]>>, key: string, at: number, item: T): void => {
    const rows = table.get(key) ?? new Map<number, T[]>();
    table.set(key, rows);
    const list = rows.get(at);
    if (list === undefined) rows.set(at, [item]);
    else list.push(item);
  };
  const link = (from: FarPassage, to: FarDocument): void => {
    push(out, from.key, from.ordinal, to);
    push(back, to.key, to.document, from);
  };
  const forget = (key: string): void => {
    for (const other of compared.get(key) ?? []) {
      compared.get(other)?.delete(key);
      for (const table of [out, back] as const) {
        for (const [at, list] of table.get(other) ?? []) {
          const left = (list as readonly { readonly key: string }[]).filter((item) => item.key !== key);
          if (left.length === 0) table.get(other)?.delete(at);
          else if (left.length < list.length) (table.get(other) as Map<number, unknown[]>).set(at, left);
        }
      }
    }
    for (const table of [out, back, compared]) table.delete(key);
  };

  /** Passages of `source` that name the one document of `named`. */
  async function mentionsOf(named: SearchSource, source: SearchSource): Promise<void> {
    const title = named.titles.title(0);
    if (!isLinkable(plainTitle(title))) return;
    const candidates = withAllTerms(source, [...new Set(analyse(plainTitle(title)))]);
    if (candidates.length === 0 || candidates.length > mostRead) return;
    const matcher = createMentionMatcher([title]);
    const texts = await read(source, candidates);
    candidates.forEach((ordinal, i) => {
      if (matcher.documentsIn(texts[i] ?? '').length > 0) link({ key: source.key, ordinal }, { key: named.key, document: 0 });
    });
  }

  /** Titles of a shard in the passages of an own document. */
  async function titlesNamedBy(own: SearchSource, shard: SearchSource): Promise<void> {
    const ordinals = Array.from({ length: own.titles.passages }, (_, i) => i);
    const texts = await read(own, ordinals);
    for (const ordinal of ordinals) {
      const text = texts[ordinal] ?? '';
      // The table finds folded names too; a link needs the title as it is written.
      const found = shard.titles.titlesIn(text);
      for (const at of found.length === 0 ? [] : createMentionMatcher(found.map((document) => shard.titles.title(document))).documentsIn(text)) {
        link({ key: own.key, ordinal }, { key: shard.key, document: found[at] ?? 0 });
      }
      await pause();
    }
  }

  return {
    of: (key) => ({
      out: (ordinal) => out.get(key)?.get(ordinal) ?? [],
      in: (document) => back.get(key)?.get(document) ?? [],
    }),
    async update(own, shards) {
      const present = new Set([...own, ...shards].map(({ key }) => key));
      for (const key of [...compared.keys()]) if (!present.has(key)) forget(key);
      for (const [i, document] of own.entries()) {
        if (document.titles.documents === 0) continue;
        for (const other of [...own.slice(0, i), ...shards]) {
          const known = compared.get(document.key) ?? new Set<string>();
          compared.set(document.key, known);
          if (known.has(other.key) || other.titles.documents === 0) continue;
          known.add(other.key);
          compared.set(other.key, (compared.get(other.key) ?? new Set<string>()).add(document.key));
          try {
            await mentionsOf(document, other);
            if (shards.includes(other)) await titlesNamedBy(document, other);
            else await mentionsOf(other, document);
          } catch (error) {
            // Half a comparison is none: the next update begins it anew.
            forget(document.key);
            throw error;
          }
          await pause();
        }
      }
    },
  };
}

/** Passages in which every term occurs, in any field, ascending. */
function withAllTerms(source: SearchSource, terms: readonly string[]): number[] {
  const encoder = new TextEncoder();
  const found: number[] = [];
  let base = 0;
  for (const segment of source.lexical) {
    const places = terms.map((term) => segment.find(encoder.encode(term)));
    if (terms.length > 0 && places.every((place) => place >= 0)) {
      places.sort((a, b) => segment.documentFrequency(a) - segment.documentFrequency(b));
      let left: Set<number> | null = null;
      for (const place of places) {
        const here = new Set<number>();
        segment.eachPosting(place, (ordinal) => {
          if (left === null || left.has(ordinal)) here.add(ordinal);
        });
        left = here;
      }
      for (const ordinal of left ?? []) found.push(base + ordinal);
    }
    base += segment.passages;
  }
  return found;
}
