// Packs of 20,000 and of a million experts over HTTP.
import assert from 'node:assert/strict';
import test, {after, before} from 'node:test';
import {serve} from '../server.mjs';
import {checkScale, measureLoad, scales} from '../checkScale.mjs';
import {importKimic, packs} from '../setup.mjs';

const kimic = await importKimic();
let server;
before(async () => (server = await serve({packs})));
after(() => server.close());

for (const [name, limits] of Object.entries(scales))
  test(`${name}: few small requests, bounded memory`, async t => {
    t.diagnostic(JSON.stringify(await checkScale(kimic, `${server.url}/packs/${name}.kpk`, limits)));
  });

test('the first expert comes with 64 kernels', async t => {
  t.diagnostic(await measureLoad(kimic, `${server.url}/packs/scale.kpk`));
});

test('what is likely next is fetched while nothing else is', {timeout: 60_000}, async () => {
  const pack = await kimic.open(`${server.url}/packs/scale.kpk`, {allowUnsigned: true});
  await pack.run(4000, new Float32Array(16));
  assert.deepEqual(pack.nextExperts(4000), [4001, 4007, 5000, 14000]);
  while (pack.stats.residentExperts < 5) await new Promise(resolve => setTimeout(resolve, 5));
  server.requests.length = 0;
  await pack.run(4007, new Float32Array(72));
  assert.equal(server.requests.length, 0);
  assert.equal(pack.stats.prefetchedUsed, 1);
  await pack.dispose();
});
