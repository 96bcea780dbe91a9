// What threads bring: rows a second of a PackPool beside one Pack, in turn, as the median of ratios over the rounds. In
// Node. The bits are compared too.
//
// Usage: node tests/bench/pool.mjs PACK [--rows=NUMBER] [--rounds=NUMBER] [THREADS ...]      prints a table
import assert from 'node:assert/strict';
import {availableParallelism, loadavg} from 'node:os';
import {dirname, join} from 'node:path';
import {fileURLToPath, pathToFileURL} from 'node:url';
import {ratio, summary} from './statistics.mjs';

const dist = process.env.KIMIC_WEB_DIST ?? join(dirname(fileURLToPath(import.meta.url)), '../../runtime/web/dist');
const [path, ...rest] = process.argv.slice(2);
const flag = (name, value) => Number(rest.find(text => text.startsWith(`--${name}=`))?.split('=')[1] ?? value);
const [rowCount, rounds] = [flag('rows', 20_000), flag('rounds', 25)];
const given = rest.filter(text => !text.startsWith('--')).map(Number);
const sizes = given.length ? given : [1, 2, 4];
if (!path || ![rowCount, rounds, ...sizes].every(number => Number.isInteger(number) && number > 0)) {
  console.error('usage: node tests/bench/pool.mjs PACK [--rows=NUMBER] [--rounds=NUMBER] [THREADS ...]');
  process.exit(2);
}
const {open} = await import(pathToFileURL(join(dist, 'index.js')).href);
const {PackPool} = await import(pathToFileURL(join(dist, 'pool.js')).href);

const pack = await open(path);
const {inputs} = await pack.expertInfo(pack.info.router.expert);
const rows = Float32Array.from({length: rowCount * inputs}, (_, i) => Math.sin(i * 0.37) * (1 + (i % 7)));
const expected = await pack.ask(rows);
const pools = [];
for (const threads of sizes) pools.push(await PackPool.open(path, {threads}));
const lanes = [pack, ...pools];
for (const lane of lanes)
  for (let i = 0; i < 5; ++i) assert.deepEqual(await lane.ask(rows), expected); // and the engines optimise
const times = lanes.map(() => []);
for (let round = 0; round < rounds; ++round)
  for (let i = 0; i < lanes.length; ++i) {
    const lane = (i + round) % lanes.length;
    const start = performance.now();
    await lanes[lane].ask(rows);
    times[lane].push(performance.now() - start);
  }
console.log(`Node ${process.version}, ${availableParallelism()} processors, load ${loadavg()[0].toFixed(1)}, ${rowCount} rows`);
lanes.forEach((lane, i) => {
  const {median, least} = summary(times[i]);
  const name = i ? `pool of ${lane.size}` : 'one pack';
  const speedUp = ratio(times[0], times[i]);
  const perRow = ms => ((ms * 1000) / rowCount).toFixed(2);
  console.log(
    `${name.padEnd(10)} ${perRow(median)} us a row (least ${perRow(least)}), ${speedUp.median.toFixed(2)}x`
      + ` (${speedUp.p10.toFixed(2)} to ${speedUp.p90.toFixed(2)})`
  );
});
for (const lane of lanes) await lane.dispose();
