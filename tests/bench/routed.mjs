// What a routed request costs beside its kernels: askSync() of one row, experts resident, one call into WebAssembly,
// beside the calls of the same two experts' kernels alone, in turn. In Node. The kernels compute on zeros, which takes
// them as long as anything else.
//
// Usage: node tests/bench/routed.mjs PACK [--rounds=NUMBER]      prints microseconds, and the goal: 1.5 x kernels + 2 us
import {loadavg} from 'node:os';
import {dirname, join} from 'node:path';
import {fileURLToPath, pathToFileURL} from 'node:url';
import {summary} from './statistics.mjs';

const dist = process.env.KIMIC_WEB_DIST ?? join(dirname(fileURLToPath(import.meta.url)), '../../runtime/web/dist');
const [path, ...rest] = process.argv.slice(2);
const rounds = Number(rest.find(text => text.startsWith('--rounds='))?.split('=')[1] ?? 200);
if (!path || !(rounds > 0)) {
  console.error('usage: node tests/bench/routed.mjs PACK [--rounds=NUMBER]');
  process.exit(2);
}
const {open} = await import(pathToFileURL(join(dist, 'index.js')).href);
const modules = [];
const {compile} = WebAssembly;
WebAssembly.compile = async bytes => {
  const module = await compile(bytes);
  if (WebAssembly.Module.exports(module).some(({name}) => name === 'k0')) modules.push(module);
  return module;
};

const pack = await open(path);
const {expert: router, routedExperts} = pack.info.router;
const {inputs} = await pack.expertInfo(router);
const row = Float32Array.from({length: inputs}, (_, i) => Math.sin(i));
await pack.load(Array.from({length: routedExperts}, (_, i) => i));
const {choices} = await pack.route(row, {k: 2});
const out = new Float32Array(await pack.ask(row, {k: 2}));
const {kernel, parameterBytes} = await pack.expertInfo(choices[0].expert);
if (modules.length !== 1) throw new Error('expected a pack with one group of kernels');
const memory = new WebAssembly.Memory({initial: 16});
const run = (await WebAssembly.instantiate(modules[0], {env: {memory}})).exports[`k${kernel}`];
const [params, x, y, scratch] = [64, 1, 2, 3].map((at, i) => (i ? (at * 4) << 16 : at));
if (parameterBytes > x - params) throw new Error('expected smaller experts');

const calls = 2000;
const lanes = {
  asked: () => {
    for (let i = 0; i < calls; ++i) pack.askSync(row, {k: 2, out});
  },
  kernels: () => {
    for (let i = 0; i < calls; ++i) {
      run(params, x, y, scratch, 1);
      run(params, x, y, scratch, 1);
    }
  },
};
const times = {asked: [], kernels: []};
for (let round = 0; round < rounds + 20; ++round)
  for (const lane of round % 2 ? ['asked', 'kernels'] : ['kernels', 'asked']) {
    const start = performance.now();
    lanes[lane]();
    if (round >= 20) times[lane].push(((performance.now() - start) * 1000) / calls); // after the engine has optimised
    await new Promise(resolve => setTimeout(resolve, 1));
  }
const goals = times.kernels.map(us => 1.5 * us + 2);
console.log(`Node ${process.version}, load ${loadavg()[0].toFixed(1)}, two experts of ${parameterBytes} bytes among ${routedExperts}`);
for (const [name, all] of Object.entries({...times, goal: goals})) {
  const {median, least} = summary(all);
  console.log(`${name.padEnd(8)} ${median.toFixed(2)} us (least ${least.toFixed(2)})`);
}
const kept = times.asked.filter((us, i) => us <= goals[i]).length;
console.log(`rounds within the goal: ${kept} of ${rounds}`);
await pack.dispose();
