// Runs kernels in this engine and compares every bit with what EmitVectors.cpp wrote.
//
// checkVectors(bytes) works in any engine, pages and workers included. It returns
//   { kernels, variants: [{ variant, kernels, rows, outputs }], failures: [string] }
// A variant that the engine cannot compile (no SIMD) is left out. Around x, y, the parameters and scratch lie guard
// bytes; a kernel that changes one, or an input, has failed.

const GUARD = 64;
const PATTERN = 0xa5;
const MAX_FAILURES = 20;

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
  }
  u32() {
    this.at += 4;
    return this.view.getUint32(this.at - 4, true);
  }
  block(length) {
    const block = this.bytes.subarray(this.at, this.at + length);
    if (block.length !== length) throw new Error(`vectors end at byte ${this.bytes.length}, inside a block`);
    this.at += (length + 3) & ~3;
    return block;
  }
}

function equal(a, b, begin, end) {
  for (let i = begin; i < end; i++) if (a[i] !== b[i]) return i;
  return -1;
}

/** Where the blocks of one run lie: x and y only aligned to 4, as the ABI allows. */
function place(test) {
  let end = 0;
  const take = (length, skew) => {
    const begin = ((end + GUARD + 15) & ~15) + skew;
    end = begin + length;
    return begin;
  };
  const at = {
    params: take(test.params.length, 0),
    x: take(test.x.length, 4),
    y: take(test.y.length, 12),
    scratch: take(test.scratchBytes, 0),
  };
  return { ...at, size: (end + GUARD + 15) & ~15 };
}

function runKernel(kernel, memory, test) {
  const at = place(test);
  const missing = at.size - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / 65536));
  const bytes = new Uint8Array(memory.buffer, 0, at.size);
  bytes.fill(PATTERN);
  bytes.set(test.params, at.params);
  bytes.set(test.x, at.x);
  const before = bytes.slice();
  kernel(at.params, at.x, at.y, at.scratch, test.rows);

  const wrong = equal(bytes.subarray(at.y), test.y, 0, test.y.length);
  if (wrong >= 0) {
    const index = wrong >> 2;
    const value = (block, offset) => new DataView(block.buffer, block.byteOffset + offset, 4).getFloat32(0, true);
    const found = value(bytes, at.y + 4 * index), expected = value(test.y, 4 * index);
    return `output ${index % test.outputs} of row ${Math.floor(index / test.outputs)} is ${found}, expected ${expected}`;
  }
  const writable = [[at.y, test.y.length], [at.scratch, test.scratchBytes]];
  let begin = 0;
  for (const [start, length] of [...writable, [at.size, 0]]) {
    const changed = equal(bytes, before, begin, start);
    if (changed >= 0) return `byte ${changed} changed, which lies outside of y (${at.y}) and scratch (${at.scratch})`;
    begin = start + length;
  }
  return null;
}

const VARIANTS = ['scalar', 'simd128'];

/** The groups of a vectors.bin: [{ modules: { scalar, simd128 }, tests: [{ inputs, outputs, rows, ... }] }]. */
export function readVectors(bytes) {
  const reader = new Reader(bytes);
  if (reader.u32() !== 0x4345564b) throw new Error('these are no kernel vectors');
  return Array.from({ length: reader.u32() }, () => {
    const kernels = reader.u32();
    const modules = Object.fromEntries(VARIANTS.map((variant) => [variant, reader.block(reader.u32())]));
    const tests = Array.from({ length: kernels }, () => {
      const [inputs, outputs, rows, parameterBytes, scratchBytes] = Array.from({ length: 5 }, () => reader.u32());
      const params = reader.block(parameterBytes);
      const x = reader.block(4 * rows * inputs);
      const y = reader.block(4 * rows * outputs);
      return { inputs, outputs, rows, scratchBytes, params, x, y };
    });
    return { modules, tests };
  });
}

export async function checkVectors(bytes) {
  const groups = readVectors(bytes);
  const results = VARIANTS.map((variant) => ({ variant, kernels: 0, rows: 0, outputs: 0 }));
  const failures = [];
  const memory = new WebAssembly.Memory({ initial: 16 });
  for (const [group, { modules, tests }] of groups.entries()) {
    for (const result of results) {
      const module = modules[result.variant];
      if (result.variant === 'simd128' && !WebAssembly.validate(module)) continue;
      const { instance } = await WebAssembly.instantiate(module, { env: { memory } });
      tests.forEach((test, i) => {
        const failure = runKernel(instance.exports[`k${i}`], memory, test);
        if (failure && failures.length < MAX_FAILURES)
          failures.push(`${result.variant} kernel ${i} of group ${group}: ${failure}`);
        result.kernels++;
        result.rows += test.rows;
        result.outputs += test.rows * test.outputs;
      });
    }
  }
  const kernels = groups.reduce((sum, { tests }) => sum + tests.length, 0);
  return { kernels, variants: results.filter((result) => result.kernels > 0), failures };
}
