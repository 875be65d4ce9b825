/** The embedding worker: serves `EmbedWorkerApi`. The library comes as a chunk of its own with the first model. */
import { createEmbedService } from '../src/engine/embed-service.ts';
import { serve } from '../src/engine/serve.ts';

serve(
  createEmbedService({
    onnx: async (row, request, device) => {
      const { dtypeOf, prepareOrt, whileDeviceLives } = await import('../src/engine/backends/ort.ts');
      const { openOnnxEmbedder } = await import('../src/engine/backends/onnx-embedder.ts');
      prepareOrt({ modelId: row.id, files: request.files, webgpu: device === 'webgpu', threads: request.threads });
      return openOnnxEmbedder(row, { device, dtype: dtypeOf(request.files), guard: whileDeviceLives });
    },
    crossEncoder: async (row, request, device) => {
      const { dtypeOf, prepareOrt, whileDeviceLives } = await import('../src/engine/backends/ort.ts');
      const { openCrossEncoder } = await import('../src/engine/backends/cross-encoder.ts');
      prepareOrt({ modelId: row.id, files: request.files, webgpu: device === 'webgpu', threads: request.threads });
      return openCrossEncoder(row, { device, dtype: dtypeOf(request.files), guard: whileDeviceLives });
    },
    static: async (row, request) => (await import('../src/engine/backends/static-embedder.ts')).openStaticEmbedder(row, request.files),
    golden: async (id) => (await import('../src/engine/golden.ts')).goldenVectors(id),
  }),
);
