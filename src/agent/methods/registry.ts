/** All methods, by id. A method is one file and one line here. */
import type { Method } from '../harness.ts';
import { direct, extractive, rag } from './baselines.ts';
import { apex, apexConsistent } from './apex.ts';
import { exsearch } from './exsearch.ts';
import { foray } from './foray.ts';

export const methods: readonly Method[] = [foray, apex, apexConsistent, exsearch, rag, direct, extractive];

export function methodById(id: string): Method | undefined {
  return methods.find((method) => method.id === id);
}
