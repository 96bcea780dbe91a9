// The part of the product benchmarks that runs where the peers run, in Node or in a page: opens networks and takes
// samples. The caller takes turns among the peers.
const modules = {
  kimic: 'kimic',
  'f32 by hand': 'handwritten',
  'libfann wasm': 'fann',
  'ort-web f32': 'ort',
  'ort-web int8 static': 'ort',
  'ort-web int8 dynamic': 'ort',
  'tfjs-wasm f32': 'tfjs',
  'LiteRT f32': 'litert',
  'LiteRT int8': 'litert',
};
export const peerNames = Object.keys(modules);

const pause = () => new Promise(resolve => setTimeout(resolve, 1));

export class Host {
  constructor(env) {
    this.env = env;
    this.peers = new Map();
    this.runners = new Map();
  }

  async peer(name) {
    if (!this.peers.has(name)) {
      const {create} = await import(`./peers/${modules[name]}.mjs`);
      this.peers.set(name, await create(this.env, name));
    }
    return this.peers.get(name);
  }

  /** Opens `network` for `rows` rows, or the mixture; returns the error against float64 and whatever went wrong. */
  async open(name, network, rows) {
    try {
      const peer = await this.peer(name);
      const isMixture = network === 'mixture';
      const {inputs, outputs, x, truth} = await this.data(network);
      let runner, maxError = 0, otherChoices = 0;
      const compare = (y, first) => {
        if (y.length % outputs) throw new Error(`${y.length} outputs of rows of ${outputs}`);
        for (let i = 0; i < y.length; i++) {
          const error = Math.abs(y[i] - truth[first * outputs + i]);
          if (!(error <= maxError)) maxError = error; // NaN stays
        }
      };
      if (isMixture) {
        const all = Array.from({length: this.env.rows}, (_, r) => x.slice(r * inputs, (r + 1) * inputs));
        runner = await peer.openMixture(all);
        for (let r = 0; r < all.length; r++) {
          const {chosen, output} = await runner.run(r);
          // Where two experts are almost equally likely, rounding chooses; then the outputs are of other networks.
          if (chosen.join() === this.env.mixture.chosen[r].join()) compare(output, r);
          else otherChoices++;
        }
      } else {
        runner = await peer.open(network, x.slice(0, rows * inputs), rows, outputs);
        compare(await runner.run(), 0);
      }
      this.runners.set(name, runner);
      return {maxError, otherChoices};
    } catch (error) {
      return {failure: String(error?.stack ?? error)};
    }
  }

  async data(network) {
    const sizes = this.env.networks[network]?.sizes ?? this.env.mixture.sizes;
    const floats = await this.env.bytes(`work/networks/${network}.x.f32`);
    const doubles = await this.env.bytes(`work/networks/${network}.y.f64`);
    return {inputs: sizes[0], outputs: sizes.at(-1), x: new Float32Array(floats), truth: new Float64Array(doubles)};
  }

  /** Runs until `ms` have passed, with pauses in which the engine may optimise; returns the calls of one ms. */
  async warmUp(name, ms) {
    const runner = this.runners.get(name);
    let calls = 1, took = 0;
    const end = performance.now() + ms;
    while (performance.now() < end) {
      const begin = performance.now();
      await runner.loop(calls);
      took = performance.now() - begin;
      if (took < 1) calls *= 2;
      await pause();
    }
    return calls / Math.max(took, 1e-3);
  }

  /** Nanoseconds per call. */
  async sample(name, calls) {
    const runner = this.runners.get(name);
    const begin = performance.now();
    await runner.loop(calls);
    return ((performance.now() - begin) * 1e6) / calls;
  }
}

/** From nothing to the first outputs of 64-128-64-16; nothing else is loaded. */
export async function coldStart(env, name) {
  const {create} = await import(`./peers/${modules[name]}.mjs`);
  const peer = await create(env, name);
  const runner = await peer.open('64-128-64-16', new Float32Array(64).fill(0.25), 1, 16);
  const y = await runner.run();
  if (y.length !== 16) throw new Error(`${y.length} outputs`);
  return peer;
}
