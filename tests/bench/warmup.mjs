// What warming up brings: time per call of a new pack's expert before and after Pack.warmUp(), and of one kernel that was
// never warmed up over its first thousands of calls. In Node, and in headless Chromium with --chromium.
//
// Usage: node tests/bench/warmup.mjs PACK [--chromium] [--expert=NUMBER]      prints one JSON object
import {createRequire} from 'node:module';
import {basename, dirname, join, resolve} from 'node:path';
import {fileURLToPath, pathToFileURL} from 'node:url';
import {serve} from '../e2e/server.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const dist = process.env.KIMIC_WEB_DIST ?? join(here, '../../runtime/web/dist');

/** Runs in the page too: everything it needs comes in as arguments. */
async function measure(module, source, expert) {
  const {open} = await import(module);
  const median = values => values.sort((a, b) => a - b)[values.length >> 1];
  const perCall = (pack, input, out, calls) => {
    const start = performance.now();
    for (let i = 0; i < calls; ++i) pack.runSync(expert, input, {out});
    return ((performance.now() - start) * 1e6) / calls;
  };
  const warmed = [];
  const curves = [];
  for (let round = 0; round < 5; ++round) {
    const pack = await open(source, {allowUnsigned: true});
    const {inputs, outputs} = await pack.expertInfo(expert);
    const [input, out] = [new Float32Array(inputs), new Float32Array(outputs)];
    // An engine may keep optimised code of equal modules, so the first round is the one of a new visitor.
    const before = perCall(pack, input, out, 200);
    const report = await pack.warmUp({experts: [expert]});
    const after = median(Array.from({length: 9}, () => perCall(pack, input, out, 1000)));
    warmed.push({before, after, warmUpMs: report.ms, calls: report.kernels[0]?.calls ?? 0});
    await pack.dispose();

    const cold = await open(source, {allowUnsigned: true});
    await cold.load(expert);
    const curve = [];
    for (let calls = 0; calls < 20000; calls += 1000) {
      curve.push(Math.round(perCall(cold, input, out, 1000)));
      await new Promise(resolve => setTimeout(resolve));
    }
    curves.push(curve);
    await cold.dispose();
  }
  return {unit: 'ns per call', firstRound: warmed[0], rounds: warmed, withoutWarmUpPer1000Calls: curves[0]};
}

const [pack, ...flags] = process.argv.slice(2);
if (!pack) {
  console.error('usage: node tests/bench/warmup.mjs PACK [--chromium] [--expert=NUMBER]');
  process.exit(2);
}
const expert = Number(flags.find(flag => flag.startsWith('--expert='))?.slice(9) ?? 0);
const results = {pack: basename(pack), expert};
if (flags.includes('--chromium')) {
  const server = await serve({dist, packs: dirname(resolve(pack)), page: {body: '<!doctype html>', type: 'text/html'}});
  const {chromium} = createRequire(join(here, '../../runtime/web/package.json'))('playwright-core');
  const browser = await chromium.launch({
    executablePath: process.env.KIMIC_CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  });
  const page = await browser.newPage();
  await page.goto(`${server.url}/page`);
  results.engine = `Chromium ${browser.version()}`;
  const call = `(${measure})(${JSON.stringify(`${server.url}/dist/index.js`)}, ${JSON.stringify(`/packs/${basename(pack)}`)}, ${expert})`;
  Object.assign(results, await page.evaluate(call));
  await browser.close();
  await server.close();
} else {
  results.engine = `Node ${process.version}`;
  Object.assign(results, await measure(pathToFileURL(join(dist, 'index.js')).href, resolve(pack), expert));
}
console.log(JSON.stringify(results, null, 1));
