/** Foray's word index by itself: built from passages, opened from the parts of a shard, searched by the same function as in the page. */
import { queryTerms } from '../../../src/corpus/analysis.ts';
import { createLexicalBuilder } from '../../../src/corpus/lexical-builder.ts';
import { openLexicalSegment, searchLexical, type LexicalSegment } from '../../../src/corpus/lexical.ts';
import { serveText } from './serve.ts';
import { fetchManifest, fetchParts } from './shard-parts.ts';

/** Passages of one segment, as the shard builder has them. */
const perSegment = 16_384;
let built: Uint8Array[] = [];
let segments: LexicalSegment[] = [];

serveText({
  build({ rows }) {
    built = [];
    for (let from = 0; from < rows.length; from += perSegment) {
      const builder = createLexicalBuilder();
      for (const { title, text } of rows.slice(from, from + perSegment)) builder.add({ title, section: '', text });
      built.push(builder.finish());
    }
    segments = built.map((bytes, i) => openLexicalSegment(bytes, String(i)));
  },
  save: () => Promise.resolve(built.reduce((sum, bytes) => sum + bytes.length, 0)),
  async open(source) {
    segments = [];
    for await (const { part, bytes } of fetchParts(source, await fetchManifest(source), ['lexical'])) segments.push(openLexicalSegment(bytes, part.file));
  },
  search(query, k) {
    const { ordinals } = searchLexical(segments, queryTerms(query), k);
    return Array.from(ordinals);
  },
});
