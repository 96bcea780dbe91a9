// node timeKernel.mjs VECTORS: time of kernels 0 to 2, a call from JavaScript included. They are 64-128-64-16 with tanh
// in int8, in int8 with residual rows for all outputs, and in f32.
//
// Prints the least and the median of many short samples: on a busy machine only the least means something, and the
// distance between the two is the noise.
import { readFile } from 'node:fs/promises';
import { readVectors } from './checkVectors.mjs';

const [{ modules, tests }] = readVectors(new Uint8Array(await readFile(process.argv[2])));
const memory = new WebAssembly.Memory({ initial: 16 });
const PARAMS = 0, X = 256 << 10, Y = 512 << 10, SCRATCH = 768 << 10;

/** Nanoseconds per row: [least, median] of `samples` times of `calls` calls. */
async function time(kernel, rows, calls, samples) {
  const times = [];
  for (let sample = -samples; sample < samples; sample++) {
    const begin = process.hrtime.bigint();
    for (let call = 0; call < calls; call++) kernel(PARAMS, X, Y, SCRATCH, rows);
    const ns = Number(process.hrtime.bigint() - begin) / calls / rows;
    if (sample >= 0) times.push(ns);
    else await new Promise((resolve) => setTimeout(resolve, 1)); // the engine optimises in between
  }
  times.sort((a, b) => a - b);
  return [times[0], times[times.length >> 1]].map(Math.round);
}

for (const [variant, calls] of [['simd128', 200], ['scalar', 20]]) {
  const { instance } = await WebAssembly.instantiate(modules[variant], { env: { memory } });
  const bytes = new Uint8Array(memory.buffer);
  for (const [i, format] of ['int8', 'int8 + residual', 'float32'].entries()) {
    const test = tests[i];
    bytes.set(test.params, PARAMS);
    bytes.set(test.x, X);
    for (const rows of [1, test.rows]) {
      const [least, median] = await time(instance.exports[`k${i}`], rows, Math.ceil(calls / rows), 300);
      console.log(`${variant}, ${format}, ${rows} rows: least ${least} ns, median ${median} ns per row`);
    }
  }
}
