// TensorFlow.js with its WebAssembly backend, one thread; matrices and biases fused, as its converter would do.
import {openMixture} from './mixture.mjs';

async function library(env) {
  if (env.isNode) {
    const tf = env.require('@tensorflow/tfjs-core');
    const wasm = env.require('@tensorflow/tfjs-backend-wasm');
    wasm.setWasmPaths(`${env.path('peers/@tensorflow/tfjs-backend-wasm/dist')}/`);
    wasm.setThreadsCount(1);
    return tf;
  }
  await env.script('peers/@tensorflow/tfjs-core/dist/tf-core.min.js');
  await env.script('peers/@tensorflow/tfjs-backend-wasm/dist/tf-backend-wasm.min.js');
  globalThis.tf.wasm.setWasmPaths(String(env.url('peers/@tensorflow/tfjs-backend-wasm/dist/')));
  globalThis.tf.wasm.setThreadsCount(1);
  return globalThis.tf;
}

export async function create(env) {
  const tf = await library(env);
  await tf.setBackend('wasm');
  await tf.ready();
  async function network(name, sizes, rows) {
    const from = new Float32Array(await env.bytes(`work/networks/${name}.f32`));
    const layers = [];
    let at = 0;
    for (let l = 0; l + 1 < sizes.length; l++) {
      const w = tf.tensor2d(from.slice(at, (at += sizes[l] * sizes[l + 1])), [sizes[l + 1], sizes[l]]);
      layers.push({b: tf.transpose(w), bias: tf.tensor1d(from.slice(at, (at += sizes[l + 1])))});
    }
    let input;
    return {
      set: x => (input = x),
      run: () =>
        tf.tidy(() => {
          let h = tf.tensor2d(input, [rows, sizes[0]]);
          for (const {b, bias} of layers) h = tf.tanh(tf.fused.matMul({a: h, b, bias}));
          return h.dataSync();
        }),
    };
  }
  return {
    async open(name, x, rows) {
      const {set, run} = await network(name, env.networks[name].sizes, rows);
      set(x);
      return {
        run,
        async loop(calls) {
          for (let i = 0; i < calls; i++) run();
        },
      };
    },
    openMixture: rows => openMixture(rows, env, (name, sizes) => network(name, sizes, 1)),
  };
}
