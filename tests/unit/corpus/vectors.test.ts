import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { AppError } from '../../../src/errors.ts';
import { scalarKernel } from '../../../src/corpus/kernel/kernel.ts';
import { createVectorIndex, deriveBits } from '../../../src/corpus/vector-index.ts';
import { centredBits, encodeVectors, openVectorHead, openVectorSegment, quantise, splitVectors } from '../../../src/corpus/vectors.ts';
import { clusteredRows } from '../../fixtures/vectors.ts';

describe('quantise', () => {
  test('a value errs by half a step at most', () => {
    fc.assert(
      fc.property(fc.array(fc.float({ min: -1, max: 1, noNaN: true }), { minLength: 8, maxLength: 8 }), (values) => {
        const { scales, codes } = quantise(Float32Array.from(values), 8);
        const scale = scales[0] ?? 0;
        values.forEach((x, i) => expect(Math.abs((codes[i] ?? 0) * scale - x)).toBeLessThanOrEqual(scale / 2 + 1e-6));
      }),
    );
  });

  test('rows that are zero or not finite have no scale', () => {
    const { scales, codes } = quantise(Float32Array.from([0, 0, 1, 0, NaN, 1, Infinity, 0]), 2);
    expect(Array.from(scales, (scale) => scale > 0)).toEqual([false, true, false, false]);
    expect(Array.from(codes)).toEqual([0, 0, 127, 0, 0, 0, 0, 0]);
  });
});

describe('the vectors part', () => {
  const bytes = encodeVectors(quantise(clusteredRows({ count: 5, dimensions: 6, seed: 3, clusters: 2 }), 6));

  test('comes back as it was, also from an unaligned view', () => {
    const shifted = new Uint8Array(bytes.length + 3);
    shifted.set(bytes, 3);
    for (const view of [bytes, shifted.subarray(3)]) {
      const segment = openVectorSegment(view, 'minilm', 40, 'v.bin');
      const { scales, codes } = quantise(clusteredRows({ count: 5, dimensions: 6, seed: 3, clusters: 2 }), 6);
      expect(segment).toMatchObject({ embedder: 'minilm', first: 40, dimensions: 6, count: 5 });
      expect(segment.scales).toEqual(scales);
      expect(segment.codes).toEqual(codes);
    }
  });

  test.each([
    ['cut', bytes.slice(0, -1)],
    ['empty', new Uint8Array(0)],
    ['another magic', Uint8Array.from(bytes, (b, i) => (i === 0 ? 0 : b))],
    ['another version', Uint8Array.from(bytes, (b, i) => (i === 4 ? 9 : b))],
    ['no dimensions', Uint8Array.from(bytes, (b, i) => (i === 8 ? 0 : b))],
    ['a huge count', Uint8Array.from(bytes, (b, i) => (i === 15 ? 0xff : b))],
    ['a scale that is no number', Uint8Array.from(bytes, (b, i) => (i >= 16 && i < 20 ? 0xff : b))],
  ])('is refused: %s', (_, damaged) => {
    expect(() => openVectorSegment(damaged, 'e', 0, 'v.bin')).toThrow(AppError);
  });
});

describe('a stored part', () => {
  const shape = fc.record({ dimensions: fc.integer({ min: 1, max: 140 }), count: fc.integer({ min: 1, max: 600 }), seed: fc.integer({ min: 1, max: 9999 }) });

  test('split and opened again gives the rows, and the bits that the kernel derives', () => {
    fc.assert(
      fc.property(shape, ({ dimensions, count, seed }) => {
        const rows = quantise(clusteredRows({ count, dimensions, seed, clusters: 3 }), dimensions);
        const mean = clusteredRows({ count: 1, dimensions, seed: seed + 1, clusters: 3 }).map((x) => x / 10);
        const { blocks, places } = splitVectors(encodeVectors(rows), 1000, mean, 'v.bin');
        expect(places.slice(1).reduce((sum, place) => sum + place.count, 0)).toBe(count);
        expect(places[1]?.first).toBe(1000);
        const { scales, bits } = openVectorHead(blocks[0] ?? new Uint8Array(0), dimensions, count, 'v.bin');
        expect(scales).toEqual(rows.scales);
        expect(Buffer.concat(blocks.slice(1)).equals(Buffer.from(rows.codes.buffer))).toBe(true);
        const index = createVectorIndex(scalarKernel, { dimensions, mean });
        index.append(rows, 0);
        expect(Buffer.from(index.bitsOf(count)).equals(bits)).toBe(true);
        expect(Buffer.from(centredBits(rows, mean)).equals(bits)).toBe(true);
        expect(Buffer.from(deriveBits(scalarKernel, rows, mean)).equals(bits)).toBe(true);
      }),
      { numRuns: 12 },
    );
  });

  test('a damaged beginning is refused or opens to something, but never reads beyond it', () => {
    const rows = quantise(clusteredRows({ count: 9, dimensions: 20, seed: 1, clusters: 2 }), 20);
    const [head = new Uint8Array(0)] = splitVectors(encodeVectors(rows), 0, new Float32Array(20), 'v.bin').blocks;
    fc.assert(
      fc.property(fc.nat(head.length), fc.nat(head.length - 1), fc.nat(255), (length, at, byte) => {
        const damaged = head.slice(0, length === 0 ? head.length : length);
        if (at < damaged.length) damaged[at] = byte;
        try {
          const { scales, bits } = openVectorHead(damaged, 20, 9, 'v.bin');
          expect([scales.length, bits.length]).toEqual([9, 9 * 16]);
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
        }
      }),
    );
    expect(() => openVectorHead(head, 21, 9, 'v.bin')).toThrow(AppError);
    expect(() => openVectorHead(head, 20, 8, 'v.bin')).toThrow(AppError);
  });
});

describe('a part from outside', () => {
  const sound = encodeVectors(quantise(clusteredRows({ count: 7, dimensions: 12, seed: 2, clusters: 2 }), 12));

  test('with any bytes changed is refused, or opens to rows that fit its bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(sound.length - 1), fc.nat(255)), { maxLength: 6 }), (changes) => {
        const bytes = sound.slice();
        for (const [at, byte] of changes) bytes[at] = byte;
        try {
          const segment = openVectorSegment(bytes, 'e', 0, 'v.bin');
          expect(segment.codes.length).toBe(segment.count * segment.dimensions);
          const index = createVectorIndex(scalarKernel, { dimensions: segment.dimensions });
          index.append(segment, 0);
          expect(index.search(new Float32Array(segment.dimensions).fill(1), 3, null).count).toBeLessThanOrEqual(3);
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
        }
      }),
      { numRuns: 300 },
    );
  });
});
