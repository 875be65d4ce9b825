/**
 * The vector kernel in AssemblyScript, compiled to WebAssembly twice: with SIMD, and with relaxed SIMD where `ASC_FEATURE_RELAXED_SIMD` is set. It owns no memory:
 * every array is the caller's (`vector-index.ts` lays them out), every address is a byte offset. Rows of codes are padded with zeros to 16 bytes, rows of bits likewise.
 * All results are integers or single f32 products, so that both builds and `scalar.ts` agree bit for bit.
 */

// @ts-ignore: decorator
@inline
function distance(row: usize, query: usize, stride: usize): i32 {
  let sum: i64 = 0;
  for (let i: usize = 0; i < stride; i += 8) sum += popcnt(load<u64>(row + i) ^ load<u64>(query + i));
  return i32(sum);
}

/** Keeps the `wanted` best of the `length` listed rows, in order (ties: earlier ones). Returns the distance that a later row must stay under. */
function keepBest(rows: usize, distances: usize, length: i32, wanted: i32, counts: usize, maxDistance: i32): i32 {
  memory.fill(counts, 0, (maxDistance + 1) << 2);
  for (let i = 0; i < length; i++) {
    const at = counts + (usize(load<u16>(distances + (usize(i) << 1))) << 2);
    store<u32>(at, load<u32>(at) + 1);
  }
  let limit = 0;
  let below = 0;
  for (; limit < maxDistance; limit++) {
    const here = load<u32>(counts + (usize(limit) << 2));
    if (below + here >= wanted) break;
    below += here;
  }
  let ties = wanted - below;
  let kept: usize = 0;
  for (let i: usize = 0; i < usize(length); i++) {
    const d = i32(load<u16>(distances + (i << 1)));
    if (d > limit) continue;
    if (d == limit && ties-- <= 0) continue;
    store<u32>(rows + (kept << 2), load<u32>(rows + (i << 2)));
    store<u16>(distances + (kept << 1), u16(d));
    kept++;
  }
  return limit;
}

/**
 * The `wanted` rows whose bits differ least from the query's, in row order; ties go to earlier rows. `rows` (u32) and `distances` (u16) hold `capacity` entries, more than
 * `wanted`; `counts` holds `maxDistance` + 1 u32. Returns how many there are. Rows are listed while they beat the worst of those kept; a full list is thinned out.
 */
export function nearest(bits: usize, count: i32, stride: usize, query: usize, wanted: i32, rows: usize, distances: usize, capacity: i32, counts: usize, maxDistance: i32): i32 {
  if (wanted <= 0) return 0;
  let limit = maxDistance + 1;
  let length = 0;
  // Words of 64 bits: engines compute the SIMD count from a table of nibbles, which measured a quarter slower.
  const q0 = load<u64>(query);
  const q1 = load<u64>(query, 8);
  const q2 = load<u64>(query, 16);
  const q3 = load<u64>(query, 24);
  const q4 = load<u64>(query, 32);
  const q5 = load<u64>(query, 40);
  let at = bits;
  for (let r = 0; r < count; r++) {
    let d: i32;
    if (stride == 48) {
      d = i32(
        popcnt(load<u64>(at) ^ q0) + popcnt(load<u64>(at, 8) ^ q1) + popcnt(load<u64>(at, 16) ^ q2) +
        popcnt(load<u64>(at, 24) ^ q3) + popcnt(load<u64>(at, 32) ^ q4) + popcnt(load<u64>(at, 40) ^ q5),
      );
    } else if (stride == 32) {
      d = i32(popcnt(load<u64>(at) ^ q0) + popcnt(load<u64>(at, 8) ^ q1) + popcnt(load<u64>(at, 16) ^ q2) + popcnt(load<u64>(at, 24) ^ q3));
    } else {
      d = distance(at, query, stride);
    }
    at += stride;
    if (d >= limit) continue;
    store<u32>(rows + (usize(length) << 2), u32(r));
    store<u16>(distances + (usize(length) << 1), u16(d));
    if (++length == capacity) {
      limit = keepBest(rows, distances, length, wanted, counts, maxDistance);
      length = wanted;
    }
  }
  if (length > wanted) {
    keepBest(rows, distances, length, wanted, counts, maxDistance);
    length = wanted;
  }
  return length;
}

