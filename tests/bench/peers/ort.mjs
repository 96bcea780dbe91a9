// onnxruntime-web, its WebAssembly provider on one thread: f32, and what onnxruntime.quantization makes of it.
import {openMixture} from './mixture.mjs';

const suffixes = {'ort-web f32': '.onnx', 'ort-web int8 static': '.static.onnx', 'ort-web int8 dynamic': '.dynamic.onnx'};

export async function create(env, variant) {
  const folder = 'peers/onnxruntime-web/dist/';
  const ort = await import(env.url(`${folder}ort.wasm.min.mjs`));
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = {
    mjs: String(env.url(`${folder}ort-wasm-simd-threaded.mjs`)),
    wasm: String(env.url(`${folder}ort-wasm-simd-threaded.wasm`)),
  };
  if (env.isNode) ort.env.wasm.wasmBinary = await env.bytes(`${folder}ort-wasm-simd-threaded.wasm`);
  async function network(name, sizes, rows) {
    const model = new Uint8Array(await env.bytes(`work/models/${name}${suffixes[variant]}`));
    const session = await ort.InferenceSession.create(model, {executionProviders: ['wasm'], graphOptimizationLevel: 'all'});
    const data = new Float32Array(rows * sizes[0]);
    const feeds = {x: new ort.Tensor('float32', data, [rows, sizes[0]])};
    return {set: x => data.set(x), run: async () => (await session.run(feeds)).y.data, session, feeds};
  }
  return {
    async open(name, x, rows) {
      const {set, run, session, feeds} = await network(name, env.networks[name].sizes, rows);
      set(x);
      return {
        run,
        async loop(calls) {
          for (let i = 0; i < calls; i++) await session.run(feeds);
        },
      };
    },
    openMixture: rows => openMixture(rows, env, (name, sizes) => network(name, sizes, 1)),
  };
}
