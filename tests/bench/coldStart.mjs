// node coldStart.mjs PEER: milliseconds from here to the first outputs of 64-128-64-16, with Node itself running
// already, and the memory that came with it.
const {nodeEnv} = await import('./nodeEnv.mjs');
const env = nodeEnv();
const {coldStart} = await import('./measure.mjs');
globalThis.gc?.();
const before = process.memoryUsage().rss;
const begin = performance.now();
globalThis.kept = await coldStart(env, process.argv[2]);
const ms = performance.now() - begin;
globalThis.gc?.();
process.stdout.write(`\n${JSON.stringify({ms, bytes: process.memoryUsage().rss - before})}\n`, () => process.exit(0));
