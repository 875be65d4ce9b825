/** All methods, by id. A method is one file and one line here. */
import type { Method } from '../harness.ts';
import { direct, extractive, rag } from './baselines.ts';
import { adasearch } from './adasearch.ts';
import { apex, apexConsistent } from './apex.ts';
import { cosearch } from './cosearch.ts';
import { exsearch } from './exsearch.ts';
import { foraging } from './foraging.ts';
import { foray } from './foray.ts';
import { localFirst } from './local-first.ts';
import { mindsearch } from './mindsearch.ts';
import { opera } from './opera.ts';
import { flare, ircot, iterRetGen, react, searchO1Method, selfAsk } from './published.ts';
import { reSearcher } from './re-searcher.ts';
import { searchPlanner } from './search-planner.ts';
import { sira } from './sira.ts';
import { smartsearch } from './smartsearch.ts';
import { table } from './table.ts';
import { toolLoop } from './tool-loop.ts';
import { bestOf, tree } from './tree.ts';

export const methods: readonly Method[] = [
  foray,
  apex, apexConsistent, exsearch,
  smartsearch, reSearcher, opera, adasearch, sira, mindsearch, cosearch, tree, bestOf, foraging, localFirst, searchPlanner, toolLoop, table,
  rag, direct, ircot, selfAsk, react, iterRetGen, flare, searchO1Method, extractive,
];

export function methodById(id: string): Method | undefined {
  return methods.find((method) => method.id === id);
}
