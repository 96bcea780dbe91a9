// Cache policies and prefetching by scores: answers stay what they are, memory stays under the cap.
import assert from 'node:assert/strict';
import test from 'node:test';
import {importKimic, packPath} from '../setup.mjs';

const {open} = await importKimic();
const path = packPath('planned');
const maxBytes = 1250 << 10; // all experts take 1,336 KiB

const rowOf = (inputs, i = 0) => Float32Array.from({length: inputs}, (_, n) => 2 * Math.sin(1.7 * i + 0.9 * n));
/** The answers to requests for routed and for named experts, in turn. */
async function answers(options) {
  const pack = await open(path, options);
  const router = pack.info.router.expert; // the last one
  const {inputs} = await pack.expertInfo(router);
  const outputs = [];
  for (let i = 0; i < 300; ++i) {
    const expert = (i * 7) % router;
    outputs.push(Array.from(await pack.run(expert, rowOf((await pack.expertInfo(expert)).inputs, i))));
    outputs.push(Array.from(await pack.ask(rowOf(inputs, i))));
  }
  return {pack, outputs};
}

for (const cachePolicy of ['lru', 'score', 'adaptive'])
  test(`with the policy ${cachePolicy} and little memory answers are the same`, async () => {
    const {pack: roomy, outputs: expected} = await answers({});
    const {pack, outputs} = await answers({cachePolicy, memory: {maxBytes}});
    assert.deepEqual(outputs, expected);
    assert.equal(roomy.stats.evictions, 0);
    assert.ok(pack.stats.evictions > 0 && pack.stats.arenaPeak <= maxBytes, JSON.stringify(pack.stats));
    await roomy.dispose();
    await pack.dispose();
  });

test('a policy that does not exist is refused', () =>
  assert.rejects(open(path, {cachePolicy: 'fifo'}), {code: 'OptionMalformed', message: /cachePolicy/}));

test('a policy without its module is an error that says so', () =>
  assert.rejects(open(path, {cachePolicy: 'score', partsWasm: new URL('file:///nothing/here.wasm')}), {
    code: 'RuntimeNotFound',
    hint: /partsWasm/,
  }));

test('after a load those with the highest averages of scores are fetched ahead', async () => {
  const pack = await open(path, {prefetchesByScores: true, followsTransitions: false});
  const {inputs} = await pack.expertInfo(pack.info.router.expert);
  const row = rowOf(inputs);
  const {scores} = await pack.route(row);
  const {choices} = await pack.runRouted(row, {k: 1});
  const byScore = Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a] || a - b);
  assert.equal(choices[0].expert, byScore[0]);
  for (let tries = 0; pack.stats.prefetched < 3 && tries < 200; ++tries) await new Promise(done => setTimeout(done, 5));
  assert.doesNotThrow(() => pack.runSync(byScore[1], row));
  await pack.dispose();
});

test('without being asked nothing is fetched ahead by scores', async () => {
  const {pack} = await answers({cachePolicy: 'adaptive', followsTransitions: false});
  assert.equal(pack.stats.prefetched, 0);
  assert.deepEqual(pack.nextExperts(0), []);
  await pack.dispose();
});
