/**
 * The memory's bandwidth as one thread of WebAssembly sees it: a module that does nothing but load, 64 bytes a turn into four sums. Assembled here, instruction by
 * instruction, so that what is measured does not depend on the kernel that it is compared with.
 */
const get = (local: number): number[] => [0x20, local];
const set = (local: number): number[] => [0x21, local];
const add = [0xfd, 0xae, 0x01]; // i32x4.add
const [i32, v128, pointer, end, firstSum] = [0x7f, 0x7b, 0, 1, 2];
const section = (id: number, ...body: number[]): number[] => [id, body.length, ...body];
const exported = (name: string, kind: number): number[] => [name.length, ...new TextEncoder().encode(name), kind, 0];

function readerModule(): Uint8Array<ArrayBuffer> {
  const loads = [0, 1, 2, 3].flatMap((i) => [...get(firstSum + i), ...get(pointer), 0xfd, 0x00, 0x04, 16 * i, ...add, ...set(firstSum + i)]);
  const step = [...get(pointer), 0x41, 0xc0, 0x00, 0x6a, 0x22, pointer, ...get(end), 0x49, 0x0d, 0x00]; // pointer += 64, again while below the end
  const sum = [...get(firstSum), ...[1, 2, 3].flatMap((i) => [...get(firstSum + i), ...add]), 0xfd, 0x1b, 0x00];
  const code = [0x01, 0x04, v128, 0x03, 0x40, ...loads, ...step, 0x0b, ...sum, 0x0b];
  return Uint8Array.from([
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00,
    ...section(1, 0x01, 0x60, 0x02, i32, i32, 0x01, i32),
    ...section(3, 0x01, 0x00),
    ...section(5, 0x01, 0x00, 0x01),
    ...section(7, 0x02, ...exported('read', 0), ...exported('memory', 2)),
    ...section(10, 0x01, code.length, ...code),
  ]);
}

/** Returns a function that reads `bytes` (at most 256 MiB, then scaled up) once and tells the milliseconds. */
export function bandwidthReader(bytes: number): () => number {
  const { read, memory } = new WebAssembly.Instance(new WebAssembly.Module(readerModule())).exports;
  if (typeof read !== 'function' || !(memory instanceof WebAssembly.Memory)) throw new Error('the reader lacks a function');
  // The module above has exactly this function.
  const readAll = read as (from: number, to: number) => number;
  const size = Math.ceil(Math.min(bytes, 256 * 2 ** 20) / 64) * 64;
  memory.grow(Math.ceil(size / 65_536));
  // Pages that were never written share one page of zeros and would be read from the nearest cache.
  new Uint8Array(memory.buffer, 0, size).fill(1);
  const pass = (): number => {
    const started = performance.now();
    readAll(0, size);
    return ((performance.now() - started) * bytes) / size;
  };
  for (let i = 0; i < 3; i++) pass();
  return pass;
}
