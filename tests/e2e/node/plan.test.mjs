// Plans of answers, answers under a cap that is too small for all of their experts, and the history of runs.
import assert from 'node:assert/strict';
import test from 'node:test';
import {importKimic, packPath} from '../setup.mjs';

const {open} = await importKimic();

/** The experts of the planned pack that read others, and a request. */
async function planned(options = {}) {
  const pack = await open(packPath('planned'), options);
  return {pack, input: new Float32Array((await pack.expertInfo(pack.info.router.expert)).inputs).fill(0.25)};
}
async function readers(pack) {
  const all = [];
  for (let expert = 0; expert < pack.info.router.routedExperts && all.length < 5; ++expert)
    if ((await pack.plan([expert])).steps.length > 1) all.push(expert);
  return all;
}

test('a plan has every expert once, behind what it reads, with sizes', async () => {
  const {pack, input} = await planned();
  const [reader] = await readers(pack);
  const {steps, groups, bytes, missingBytes, microseconds} = await pack.plan([reader]);
  assert.equal(steps.at(-1).expert, reader);
  assert.equal(new Set(steps.map(step => step.expert)).size, steps.length);
  const levels = steps.map(step => step.level);
  assert.deepEqual(levels, [...levels].sort((a, b) => a - b));
  assert.equal(groups, steps.at(-1).group + 1);
  assert.equal(bytes, steps.reduce((sum, step) => sum + step.bytes, 0));
  assert.equal(missingBytes, steps.reduce((sum, step) => sum + step.missingBytes, 0));
  assert.ok(microseconds > 0 && missingBytes > 0);
  await pack.run(reader, input);
  assert.equal((await pack.plan([reader])).missingBytes, 0);
  await pack.dispose();
});

test('the plan of a row is that of the experts that the router chooses', async () => {
  const {pack, input} = await planned();
  const {choices} = await pack.route(input);
  const byRow = await pack.plan(input);
  assert.deepEqual(byRow, await pack.plan(choices.map(choice => choice.expert)));
  assert.equal(byRow.fallbacks.length, choices.length);
  await pack.dispose();
});

test('the plan of nothing, and of an expert that is not there, is an error', async () => {
  const {pack} = await planned();
  await assert.rejects(pack.plan([]), {code: 'NothingToRun'});
  await assert.rejects(pack.plan([pack.info.experts]), {code: 'UnknownExpert'});
  await pack.dispose();
});

test('experts that do not fit into memory together answer in parts, with the same bits', async () => {
  const free = await planned();
  const expected = new Map();
  let most = 0;
  for (const reader of await readers(free.pack)) {
    expected.set(reader, await free.pack.run(reader, free.input));
    most = Math.max(most, (await free.pack.plan([reader])).bytes);
  }
  let inParts = 0;
  for (let maxBytes = 160_000; maxBytes < 600_000; maxBytes += 20_000) {
    const {pack, input} = await planned({memory: {maxBytes}, engine: 'generic'});
    for (const [reader, output] of expected)
      try {
        assert.deepEqual(await pack.run(reader, input), output);
        const {groups} = await pack.plan([reader]);
        inParts += groups > 2;
      } catch (error) {
        assert.match(error.code, /^(ArenaExhausted|ExpertTooLarge)$/);
      }
    assert.ok(pack.stats.arenaPeak <= maxBytes);
    await pack.dispose();
  }
  assert.ok(inParts > 0, `nothing was split; plans have up to ${most} bytes`);
  await free.pack.dispose();
});

test('rows whose experts do not fit into memory together are asked one after another, with the same bits', async () => {
  const free = await planned();
  const inputs = free.input.length;
  const rows = Float32Array.from({length: 40 * inputs}, (_, i) => Math.sin(i * 1.7));
  const expected = await free.pack.ask(rows);
  let answered = 0;
  for (const maxBytes of [250_000, 300_000, 400_000]) {
    const {pack} = await planned({memory: {maxBytes}, engine: 'generic'});
    try {
      assert.deepEqual(await pack.ask(rows), expected);
      ++answered;
    } catch (error) {
      assert.match(error.code, /^(ArenaExhausted|ExpertTooLarge)$/);
    }
    assert.ok(pack.stats.arenaPeak <= maxBytes);
    await pack.dispose();
  }
  assert.ok(answered > 0);
  await free.pack.dispose();
});

test('every run is timed and remembered, and the next visit knows it', async () => {
  const {pack, input} = await planned({history: true});
  await pack.ask(input);
  const {choices} = await pack.route(input);
  const [{expert}] = choices;
  const seen = pack.history.of(expert);
  assert.ok(seen.runs >= 1 && seen.success === 1 && seen.microseconds >= 0);
  assert.equal(pack.history.of(pack.info.experts - 2).runs, 0);
  const kept = pack.history.export();
  const next = await planned({history: kept});
  assert.deepEqual(next.pack.history.of(expert), seen);
  kept[60] ^= 1;
  await assert.rejects(planned({history: kept}), {code: 'HistoryMalformed'});
  await assert.rejects(open(packPath('demo'), {history: next.pack.history.export()}), {code: 'HistoryOfOtherPack'});
  await pack.dispose();
  await next.pack.dispose();
});

test('without the option nothing is remembered', async () => {
  const {pack} = await planned();
  assert.equal(pack.history, undefined);
  await pack.dispose();
});
