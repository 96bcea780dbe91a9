// native/mlp.c as WebAssembly: f32, SIMD128, without any runtime.
import {openMixture} from './mixture.mjs';

export async function create(env) {
  const {instance} = await WebAssembly.instantiate(await env.bytes('work/native/mlp.wasm'), {});
  const {memory, mlp_allocate, mlp_pack, mlp_run} = instance.exports;
  const put = array => {
    const at = mlp_allocate(array.byteLength);
    if (!at) throw new Error('the heap of mlp.c is too small');
    new array.constructor(memory.buffer, at, array.length).set(array);
    return at;
  };
  const sizesAt = new Map();
  async function network(name, sizes, rows) {
    const from = new Float32Array(await env.bytes(`work/networks/${name}.f32`));
    const key = sizes.join();
    if (!sizesAt.has(key)) sizesAt.set(key, put(Int32Array.from(sizes)));
    const layers = sizes.length - 1;
    const weights = mlp_allocate(sizes.slice(1).reduce((sum, n, l) => sum + 64 * Math.ceil(n / 16) * (sizes[l] + 1), 0));
    // Packed from a place that the next network may overwrite.
    if (!weights || from.byteLength > staging.bytes) throw new Error('the heap of mlp.c is too small');
    new Float32Array(memory.buffer, staging.at, from.length).set(from);
    mlp_pack(staging.at, sizesAt.get(key), layers, weights);
    const input = new Float32Array(memory.buffer, put(new Float32Array(rows * sizes[0])), rows * sizes[0]);
    const output = new Float32Array(memory.buffer, put(new Float32Array(rows * sizes.at(-1))), rows * sizes.at(-1));
    const at = sizesAt.get(key);
    return {input, output, run: () => mlp_run(weights, at, layers, input.byteOffset, output.byteOffset, rows)};
  }
  const staging = {bytes: 400_000, at: mlp_allocate(400_000)};
  return {
    async open(name, x, rows, outputs) {
      const {input, output, run} = await network(name, env.networks[name].sizes, rows);
      const out = new Float32Array(rows * outputs);
      const once = () => {
        input.set(x);
        run();
        out.set(output);
        return out;
      };
      return {
        run: once,
        async loop(calls) {
          for (let i = 0; i < calls; i++) once();
        },
      };
    },
    openMixture: rows =>
      openMixture(rows, env, async (name, sizes) => {
        const {input, output, run} = await network(name, sizes, 1);
        return {
          set: x => input.set(x),
          run() {
            run();
            return output;
          },
        };
      }),
  };
}
