// The kernel benchmarks: kernels of random experts, named by the grammar of kernel-abi-v1, called in the engine.
//
//   node kernels.mjs OPTIONS      OPTIONS is JSON: {engines, kernels, functions, batches, rounds, sampleMs, warmUpMs,
//                                 nativeBench}; the results go to stdout as JSON.
//
// The kernels lie in folders of the work folder that emit-bench-kernels has written: kernels, functions and, with
// `linked`, linked.
import {readFileSync} from 'node:fs';
import {openChromium, openPage, openSampler} from './engines.mjs';
import {KernelHost} from './kernelHost.mjs';
import {nodeEnv, path} from './nodeEnv.mjs';
import {ratio, summary} from './statistics.mjs';

const options = JSON.parse(process.argv[2]);
const say = text => process.stderr.write(`${text}\n`);
const factsOf = folder => JSON.parse(readFileSync(path(`work/${folder}/kernels.json`), 'utf8'));
const native = options.nativeBench && openSampler(options.nativeBench, ['--sampler']);

/** `lanes` are {key, rows, sample, warmUp}; sets their samples, nanoseconds per row. */
async function takeTurns(lanes) {
  for (const lane of lanes) {
    lane.calls = Math.max(1, Math.round((await lane.warmUp(options.warmUpMs)) * options.sampleMs));
    lane.samples = [];
  }
  for (let round = 0; round < options.rounds; round++)
    for (let i = 0; i < lanes.length; i++) {
      const lane = lanes[(i + round) % lanes.length];
      lane.samples.push((await lane.sample(lane.calls)) / lane.rows);
    }
}

const laneOf = (host, key, rows) => ({
  key,
  rows,
  warmUp: ms => host('warmUp', key, rows, ms),
  sample: calls => host('sample', key, rows, calls),
});

function nativeLane(inputs, outputs) {
  const sample = async calls => Number(await native.ask(`${inputs} ${outputs} ${calls}`));
  return {key: 'native', rows: 1, sample, warmUp: async () => 1e6 / (await sample(Math.ceil(1e9 / inputs / outputs / 40)))};
}

async function measureKernels(engine, host) {
  const results = [];
  for (const [index, {name, macs, inputs, outputs, moduleBytes, parameterBytes}] of factsOf('kernels').entries()) {
    const {wrong} = await host('open', 'kernels', index);
    const lanes = options.batches.map(rows => laneOf(host, `kernels ${index}`, rows));
    // One layer of the default class: against the same sequence natively, and against XNNPACK's.
    const isLayer = /^w8a14_\d+-\d+_linear$/.test(name) && inputs % 8 === 0 && outputs % 32 === 0;
    let xnnpackWrong;
    if (isLayer && native) lanes.push(nativeLane(inputs, outputs));
    if (isLayer) {
      xnnpackWrong = (await host('openXnnpack', inputs, outputs)).wrong;
      lanes.push(laneOf(host, `xnnpack ${inputs} ${outputs}`, 1));
    }
    await takeTurns(lanes);
    const byKey = key => lanes.find(lane => lane.key.startsWith(key))?.samples;
    for (const lane of lanes.filter(lane => lane.key.startsWith('kernels'))) {
      const ns = summary(lane.samples);
      results.push({engine, name, rows: lane.rows, wrong, nsPerRow: ns, gmacs: macs / ns.median, gmacsBest: macs / ns.least, moduleBytes, parameterBytes,
        ...(lane.rows === 1 && isLayer ? {
          nativeNs: native && summary(byKey('native')), shareOfNative: native && ratio(byKey('native'), lane.samples),
          xnnpackWrong, xnnpackNs: summary(byKey('xnnpack')), timesXnnpack: ratio(byKey('xnnpack'), lane.samples)} : {})});
    }
    say(`  ${name}: ${results.at(-1).nsPerRow.least.toFixed(0)} ns per row at best, ${results.at(-1).gmacsBest.toFixed(1)} GMAC/s`);
  }
  return results;
}

/** Of each function the time beyond that of the constant function, which is the cheapest possible one. */
async function measureFunctions(engine, host) {
  const facts = factsOf('functions');
  const lanes = [];
  for (const index of facts.keys()) {
    const {wrong} = await host('open', 'functions', index);
    lanes.push({...laneOf(host, `functions ${index}`, 1), wrong});
  }
  await takeTurns(lanes);
  return facts.map(({name}, index) => {
    const [, widths, rest] = /^w8a14_([\d-]+)_(.*)$/.exec(name);
    const [, inner, isHidden] = widths.split('-');
    const head = /_(softmax|argmax)$/.exec(rest)?.[1];
    const baseName = head ? `w8a14_${widths}_linear` : `w8a14_${widths}_gaussian_stepwise${isHidden ? '-linear' : ''}`;
    const base = facts.findIndex(other => other.name === baseName);
    const place = head ? 'head' : isHidden ? 'hidden' : 'output';
    const width = Number(inner);
    const own = lanes[index].samples;
    const differences = own.map((ns, i) => (ns - lanes[base].samples[i]) / width);
    return {engine, name, place, function: head ?? rest.replace(/-linear$/, ''), wrong: lanes[index].wrong, nsPerElement: summary(differences),
      leastDifference: (Math.min(...own) - Math.min(...lanes[base].samples)) / width, ns: summary(own)};
  });
}

/** How long a host waits for a module of many kernels. */
async function measureLinking(engine, host) {
  const kernels = factsOf('linked').length;
  const samples = [];
  for (let round = 0; round < options.rounds; round++) samples.push(await host('link', 'linked', kernels, round));
  return {engine, kernels, bytes: samples[0].bytes, ms: summary(samples.map(sample => sample.ms))};
}

const results = {kernels: [], functions: [], linking: []};
const env = nodeEnv();
const chromium = options.engines.includes('chromium') ? await openChromium() : undefined;
for (const engine of options.engines) {
  const page = engine === 'chromium' ? await openPage(chromium, '?kernels') : undefined;
  const local = page ? undefined : new KernelHost(env);
  const host = page ? page.call : async (method, ...args) => local[method](...args);
  say(`${engine}: kernels`);
  results.kernels.push(...(await measureKernels(page ? chromium.name : 'node', host)));
  if (options.linked) results.linking.push(await measureLinking(page ? chromium.name : 'node', host));
  say(`${engine}: functions`);
  results.functions.push(...(await measureFunctions(page ? chromium.name : 'node', host)));
  await page?.close();
}
native?.close();
await chromium?.close();
process.stdout.write(JSON.stringify(results), () => process.exit(0));
