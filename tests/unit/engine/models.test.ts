/** The catalogue: sound data, in step with the library that it repeats, and what is offered on which device. */
import { prebuiltAppConfig } from '@mlc-ai/web-llm';
import { describe, expect, it } from 'vitest';
import type { DeviceVerdict, GpuFacts } from '../../../src/engine/device.ts';
import { goldenVectors } from '../../../src/engine/golden.ts';
import { catalogue, embedderRow, modelRow, obstacle, recommend } from '../../../src/engine/models.ts';
import type { LlmRow } from '../../../src/engine/models.ts';

const gpu: GpuFacts = {
  vendor: 'nvidia',
  architecture: 'ampere',
  description: '',
  software: false,
  f16: true,
  subgroupMinSize: 32,
  maxBufferBytes: 2 ** 31,
  maxStorageBindingBytes: 2 ** 31,
};
const verdict = (change: Partial<DeviceVerdict>): DeviceVerdict => ({
  gpu: null,
  gpuError: 'device/no-webgpu',
  isolated: true,
  cores: 8,
  memoryGiB: 8,
  threads: 4,
  summary: '',
  ...change,
});
const withGpu = (change: Partial<GpuFacts> = {}, more: Partial<DeviceVerdict> = {}): DeviceVerdict =>
  verdict({ gpu: { ...gpu, ...change }, gpuError: null, ...more });
const llms = catalogue.filter((row): row is LlmRow => row.role === 'llm');

describe('catalogue', () => {
  it('has unique ids, and sizes that are the sum of the files', () => {
    expect(new Set(catalogue.map((row) => row.id)).size).toBe(catalogue.length);
    for (const row of catalogue) {
      const sum = row.files.reduce((total, file) => total + file.bytes, 0);
      if (row.files.length > 0) expect(Math.abs(sum - row.sizeBytes) / row.sizeBytes, row.id).toBeLessThan(0.005);
      for (const file of row.files) {
        expect(file.path, row.id).toMatch(/^[\w.-]+(\/[\w.-]+)*$/);
        if (file.sha256 !== null) expect(file.sha256).toMatch(/^[0-9a-f]{64}$/);
        if (file.hubUrl !== null) expect(file.hubUrl).toMatch(/^https:\/\/huggingface\.co\/[\w.-]+\/[\w.-]+\/resolve\/main\/[\w./-]+$/);
      }
    }
  });

  it('repeats the figures of the WebLLM catalogue exactly', () => {
    const rows = llms.filter((row) => row.backend === 'webllm');
    expect(rows.length).toBeGreaterThan(10);
    for (const row of rows) {
      const record = prebuiltAppConfig.model_list.find((model) => model.model_id === row.id);
      expect(record, row.id).toBeDefined();
      expect(row.memoryMB, row.id).toBe(record?.vram_required_MB);
      expect(row.contextTokens, row.id).toBe(record?.overrides?.context_window_size);
      for (const feature of record?.required_features ?? []) expect(row.needs, row.id).toContain(feature);
    }
  });

  it('has golden vectors of unit length for every embedder whose weights are known byte for byte', () => {
    const known = catalogue.filter((one) => one.role === 'embedder' && one.files.some((file) => file.sha256 !== null));
    expect(known.map(({ id }) => id)).toEqual(['minilm', 'bge-small', 'wordllama']);
    for (const row of known) {
      const golden = goldenVectors(row.id);
      expect(golden.length, row.id).toBeGreaterThan(0);
      for (const { vector } of golden) {
        expect(vector.length).toBe(embedderRow(row.id)?.dimensions);
        expect(Math.hypot(...vector)).toBeCloseTo(1, 2);
      }
    }
  });
});

describe('obstacle', () => {
  const row = (id: string) => {
    const found = modelRow(id);
    if (found === undefined) throw new Error(id);
    return found;
  };
  it('names what is missing', () => {
    expect(obstacle(row('Qwen2.5-1.5B-Instruct-q4f16_1-MLC'), verdict({}))?.code).toBe('device/no-webgpu');
    expect(obstacle(row('Qwen2.5-1.5B-Instruct-q4f16_1-MLC'), verdict({ gpuError: 'device/no-adapter' }))?.code).toBe('device/no-adapter');
    expect(obstacle(row('Qwen2.5-1.5B-Instruct-q4f16_1-MLC'), withGpu({ f16: false }))?.code).toBe('device/no-f16');
    expect(obstacle(row('Qwen2.5-1.5B-Instruct-q4f32_1-MLC'), withGpu({ f16: false }))).toBeNull();
    expect(obstacle(row('Qwen2.5-1.5B-Instruct-q4f32_1-MLC'), withGpu({ software: true }))?.code).toBe('device/limits');
    expect(obstacle(row('Qwen2.5-3B-Instruct-q4f16_1-MLC'), withGpu({}, { memoryGiB: 4 }))?.code).toBe('device/limits');
    expect(obstacle(row('qwen2.5-1.5b'), verdict({ memoryGiB: 2 }))?.code).toBe('device/limits');
    expect(obstacle(row('minilm'), verdict({ memoryGiB: null }))).toBeNull();
  });
});

describe('recommend', () => {
  it('prefers the graphics card, 16 bit where it can, the CPU else', () => {
    expect(recommend(withGpu(), catalogue).llm).toBe('Qwen2.5-1.5B-Instruct-q4f16_1-MLC');
    expect(recommend(withGpu({ f16: false }), catalogue).llm).toBe('Qwen2.5-1.5B-Instruct-q4f32_1-MLC');
    expect(recommend(withGpu({}, { memoryGiB: 32 }), catalogue).llm).toBe('Qwen2.5-3B-Instruct-q4f16_1-MLC');
    expect(recommend(withGpu({}, { memoryGiB: 2 }), catalogue).llm).toBe('Llama-3.2-1B-Instruct-q4f16_1-MLC');
    expect(recommend(withGpu({ software: true }, { threads: 1 }), catalogue).llm).toBe('qwen2.5-0.5b');
    expect(recommend(verdict({}), catalogue)).toEqual({ llm: 'qwen2.5-1.5b', embedder: 'minilm' });
  });
  it('proposes only what can be had', () => {
    const local = catalogue.filter((row) => row.id === 'smollm2-135m' || row.id === 'bge-small');
    expect(recommend(withGpu(), local)).toEqual({ llm: 'smollm2-135m', embedder: 'bge-small' });
    expect(recommend(verdict({}), [])).toEqual({ llm: null, embedder: null });
  });
  it('names only rows of the catalogue', () => {
    for (const device of [verdict({}), verdict({ threads: 1 }), withGpu(), withGpu({ f16: false }), withGpu({}, { memoryGiB: 32 })]) {
      expect(modelRow(recommend(device, catalogue).llm ?? '')).toBeDefined();
    }
  });
});