// @ts-ignore: decorator
@inline
function lanes(x: v128): i32 {
  const y = i32x4.add(x, i8x16.shuffle(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  return i32x4.extract_lane(y, 0) + i32x4.extract_lane(y, 1);
}

/** Dot product with a query of 16-bit numbers. */
// @ts-ignore: decorator
@inline
function dot16(row: usize, query: usize, stride: usize): i32 {
  let a = i32x4.splat(0);
  let b = i32x4.splat(0);
  for (let i: usize = 0; i < stride; i += 16) {
    const x = v128.load(row + i);
    a = i32x4.add(a, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(x), v128.load(query + (i << 1))));
    b = i32x4.add(b, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(x), v128.load(query + (i << 1), 16)));
  }
  return lanes(i32x4.add(a, b));
}

/**
 * Exact dot products of listed rows with the query: `query` holds `stride` 16-bit numbers within ±2047, `split` the same plus 2048 as 7 low and 5 high bits (`stride` bytes
 * each). The relaxed instruction takes numbers from 0 to 127 only; `sums` (i32 a row) take the offset out again.
 */
export function dots(codes: usize, stride: usize, sums: usize, rows: usize, length: i32, query: usize, split: usize, out: usize): void {
  for (let i: usize = 0; i < usize(length); i++) {
    const r = usize(load<u32>(rows + (i << 2)));
    const row = codes + r * stride;
    if (ASC_FEATURE_RELAXED_SIMD) {
      let low = i32x4.splat(0);
      let high = i32x4.splat(0);
      for (let j: usize = 0; j < stride; j += 16) {
        const x = v128.load(row + j);
        low = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, v128.load(split + j), low);
        high = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, v128.load(split + stride + j), high);
      }
      store<i32>(out + (i << 2), lanes(i32x4.add(low, i32x4.shl(high, 7))) - (load<i32>(sums + (r << 2)) << 11));
    } else {
      store<i32>(out + (i << 2), dot16(row, query, stride));
    }
  }
}

// @ts-ignore: decorator
@inline
function isWorse(scores: usize, rows: usize, a: usize, b: usize): bool {
  const x = load<f32>(scores + (a << 2));
  const y = load<f32>(scores + (b << 2));
  return x < y || (x == y && load<u32>(rows + (a << 2)) > load<u32>(rows + (b << 2)));
}

// @ts-ignore: decorator
@inline
function swap(list: usize, a: usize, b: usize): void {
  const x = load<u32>(list + (a << 2));
  store<u32>(list + (a << 2), load<u32>(list + (b << 2)));
  store<u32>(list + (b << 2), x);
}

function siftUp(scores: usize, rows: usize, from: usize): void {
  let i = from;
  while (i > 0) {
    const parent: usize = (i - 1) >> 1;
    if (!isWorse(scores, rows, i, parent)) return;
    swap(scores, i, parent);
    swap(rows, i, parent);
    i = parent;
  }
}

function siftDown(scores: usize, rows: usize, length: usize): void {
  let i: usize = 0;
  for (;;) {
    let least: usize = i;
    const left: usize = 2 * i + 1;
    if (left < length && isWorse(scores, rows, left, least)) least = left;
    if (left + 1 < length && isWorse(scores, rows, left + 1, least)) least = left + 1;
    if (least == i) return;
    swap(scores, i, least);
    swap(rows, i, least);
    i = least;
  }
}

