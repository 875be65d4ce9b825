/** Stands in for the embedder that EntityDB would fetch from a hub when it is loaded: the benchmark gives it vectors. */
export const env = { localModelPath: '', backends: { onnx: { wasm: {} } } };
export const pipeline = (): Promise<never> => new Promise<never>(() => undefined);
