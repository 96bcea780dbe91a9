// The checks of page.mjs and worker.mjs; paths are those that browser.mjs serves.
import * as kimic from '/dist/index.js';
import {checkVectors} from '/kernels/checkVectors.mjs';
import {cacheApi, opfs} from '/dist/cache.js';
import {PackPool} from '/dist/pool.js';
import {checkCache} from '/e2e/checkCache.mjs';
import {cases, checkFault} from '/e2e/checkFaults.mjs';
import {checkPack, describe, engines} from '/e2e/checkPack.mjs';
import {checkScale, measureLoad, scales} from '/e2e/checkScale.mjs';

export async function checkPacks(where, report) {
  for (const name of ['demo', 'random', 'sigmoid', 'product-keys', 'planned']) {
    const vectors = await (await fetch(`/packs/${name}.json`)).json();
    for (const options of engines) {
      const result = await checkPack(kimic, `/packs/${name}.kpk`, vectors, options);
      report.lines.push(`${where}: ${describe(name, result)}`);
      report.failures.push(...result.failures.map(failure => `${where}: ${name}: ${failure}`));
      if (result.experts === 0) report.failures.push(`${where}: ${name} ran nothing`);
    }
  }
}

export async function checkKernels(report) {
  const result = await checkVectors(new Uint8Array(await (await fetch('/vectors/vectors.bin')).arrayBuffer()));
  for (const {variant, kernels, rows, outputs} of result.variants)
    report.lines.push(`kernel vectors, ${variant}: ${kernels} kernels, ${rows} rows, ${outputs} outputs compared`);
  report.failures.push(...result.failures);
  if (result.variants.length !== 2) report.failures.push(`kernel vectors ran ${result.variants.length} variants, not 2`);
}

export async function checkScales(report) {
  for (const [name, limits] of Object.entries(scales))
    await checkScale(kimic, `/packs/${name}.kpk`, limits)
      .then(measured => report.lines.push(`${name}: ${JSON.stringify(measured)}`))
      .catch(error => report.failures.push(`${name}: ${error}`));
  report.lines.push(`first expert, with 64 kernels: ${await measureLoad(kimic, '/packs/scale.kpk')}`);
}

async function answerOfDemo() {
  const pack = await kimic.open('/packs/demo.kpk'); // of this origin: needs no voucher
  const answer = await pack.run(0, new Float32Array(64).fill(0.5));
  await pack.dispose();
  return answer;
}

export async function checkServers(report) {
  const expected = await answerOfDemo();
  // A few at a time: browsers do not open more connections to one server.
  const left = [...cases];
  const work = async () => {
    for (let fault; (fault = left.shift()); ) {
      const problem = await checkFault(kimic, location.origin, fault, expected);
      if (problem) report.failures.push(`server ${problem}`);
    }
  };
  await Promise.all([work(), work(), work()]);
  report.lines.push(`servers: ${cases.length} misbehave`);
}

export async function checkCaches(report) {
  const expected = await answerOfDemo();
  for (const [name, make] of Object.entries({cacheApi, opfs})) {
    await checkCache(kimic, '/packs/demo.kpk', expected, make).catch(error => report.failures.push(`${name}: ${error}`));
    report.lines.push(`cache: ${name}`);
  }
}

export async function checkPool(report) {
  const rows = Float32Array.from({length: 100 * 64}, (_, i) => Math.sin(i * 0.37) * (1 + (i % 7)));
  const pack = await kimic.open('/packs/demo.kpk');
  const expected = await pack.ask(rows);
  await pack.dispose();
  const pool = await PackPool.open('/packs/demo.kpk', {threads: 2});
  const found = await pool.ask(rows);
  const stats = await pool.stats();
  await pool.dispose();
  if (found.length !== expected.length || !expected.every((value, i) => Object.is(value, found[i])))
    report.failures.push('pool: other bits than one thread');
  if (stats.length !== 3) report.failures.push(`pool: ${stats.length} statistics of two threads and their reader`);
  if (stats.slice(1).some(({residentExperts}) => residentExperts < 2)) report.failures.push('pool: a thread is idle');
  report.lines.push(`pool: ${stats.length - 1} threads, ${found.length} outputs`);
}
