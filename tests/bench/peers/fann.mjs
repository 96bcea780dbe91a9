// libfann compiled to WebAssembly by Emscripten.
import {openMixture} from './mixture.mjs';

const none = () => 0;
export async function create(env) {
  const {instance} = await WebAssembly.instantiate(await env.bytes('work/native/fann.wasm'), {
    wasi_snapshot_preview1: {clock_time_get: none, fd_write: none, fd_read: none, fd_close: none, fd_seek: none},
    env: {emscripten_notify_memory_growth: none},
  });
  const {memory, _initialize, fann_bench_create, fann_bench_run, fann_bench_allocate} = instance.exports;
  _initialize();
  const put = array => {
    const at = fann_bench_allocate(array.byteLength);
    new array.constructor(memory.buffer, at, array.length).set(array);
    return at;
  };
  async function network(name, sizes, rows) {
    const weights = put(new Float32Array(await env.bytes(`work/networks/${name}.f32`)));
    const net = fann_bench_create(put(Uint32Array.from(sizes)), sizes.length, weights);
    const x = put(new Float32Array(rows * sizes[0]));
    const y = put(new Float32Array(rows * sizes.at(-1)));
    return {
      set: input => new Float32Array(memory.buffer, x, input.length).set(input),
      run() {
        fann_bench_run(net, x, y, rows);
        return new Float32Array(memory.buffer, y, rows * sizes.at(-1));
      },
    };
  }
  return {
    async open(name, x, rows, outputs) {
      const {set, run} = await network(name, env.networks[name].sizes, rows);
      const out = new Float32Array(rows * outputs);
      const once = () => {
        set(x);
        out.set(run());
        return out;
      };
      return {
        run: once,
        async loop(calls) {
          for (let i = 0; i < calls; i++) once();
        },
      };
    },
    openMixture: rows => openMixture(rows, env, (name, sizes) => network(name, sizes, 1)),
  };
}
