// The product benchmarks: kimic and its peers on the same trained networks, in Node and in headless Chromium.
//
//   node product.mjs OPTIONS      OPTIONS is JSON: {engines, peers, natives, networks, batches, rounds, sampleMs, warmUpMs,
//                                 firstWarmUpMs, coldRounds, python, venv, pythonPath}; the results go to stdout as JSON.
//
// In every round each peer is sampled once, natives included, in an order that moves on; so a ratio compares samples
// that lie milliseconds apart.
import {execFile} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {promisify} from 'node:util';
import {brotliCompressSync, constants} from 'node:zlib';
import {openChromium, openPage, openSampler} from './engines.mjs';
import {Host} from './measure.mjs';
import {nodeEnv, path, work} from './nodeEnv.mjs';
import {quantile, ratio, summary} from './statistics.mjs';

const options = JSON.parse(process.argv[2]);
const here = dirname(fileURLToPath(import.meta.url));
const env = nodeEnv();
const say = text => process.stderr.write(`${text}\n`);
for (const method of ['log', 'info', 'warn', 'debug', 'error']) console[method] = () => {}; // what the peers tell

const samplers = {
  'libfann native': {file: 'libfann', open: () => openSampler(path('work/native/fann-sampler'), [path('work/networks'), path('work/outputs')])},
  'kimic native (Python)': {
    file: 'kimic',
    open: () => openSampler(options.python, [join(here, 'native/sampler.py'), 'kimic', path('work/bench.kpk'), work], {PYTHONPATH: options.pythonPath}),
  },
  'ort native f32 (Python)': {
    file: 'ort',
    open: () => openSampler(options.venv, [join(here, 'native/sampler.py'), 'ort', '.onnx', work]),
  },
  'ort native int8 (Python)': {
    file: 'ort.static',
    open: () => openSampler(options.venv, [join(here, 'native/sampler.py'), 'ort', '.static.onnx', work]),
  },
};

/** As Host, for a sampler. */
class NativeHost {
  constructor(name) {
    this.file = samplers[name].file;
    this.process = samplers[name].open();
  }
  async open(network, rows) {
    this.key = `${network} ${rows}`;
    try {
      await this.process.ask(`${this.key} 1`);
      const bytes = readFileSync(path(`work/outputs/${this.file}.${network}.${rows}`));
      const y = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
      const truth = new Float64Array(await env.bytes(`work/networks/${network}.y.f64`));
      return {maxError: y.reduce((most, v, i) => Math.max(most, Math.abs(v - truth[i])), 0)};
    } catch (error) {
      return {failure: String(error)};
    }
  }
  async warmUp(ms) {
    let calls = 1, ns = 0;
    for (const end = performance.now() + ms; performance.now() < end; ) {
      ns = await this.sample(calls);
      if (ns * calls < 1e6) calls *= 2;
    }
    return 1e6 / ns;
  }
  async sample(calls) {
    return Number(await this.process.ask(`${this.key} ${calls}`));
  }
}

/** One network at one batch: a row for each peer. */
async function measure(engine, host, natives, network, rows, warm) {
  const lanes = [];
  const results = [];
  const add = (peer, opened, lane) => {
    if (opened.failure) {
      results.push({engine, network, rows, peer, failure: opened.failure});
      say(`  ${peer}: ${opened.failure.split('\n')[0]}`);
    } else {
      lanes.push({peer, opened, ...lane});
    }
  };
  for (const peer of options.peers)
    add(peer, await host('open', peer, network, rows), {
      warmUp: ms => host('warmUp', peer, ms),
      sample: calls => host('sample', peer, calls),
    });
  if (network !== 'mixture')
    for (const [peer, native] of natives)
      add(peer, await native.open(network, rows), {warmUp: ms => native.warmUp(ms), sample: calls => native.sample(calls)});
  for (const lane of lanes) {
    const ms = warm.has(lane.peer) ? options.warmUpMs : options.firstWarmUpMs;
    warm.add(lane.peer);
    lane.calls = Math.max(1, Math.round((await lane.warmUp(ms)) * options.sampleMs));
    lane.samples = [];
  }
  for (let round = 0; round < options.rounds; round++)
    for (let i = 0; i < lanes.length; i++) {
      const lane = lanes[(i + round) % lanes.length];
      lane.samples.push((await lane.sample(lane.calls)) / rows);
    }
  const own = lanes.find(lane => lane.peer === 'kimic')?.samples;
  for (const {peer, opened, samples} of lanes)
    results.push({engine, network, rows, peer, ...opened, nsPerRow: summary(samples), timesKimic: own && ratio(samples, own)});
  return results;
}

