// The part of the kernel benchmarks that runs in the engine: links kernels, checks their bits, takes samples.
const page = 65536;

export class KernelHost {
  constructor(env) {
    this.env = env;
    this.memory = new WebAssembly.Memory({initial: 64});
    this.lanes = new Map();
  }

  /** Of `folder`, the kernel `index` of kernels.json; returns how many outputs differ from the reference's. */
  async open(folder, index) {
    this.facts ??= new Map();
    if (!this.facts.has(folder)) this.facts.set(folder, JSON.parse(new TextDecoder().decode(await this.env.bytes(`work/${folder}/kernels.json`))));
    const {inputs, outputs, rows, parameterBytes, scratchBytes} = this.facts.get(folder)[index];
    const data = new Uint8Array(await this.env.bytes(`work/${folder}/${index}.bin`));
    const at = {params: 64};
    at.x = at.params + parameterBytes;
    at.y = (at.x + 4 * rows * inputs + 15) & ~15;
    at.scratch = (at.y + 4 * rows * outputs + 15) & ~15;
    this.reserve(at.scratch + scratchBytes);
    const {instance} = await WebAssembly.instantiate(await this.env.bytes(`work/${folder}/${index}.wasm`), {env: {memory: this.memory}});
    const kernel = instance.exports.k0;
    const expected = data.subarray(parameterBytes + 4 * rows * inputs);
    const lane = {
      prepare: () => new Uint8Array(this.memory.buffer).set(data.subarray(0, parameterBytes + 4 * rows * inputs), at.params),
      loop(count, calls) {
        for (let i = 0; i < calls; i++) kernel(at.params, at.x, at.y, at.scratch, count);
      },
    };
    lane.prepare();
    lane.loop(rows, 1);
    const found = new Uint32Array(this.memory.buffer, at.y, rows * outputs);
    const wanted = new DataView(expected.buffer, expected.byteOffset);
    this.lanes.set(`${folder} ${index}`, lane);
    return {wrong: found.reduce((wrong, bits, i) => wrong + (bits !== wanted.getUint32(4 * i, true)), 0)};
  }

  /** The sequence of XNNPACK's int8 kernel on random numbers; returns the outputs that differ from plain arithmetic. */
  async openXnnpack(inputs, outputs) {
    const {instance} = await WebAssembly.instantiate(await this.env.bytes('work/native/xnnpack.wasm'), {});
    const {xnn_fill, xnn_check, xnn_run} = instance.exports;
    xnn_fill(inputs, outputs);
    this.lanes.set(`xnnpack ${inputs} ${outputs}`, {
      prepare() {},
      loop(rows, calls) {
        for (let i = 0; i < calls; i++) xnn_run(inputs, outputs);
      },
    });
    return {wrong: xnn_check(inputs, outputs)};
  }

  /** Milliseconds to link the module of all kernels of `folder` as the npm package does; never the same bytes twice. */
  async link(folder, kernels, round) {
    const custom = [0, 5, 1, 0x6e, round & 255, (round >> 8) & 255, (Math.random() * 256) | 0]; // a section named n
    const bytes = new Uint8Array([...new Uint8Array(await this.env.bytes(`work/${folder}/all.wasm`)), ...custom]);
    const table = new WebAssembly.Table({initial: 1, element: 'anyfunc'});
    const begin = performance.now();
    const module = await WebAssembly.compile(bytes);
    const {exports} = await WebAssembly.instantiate(module, {env: {memory: this.memory}});
    const first = table.grow(kernels);
    for (let i = 0; i < kernels; i++) table.set(first + i, exports[`k${i}`]);
    return {ms: performance.now() - begin, bytes: bytes.length};
  }

  reserve(bytes) {
    const missing = bytes - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / page));
  }

  /** Calls of one millisecond, once the engine has optimised for `ms`. */
  async warmUp(key, rows, ms) {
    const lane = this.lanes.get(key);
    lane.prepare();
    let calls = 1, took = 0;
    for (const end = performance.now() + ms; performance.now() < end; ) {
      const begin = performance.now();
      lane.loop(rows, calls);
      took = performance.now() - begin;
      if (took < 1) calls *= 2;
      await new Promise(resolve => setTimeout(resolve, 1));
    }
    return calls / Math.max(took, 1e-3);
  }

  /** Nanoseconds per call. */
  sample(key, rows, calls) {
    const lane = this.lanes.get(key);
    lane.prepare();
    const begin = performance.now();
    lane.loop(rows, calls);
    return ((performance.now() - begin) * 1e6) / calls;
  }
}