/** Sixteen more products of a row with the 7-bit query; `q` as it is stored. */
// @ts-ignore: decorator
@inline
function more(row: usize, q: v128, sum: v128): v128 {
  const x = v128.load(row);
  if (ASC_FEATURE_RELAXED_SIMD) return i32x4.relaxed_dot_i8x16_i7x16_add_s(x, q, sum);
  const y = i8x16.sub(q, i8x16.splat(64));
  const low = i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(x), i16x8.extend_low_i8x16_s(y));
  const high = i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(x), i16x8.extend_high_i8x16_s(y));
  return i32x4.add(sum, i32x4.add(low, high));
}

/** Rows in the heap of the running scan, and the score that a later row must exceed. */
let kept: usize = 0;
let bar: f32 = -Infinity;

/** Offers a row with the sum of its products to the heap of the running scan. */
// @ts-ignore: decorator
@inline
function offer(sum: v128, r: usize, scales: usize, sums: usize, wanted: usize, rows: usize, scores: usize): void {
  const dot = ASC_FEATURE_RELAXED_SIMD ? lanes(sum) - (load<i32>(sums + (r << 2)) << 6) : lanes(sum);
  const score = f32(dot) * load<f32>(scales + (r << 2));
  if (score > bar) enter(score, r, wanted, rows, scores);
}

function enter(score: f32, r: usize, wanted: usize, rows: usize, scores: usize): void {
  if (kept < wanted) {
    store<f32>(scores + (kept << 2), score);
    store<u32>(rows + (kept << 2), u32(r));
    siftUp(scores, rows, kept++);
    if (kept == wanted) bar = load<f32>(scores);
  } else {
    store<f32>(scores, score);
    store<u32>(rows, u32(r));
    siftDown(scores, rows, kept);
    bar = load<f32>(scores);
  }
}

/**
 * The `wanted` rows of largest scale × dot product with a 7-bit query: a pass over all rows at the speed of memory. `coarse` holds `stride` bytes, the query within ±63 plus 64.
 * `rows` and `scores` come back as a heap, worst first; ties go to earlier rows. Returns how many there are. Four rows at a time: their sums do not wait for one another, and
 * the query is loaded once for all four.
 */
export function scan(codes: usize, count: i32, stride: usize, scales: usize, sums: usize, coarse: usize, wanted: i32, rows: usize, scores: usize): i32 {
  if (wanted <= 0) return 0;
  kept = 0;
  bar = -Infinity;
  const most = usize(wanted);
  const end = usize(count);
  let row = codes;
  let r: usize = 0;
  for (; r + 4 <= end; r += 4) {
    let a = i32x4.splat(0);
    let b = i32x4.splat(0);
    let c = i32x4.splat(0);
    let d = i32x4.splat(0);
    let p = row;
    let q = coarse;
    const last = row + stride;
    for (; p + 32 <= last; p += 32, q += 32) {
      const x = v128.load(q);
      const y = v128.load(q, 16);
      a = more(p + 16, y, more(p, x, a));
      b = more(p + stride + 16, y, more(p + stride, x, b));
      c = more(p + 2 * stride + 16, y, more(p + 2 * stride, x, c));
      d = more(p + 3 * stride + 16, y, more(p + 3 * stride, x, d));
    }
    if (p < last) {
      const x = v128.load(q);
      a = more(p, x, a);
      b = more(p + stride, x, b);
      c = more(p + 2 * stride, x, c);
      d = more(p + 3 * stride, x, d);
    }
    row = last + 3 * stride;
    offer(a, r, scales, sums, most, rows, scores);
    offer(b, r + 1, scales, sums, most, rows, scores);
    offer(c, r + 2, scales, sums, most, rows, scores);
    offer(d, r + 3, scales, sums, most, rows, scores);
  }
  for (; r < end; r++) {
    let a = i32x4.splat(0);
    let b = i32x4.splat(0);
    let j: usize = 0;
    for (; j + 32 <= stride; j += 32) {
      a = more(row + j, v128.load(coarse + j), a);
      b = more(row + j + 16, v128.load(coarse + j, 16), b);
    }
    if (j < stride) a = more(row + j, v128.load(coarse + j), a);
    row += stride;
    offer(i32x4.add(a, b), r, scales, sums, most, rows, scores);
  }
  return i32(kept);
}