async function coldStarts(chromium) {
  const rounds = options.coldRounds;
  const inNode = new Map(options.peers.map(peer => [peer, []]));
  const inPage = new Map(options.peers.map(peer => [peer, []]));
  const wire = new Map();
  for (let round = 0; round < rounds; round++)
    for (const peer of options.peers) {
      if (options.engines.includes('node')) {
        const {stdout} = await promisify(execFile)(process.execPath, ['--expose-gc', join(here, 'coldStart.mjs'), peer], {maxBuffer: 1 << 26})
          .catch(error => ({stdout: JSON.stringify({failure: String(error.stderr ?? error).slice(0, 500)})}));
        inNode.get(peer).push(JSON.parse(stdout.trim().split('\n').at(-1)));
      }
      if (!chromium) continue;
      const first = chromium.server.requests.length;
      const opened = await openPage(chromium, `?cold=${encodeURIComponent(peer)}`);
      const result = await (await opened.page.waitForFunction(() => globalThis.cold, undefined, {timeout: 60_000})).jsonValue();
      if (round === rounds - 1 && !result.failure)
        result.bytes = await opened.page.evaluate(async () => (await performance.measureUserAgentSpecificMemory()).bytes).catch(() => undefined);
      await opened.close();
      inPage.get(peer).push(result);
      wire.set(peer, wireOf(chromium.server.requests.slice(first)));
    }
  const row = (engine, peer, list) => {
    const good = list.filter(one => !one.failure);
    const bytes = good.map(one => one.bytes).filter(Boolean);
    return good.length
      ? {engine, peer, ms: summary(good.map(one => one.ms)), memoryBytes: bytes.length ? quantile(bytes, 0.5) : undefined, ...(chromium && engine !== 'node' ? wire.get(peer) : {})}
      : {engine, peer, failure: list[0]?.failure};
  };
  return [
    ...(options.engines.includes('node') ? options.peers.map(peer => row('node', peer, inNode.get(peer))) : []),
    ...(chromium ? options.peers.map(peer => row(chromium.name, peer, inPage.get(peer))) : []),
  ];
}

const compressed = new Map();
/** Bytes of what a page asked for, as they are and by Brotli; the harness's own files do not count. */
function wireOf(requests) {
  let rawBytes = 0, brotliBytes = 0, files = 0;
  for (const {path: asked, file, range} of requests) {
    if (asked.startsWith('/bench/') || asked.endsWith('networks.json') || asked === '/favicon.ico') continue;
    files++;
    if (range) {
      rawBytes += range[1] - range[0] + 1;
      brotliBytes += range[1] - range[0] + 1;
      continue;
    }
    if (!compressed.has(file)) {
      const bytes = readFileSync(file);
      const quality = bytes.length > 1 << 20 ? 9 : 11;
      const small = brotliCompressSync(bytes, {params: {[constants.BROTLI_PARAM_QUALITY]: quality, [constants.BROTLI_PARAM_LGWIN]: 24}});
      compressed.set(file, [bytes.length, Math.min(bytes.length, small.length)]);
    }
    const [raw, small] = compressed.get(file);
    rawBytes += raw;
    brotliBytes += small;
  }
  return {requests: files, rawBytes, brotliBytes};
}

const results = {engines: {}, product: [], coldStart: []};
const needsChromium = options.engines.includes('chromium');
const chromium = needsChromium ? await openChromium() : undefined;
if (chromium) results.engines.chromium = chromium.browser.version();
results.engines.node = `${process.version} (V8 ${process.versions.v8})`;
if (options.coldRounds) {
  say('cold starts');
  results.coldStart = await coldStarts(chromium);
}
const natives = options.natives.map(name => [name, new NativeHost(name)]);
for (const engine of options.engines) {
  const page = engine === 'chromium' ? await openPage(chromium) : undefined;
  const local = page ? undefined : new Host(env);
  const host = page ? page.call : (method, ...args) => local[method](...args);
  const warm = new Set(); // a peer's code serves all its networks
  for (const network of options.networks)
    for (const rows of network === 'mixture' ? [1] : options.batches) {
      say(`${engine}: ${network}, ${rows} rows`);
      results.product.push(...(await measure(page ? chromium.name : 'node', host, natives, network, rows, warm)));
    }
  await page?.close();
}
for (const [, native] of natives) native.process.close();
await chromium?.close();
process.stdout.write(JSON.stringify(results), () => process.exit(0));
