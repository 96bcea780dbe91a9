// LiteRT for web, CPU: f32 models and models of int8 weights and activations with f32 inputs and outputs.
// Its compat build is the one without relaxed SIMD, which Node 20 lacks.
import {openMixture} from './mixture.mjs';

export async function create(env, variant) {
  const suffix = variant === 'LiteRT int8' ? '.int8.tflite' : '.tflite';
  if (env.isNode) await env.pretendWorker();
  const {loadLiteRt, loadAndCompile, Tensor} = await import(env.url('peers/@litertjs/core/dist/index.js'));
  env.litert ??= loadLiteRt(String(env.url(`peers/@litertjs/core/wasm/litert_wasm_${env.isNode ? 'compat_' : ''}internal.js`)));
  await env.litert;
  async function network(name, sizes, rows) {
    const model = await loadAndCompile(new Uint8Array(await env.bytes(`work/models/${name}.${rows}${suffix}`)), {accelerator: 'wasm'});
    const data = new Float32Array(rows * sizes[0]);
    return {
      set: x => data.set(x),
      async run() {
        const input = new Tensor(data, [rows, sizes[0]]);
        const [output] = await model.run([input]);
        const values = output.toTypedArray().slice();
        output.delete();
        input.delete();
        return values;
      },
    };
  }
  return {
    async open(name, x, rows) {
      const {set, run} = await network(name, env.networks[name].sizes, rows);
      set(x);
      return {
        run,
        async loop(calls) {
          for (let i = 0; i < calls; i++) await run();
        },
      };
    },
    openMixture: rows => openMixture(rows, env, (name, sizes) => network(name, sizes, 1)),
  };
}
