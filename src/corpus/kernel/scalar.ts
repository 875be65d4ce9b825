/** The vector kernel in plain JavaScript: what runs without WebAssembly SIMD, and what the compiled builds are tested against. Same results, bit for bit. */
import type { KernelInstance, KernelMemory } from './kernel.ts';

const pageBytes = 65_536;

/** A memory of one page to begin with, like the compiled builds. */
export function createScalarInstance(): KernelInstance {
  let buffer = new ArrayBuffer(pageBytes);
  const memory: KernelMemory = {
    get buffer() {
      return buffer;
    },
    grow(pages) {
      const before = buffer.byteLength / pageBytes;
      const next = new ArrayBuffer(buffer.byteLength + pages * pageBytes);
      new Uint8Array(next).set(new Uint8Array(buffer));
      buffer = next;
      return before;
    },
  };
  function bestOf(listed: Uint32Array, codes: number, stride: number, scales: number, coarse: number, wanted: number, rows: number, scores: number): number {
    if (wanted <= 0) return 0;
    const data = new Int8Array(buffer);
    const factors = new Float32Array(buffer, scales);
    const asked = Int16Array.from(new Uint8Array(buffer, coarse, stride), (x) => x - 64);
    const best: { row: number; score: number }[] = [];
    for (const row of listed) {
      const score = Math.fround(Math.fround(dot(data, codes + row * stride, asked)) * (factors[row] ?? 0));
      if (best.length === wanted && !(score > (best[wanted - 1]?.score ?? Infinity))) continue;
      let at = best.length;
      while (at > 0 && score > (best[at - 1]?.score ?? 0)) at--;
      best.splice(at, 0, { row, score });
      if (best.length > wanted) best.pop();
    }
    const listedRows = new Uint32Array(buffer, rows, best.length);
    const listedScores = new Float32Array(buffer, scores, best.length);
    best.reverse().forEach(({ row, score }, i) => {
      listedRows[i] = row;
      listedScores[i] = score;
    });
    return best.length;
  }

  return {
    memory,
    nearest(bits, count, stride, query, wanted, rows, distances, _capacity, counts, maxDistance) {
      if (wanted <= 0) return 0;
      const words = stride / 4;
      const data = new Uint32Array(buffer, bits, count * words);
      const asked = new Uint32Array(buffer, query, words);
      const listedRows = new Uint32Array(buffer, rows);
      const listedDistances = new Uint16Array(buffer, distances, wanted);
      const histogram = new Uint32Array(buffer, counts, maxDistance + 1).fill(0);
      const all = new Uint16Array(count);
      for (let r = 0, at = 0; r < count; r++) {
        let sum = 0;
        for (let w = 0; w < words; w++, at++) sum += setBits((data[at] ?? 0) ^ (asked[w] ?? 0));
        all[r] = sum;
        histogram[sum] = (histogram[sum] ?? 0) + 1;
      }
      let limit = 0;
      let below = 0;
      for (; limit < maxDistance && below + (histogram[limit] ?? 0) < wanted; limit++) below += histogram[limit] ?? 0;
      let ties = wanted - below;
      let length = 0;
      for (let r = 0; r < count && length < wanted; r++) {
        const d = all[r] ?? 0;
        if (d > limit || (d === limit && ties-- <= 0)) continue;
        listedRows[length] = r;
        listedDistances[length++] = d;
      }
      return length;
    },
    dots(codes, stride, _sums, rows, length, query, _split, out) {
      const data = new Int8Array(buffer);
      const asked = new Int16Array(buffer, query, stride);
      const listed = new Uint32Array(buffer, rows, length);
      const results = new Int32Array(buffer, out, length);
      for (let i = 0; i < length; i++) results[i] = dot(data, codes + (listed[i] ?? 0) * stride, asked);
    },
    scan(codes, count, stride, scales, _sums, coarse, wanted, rows, scores) {
      return bestOf(Uint32Array.from({ length: count }, (_, row) => row), codes, stride, scales, coarse, wanted, rows, scores);
    },
    thin(codes, stride, scales, _sums, coarse, length, wanted, rows, scores) {
      return bestOf(new Uint32Array(buffer, rows, length).slice(), codes, stride, scales, coarse, wanted, rows, scores);
    },
    derive(codes, stride, scales, mean, from, to, sums, bits, bitStride) {
      const data = new Int8Array(buffer);
      const centre = new Float32Array(buffer, mean, stride);
      const factors = new Float32Array(buffer, scales, to);
      const totals = new Int32Array(buffer, sums, to);
      const out = new Uint8Array(buffer);
      for (let r = from; r < to; r++) {
        out.fill(0, bits + r * bitStride, bits + (r + 1) * bitStride);
        let sum = 0;
        for (let j = 0; j < stride; j++) {
          const code = data[codes + r * stride + j] ?? 0;
          sum += code;
          const at = bits + r * bitStride + (j >> 3);
          if (Math.fround(code * (factors[r] ?? 0)) > (centre[j] ?? 0)) out[at] = (out[at] ?? 0) | (1 << (j & 7));
        }
        totals[r] = sum;
      }
    },
  };
}

function setBits(word: number): number {
  let x = word - ((word >>> 1) & 0x55555555);
  x = (x & 0x33333333) + ((x >>> 2) & 0x33333333);
  return Math.imul((x + (x >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** At most 128 × 2047 × 4096 < 2^31, so four running sums stay exact. Lengths are multiples of 4. */
function dot(codes: Int8Array, from: number, query: Int16Array): number {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  for (let i = 0; i < query.length; i += 4) {
    a = (a + Math.imul(codes[from + i] as number, query[i] as number)) | 0;
    b = (b + Math.imul(codes[from + i + 1] as number, query[i + 1] as number)) | 0;
    c = (c + Math.imul(codes[from + i + 2] as number, query[i + 2] as number)) | 0;
    d = (d + Math.imul(codes[from + i + 3] as number, query[i + 3] as number)) | 0;
  }
  return (a + b + c + d) | 0;
}
