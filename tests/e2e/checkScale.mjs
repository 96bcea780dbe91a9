// What a large pack costs over HTTP: requests, bytes, the memory of its directory, and how long its kernels take to
// link. Works in Node, pages and workers.

/** Limits by pack. */
export const scales = {
  scale: {requests: 3, bytes: 65536},
  million: {requests: 4, bytes: 98304},
};
const directoryBytes = 256 * 1024;

const inputOf = expert => new Float32Array(16 + (expert % 8) * 8).fill(0.5); // as scale-pack makes them

/** Throws what does not hold; returns what was measured. */
export async function checkScale(kimic, url, limits) {
  const expect = (what, found, most) => {
    if (!(found <= most)) throw new Error(`${what}: ${found}, more than ${most}`);
  };
  const ranges = [];
  const fetch = (address, init) => {
    ranges.push(init.headers.Range.match(/\d+/g).map(Number));
    return globalThis.fetch(address, init);
  };
  const start = performance.now();
  const pack = await kimic.open(url, {allowUnsigned: true, followsTransitions: false, fetch});
  const {experts} = pack.info;
  const run = expert => pack.run(expert, inputOf(expert));
  await run(Math.floor(experts * 0.7) | 63); // nothing is hot: this one is as good as any
  const ms = performance.now() - start;
  const requests = ranges.length;
  const bytes = ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0);
  expect('requests until the first answer', requests, limits.requests);
  expect('bytes until the first answer', bytes, limits.bytes);

  // Rows of leaves stay in memory, leaves do not.
  const step = Math.ceil(experts / 64);
  for (let expert = 0; expert < experts; expert += step) await run(expert);
  let random = 0;
  for (let i = 1; i <= 20; ++i) {
    ranges.length = 0;
    const expert = (i * 7919 * 131 + 5) % experts;
    await run(expert);
    random = Math.max(random, ranges.length);
    pack.evict(expert);
  }
  expect('requests of a random expert', random, 2);
  for (let expert = 0; expert < experts; expert += step) pack.evict(expert);
  const memory = pack.stats.arenaUsed; // the kernels' signatures and layouts included
  expect('memory without experts', memory, directoryBytes);
  await pack.dispose();
  return {requests, bytes, ms, random, memory};
}

/** Milliseconds, the median of 9, of all that the first expert takes from bytes in memory on: leaf, hashes, decoding,
 * verifying a module of 64 kernels, compiling and instantiating it. */
export async function measureLoad(kimic, url) {
  const head = new Uint8Array(await (await fetch(url, {headers: {Range: 'bytes=0-999999'}})).arrayBuffer());
  const source = {read: async (offset, length) => head.subarray(offset, offset + length)};
  const times = [];
  for (let i = 0; i < 9; ++i) {
    const pack = await kimic.open(source);
    const start = performance.now();
    await pack.load(0);
    times.push(performance.now() - start);
    if (pack.stats.linkedKernels !== 64) throw new Error(`${pack.stats.linkedKernels} kernels are linked`);
    await pack.dispose();
  }
  return `${times.sort((a, b) => a - b)[4].toFixed(2)} ms`;
}