/**
 * Of the `length` rows listed in `rows`, ascending, the `wanted` of largest scale × dot product with the 7-bit query, in place as a heap like that of `scan`: half the work
 * of `dots`, and four rows on their way from memory at a time.
 */
export function thin(codes: usize, stride: usize, scales: usize, sums: usize, coarse: usize, length: i32, wanted: i32, rows: usize, scores: usize): i32 {
  if (wanted <= 0) return 0;
  kept = 0;
  bar = -Infinity;
  const most = usize(wanted);
  const end = usize(length);
  let i: usize = 0;
  for (; i + 4 <= end; i += 4) {
    const r0 = usize(load<u32>(rows + (i << 2)));
    const r1 = usize(load<u32>(rows + (i << 2), 4));
    const r2 = usize(load<u32>(rows + (i << 2), 8));
    const r3 = usize(load<u32>(rows + (i << 2), 12));
    const p0 = codes + r0 * stride;
    const p1 = codes + r1 * stride;
    const p2 = codes + r2 * stride;
    const p3 = codes + r3 * stride;
    let a = i32x4.splat(0);
    let b = i32x4.splat(0);
    let c = i32x4.splat(0);
    let d = i32x4.splat(0);
    for (let j: usize = 0; j < stride; j += 16) {
      const q = v128.load(coarse + j);
      a = more(p0 + j, q, a);
      b = more(p1 + j, q, b);
      c = more(p2 + j, q, c);
      d = more(p3 + j, q, d);
    }
    // The heap never reaches beyond the rows that were read.
    offer(a, r0, scales, sums, most, rows, scores);
    offer(b, r1, scales, sums, most, rows, scores);
    offer(c, r2, scales, sums, most, rows, scores);
    offer(d, r3, scales, sums, most, rows, scores);
  }
  for (; i < end; i++) {
    const r = usize(load<u32>(rows + (i << 2)));
    let a = i32x4.splat(0);
    for (let j: usize = 0; j < stride; j += 16) a = more(codes + r * stride + j, v128.load(coarse + j), a);
    offer(a, r, scales, sums, most, rows, scores);
  }
  return i32(kept);
}

/** For rows `from` … `to` - 1: the sum of the codes, and one bit a dimension, set where code × scale is above the mean (f32, `stride` numbers, those of padding above all). */
export function derive(codes: usize, stride: usize, scales: usize, mean: usize, from: i32, to: i32, sums: usize, bits: usize, bitStride: usize): void {
  for (let r = usize(from); r < usize(to); r++) {
    const row = codes + r * stride;
    const scale = f32x4.splat(load<f32>(scales + (r << 2)));
    const target = bits + r * bitStride;
    memory.fill(target, 0, bitStride);
    let sum = i32x4.splat(0);
    for (let j: usize = 0; j < stride; j += 16) {
      const x = v128.load(row + j);
      const low = i16x8.extend_low_i8x16_s(x);
      const high = i16x8.extend_high_i8x16_s(x);
      sum = i32x4.add(sum, i32x4.add(i32x4.extadd_pairwise_i16x8_s(low), i32x4.extadd_pairwise_i16x8_s(high)));
      const m = mean + (j << 2);
      const a = f32x4.gt(f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low)), scale), v128.load(m));
      const b = f32x4.gt(f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low)), scale), v128.load(m, 16));
      const c = f32x4.gt(f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high)), scale), v128.load(m, 32));
      const d = f32x4.gt(f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high)), scale), v128.load(m, 48));
      store<u16>(target + (j >> 3), u16(i8x16.bitmask(i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d)))));
    }
    store<i32>(sums + (r << 2), lanes(sum));
  }
}
