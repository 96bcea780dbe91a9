// An open pack: cancelling, disposing, memory, wrong calls.
import assert from 'node:assert/strict';
import {readFile} from 'node:fs/promises';
import test from 'node:test';
import {importKimic, packPath, vectorsOf} from '../setup.mjs';

const {open, KimicError} = await importKimic();
const path = packPath('demo');
const bytes = new Uint8Array(await readFile(path));
const randomBytes = new Uint8Array(await readFile(packPath('random')));
const row = new Float32Array(64).fill(0.25);

/** A source that answers only when told, and knows what was cancelled. */
function slowSource() {
  const source = {
    waiting: [],
    cancelled: 0,
    isSlow: false,
    read(offset, length, signal) {
      const part = bytes.subarray(offset, offset + length);
      if (!source.isSlow) return Promise.resolve(part);
      return new Promise((resolve, reject) => {
        source.waiting.push(() => resolve(part));
        signal.addEventListener('abort', () => {
          ++source.cancelled;
          reject(signal.reason);
        });
      });
    },
    release() {
      source.isSlow = false;
      for (const answer of source.waiting.splice(0)) answer();
    },
  };
  return source;
}
const tick = () => new Promise(resolve => setTimeout(resolve, 5));

test('info tells the header\'s facts without another read', async () => {
  let reads = 0;
  const pack = await open({read: async (offset, length) => (++reads, bytes.subarray(offset, offset + length))});
  assert.equal(reads, 1);
  assert.equal(pack.info.packBytes, bytes.length);
  assert.equal(pack.info.experts, 20);
  assert.deepEqual(pack.info.router?.expert, 19);
});

test('metadata is read once, and names experts', async () => {
  const pack = await open(path);
  const [first, again] = await Promise.all([pack.metadata(), pack.metadata()]);
  assert.equal(first, again);
  assert.equal(first.experts.length, 20);
  const id = first.experts[3].id;
  assert.equal(await pack.find(id), 3);
  assert.deepEqual(await pack.run(id, row), await pack.run(3, row));
  await assert.rejects(pack.run('nobody', row), {code: 'UnknownExpertName', kind: 'NotFound'});
  await pack.dispose();
});

test('outputs in arrays of the caller are those of the expert and rows of the call, whatever was called before', async () => {
  const pack = await open(randomBytes);
  const lengths = new Set();
  for (const rows of [1, 2, 1, 500, 1, 3])
    for (let expert = 0; expert < pack.info.experts; ++expert) {
      const {inputs, outputs} = await pack.expertInfo(expert);
      const input = Float32Array.from({length: rows * inputs}, (_, i) => Math.sin(i + expert));
      const expected = await pack.run(expert, input);
      const out = new Float32Array(rows * outputs);
      await pack.run(expert, input, {out});
      assert.deepEqual(out, expected, `expert ${expert}, ${rows} rows`);
      lengths.add(out.length);
    }
  assert.ok(lengths.size > 10);
  await pack.dispose();
});

test('runs rows into an array of the caller', async () => {
  const pack = await open(path);
  const two = Float32Array.of(...row, ...row.map(v => -v));
  const both = await pack.run(0, two);
  const out = new Float32Array(25);
  assert.equal(await pack.run(0, two, {out}), out);
  assert.deepEqual(out.subarray(0, 20), both);
  assert.deepEqual(both.subarray(0, 10), await pack.run(0, row));
  await assert.rejects(pack.run(0, two, {out: new Float32Array(19)}), {code: 'OutputLength'});
  await pack.dispose();
});

test('results stay when memory grows', async () => {
  const pack = await open(path);
  const small = await pack.run(0, row);
  const copy = small.slice();
  await pack.run(0, new Float32Array(64 * 20000));
  assert.deepEqual(small, copy);
  await pack.dispose();
});

test('wrong calls are errors with numbers and sentences', async () => {
  const pack = await open(path);
  await assert.rejects(pack.run(20, row), error => {
    assert.ok(error instanceof KimicError && error instanceof Error);
    assert.equal(error.code, 'UnknownExpert');
    assert.equal(error.number, 4003);
    assert.equal(error.kind, 'NotFound');
    assert.equal(error.message, 'expert 20 does not exist: the pack has 20');
    return true;
  });
  for (const bad of [-1, 1.5, NaN]) await assert.rejects(pack.run(bad, row), {code: 'UnknownExpert'});
  await assert.rejects(pack.run(0, row.subarray(1)), {code: 'InputLength'});
  await assert.rejects(pack.run(0, new Float32Array(0)), {code: 'InputLength'});
  assert.throws(() => pack.runSync(1, row), {code: 'ExpertNotResident', message: 'expert 1 is not resident'});
  await assert.rejects(pack.route(row, {k: 99}), {code: 'TooManyChoices'});
  await assert.rejects(pack.route(row.subarray(1)), {code: 'InputLength'});
  await pack.load(1);
  assert.equal(pack.runSync(1, row).length, 10);
  await pack.dispose();
});

test('opening can be cancelled', async () => {
  const source = slowSource();
  source.isSlow = true;
  const controller = new AbortController();
  const opening = open(source, {signal: controller.signal});
  await tick();
  const start = performance.now();
  controller.abort(new Error('changed my mind'));
  await assert.rejects(opening, error => error.code === 'OperationCancelled' && error.cause.message === 'changed my mind');
  assert.ok(performance.now() - start < 50);
  assert.equal(source.cancelled, 1);
  await assert.rejects(open(path, {signal: AbortSignal.abort()}), {code: 'OperationCancelled', kind: 'Cancelled'});
});

test('cancelling one caller does not disturb another', async () => {
  const source = slowSource();
  const pack = await open(source);
  source.isSlow = true;
  const controller = new AbortController();
  const mine = pack.run(0, row, {signal: controller.signal});
  const theirs = pack.run(0, row);
  await tick();
  controller.abort();
  await assert.rejects(mine, {code: 'OperationCancelled'});
  assert.equal(source.cancelled, 0);
  source.release();
  assert.equal((await theirs).length, 10);
  await pack.dispose();
});

test('what was cancelled can be loaded again', async () => {
  const source = slowSource();
  const pack = await open(source);
  for (let round = 0; round < 5; ++round) {
    source.isSlow = true;
    const controller = new AbortController();
    const run = pack.run(2, row, {signal: controller.signal});
    await tick();
    controller.abort();
    await assert.rejects(run, {code: 'OperationCancelled'});
    await tick();
    source.isSlow = false;
  }
  assert.ok(source.cancelled >= 5);
  assert.equal((await pack.run(2, row)).length, 10);
  await pack.dispose();
});

test('after dispose everything says so, and loads under way are told', async () => {
  const source = slowSource();
  const pack = await open(source);
  await pack.run(0, row);
  source.isSlow = true;
  const pending = pack.run(1, row);
  await tick();
  const told = assert.rejects(pending, {code: 'PackDisposed'});
  await pack.dispose();
  await told;
  await assert.rejects(pack.run(0, row), {code: 'PackDisposed', kind: 'FailedPrecondition'});
  assert.throws(() => pack.runSync(0, row), {code: 'PackDisposed'});
  assert.throws(() => pack.stats, {code: 'PackDisposed'});
  await pack.dispose();
  source.release();
  await tick();
});

// A module of 64 large kernels has half a megabyte while it is linked, in one piece: all three are before memory is full.
for (const [engine, maxBytes] of [['generic', 400_000], ['auto', 900_000]]) test(`memory stays under its cap and everything still runs: ${engine}`, async () => {
  const pack = await open(packPath('random'), {memory: {maxBytes}, engine});
  const free = await open(packPath('random'));
  for (const expert of [0, 75, 149])
    await pack.expertInfo(expert);
  for (let round = 0; round < 3; ++round)
    for (let expert = 0; expert < pack.info.experts; ++expert) {
      const {inputs} = await free.expertInfo(expert);
      const input = new Float32Array(inputs).fill(0.1);
      assert.deepEqual(await pack.run(expert, input), await free.run(expert, input));
    }
  const {arenaPeak, arenaCap, evictions, residentExperts} = pack.stats;
  assert.equal(arenaCap, maxBytes);
  assert.ok(arenaPeak <= maxBytes);
  assert.ok(evictions > 20 && residentExperts > 10, `${evictions} evictions, ${residentExperts} resident`);
  assert.equal(free.stats.evictions, 0);
  await assert.rejects(pack.run(0, new Float32Array(19 * 20000)), {code: 'ArenaExhausted', kind: 'ResourceExhausted'});
  assert.equal((await pack.run(0, new Float32Array(19))).length, 5);
  await assert.rejects(open(path, {memory: {maxBytes: 1000}}), {code: 'ArenaUnavailable'});
  await pack.dispose();
  await free.dispose();
});

// Linked when memory is full of experts and records lie between them, the same modules do not always find one piece.
test('a module that does not fit between what must stay is an error, and what ran before runs on', async () => {
  const pack = await open(packPath('random'), {memory: {maxBytes: 900_000}});
  const free = await open(packPath('random'));
  const ran = new Map();
  let refused = 0;
  for (let expert = 0; expert < pack.info.experts; ++expert) {
    const {inputs} = await free.expertInfo(expert);
    const input = new Float32Array(inputs).fill(0.1);
    try {
      ran.set(expert, [input, await pack.run(expert, input)]);
    } catch (error) {
      assert.equal(error.code, 'ArenaExhausted');
      ++refused;
    }
  }
  assert.ok(refused > 0 && ran.size >= 64, `${refused} refused, ${ran.size} ran`);
  for (const [expert, [input, output]] of ran) {
    assert.deepEqual(await pack.run(expert, input), output);
    assert.deepEqual(await free.run(expert, input), output);
  }
  assert.ok(pack.stats.arenaPeak <= 900_000);
  await pack.dispose();
  await free.dispose();
});

test('pinned experts stay', async () => {
  const pack = await open(path);
  await pack.load([0, 1], {pin: true});
  assert.throws(() => pack.evict(0), {code: 'ExpertPinned'});
  pack.unpin(0);
  pack.evict(0);
  assert.throws(() => pack.runSync(0, row), {code: 'ExpertNotResident'});
  await pack.dispose();
});

test('a thousand packs opened and disposed of leave nothing behind', async () => {
  const cycle = async () => {
    const pack = await open(bytes);
    await pack.run(0, row);
    await pack.dispose();
  };
  for (let i = 0; i < 100; ++i) await cycle();
  const before = process.memoryUsage().rss;
  for (let i = 0; i < 900; ++i) await cycle();
  assert.ok(process.memoryUsage().rss - before < 200e6, `${(process.memoryUsage().rss - before) / 1e6} MB more`);
});

test('ask computes what routing, running and merging do', async () => {
  const vectors = await vectorsOf('demo');
  const pack = await open(path);
  const input = i => Float32Array.from({length: 64}, (_, j) => Math.sin(i * 64 + j));
  const k = Math.min(2, pack.info.router.routedExperts);
  for (const merge of ['average', 'weighted', 'best'])
    for (let i = 0; i < 8; ++i) {
      const {output} = await pack.runRouted(input(i), {k, merge});
      assert.deepEqual(await pack.ask(input(i), {k, merge}), output);
      assert.deepEqual(pack.askSync(input(i), {k, merge}), output);
    }
  assert.ok(vectors.routes.length > 0);
  await pack.dispose();
});

test('ask answers many rows at once', async () => {
  const pack = await open(path);
  const rows = Float32Array.from({length: 64 * 10}, (_, i) => Math.cos(i));
  const answers = await pack.ask(rows, {k: 2});
  const outputs = answers.length / 10;
  for (let row = 0; row < 10; ++row)
    assert.deepEqual(answers.subarray(row * outputs, (row + 1) * outputs), await pack.ask(rows.subarray(64 * row, 64 * row + 64), {k: 2}));
  await pack.dispose();
});

test('ask into an array of the caller makes no other', async () => {
  const pack = await open(path);
  const first = await pack.ask(row);
  const out = new Float32Array(first.length);
  assert.equal(pack.askSync(row, {out}), out);
  assert.deepEqual(out, first);
  assert.throws(() => pack.askSync(row, {out: out.subarray(1)}), {code: 'OutputLength'});
  await pack.dispose();
});

test('ask at once needs everything resident, and says what is missing', async () => {
  const pack = await open(path);
  assert.throws(() => pack.askSync(row), {code: 'ExpertNotResident', args: [pack.info.router.expert]});
  const {choices} = await pack.runRouted(row, {k: 2});
  await pack.ask(row, {k: 2});
  pack.evict(choices[1].expert);
  assert.throws(() => pack.askSync(row, {k: 2}), {code: 'ExpertNotResident', args: [choices[1].expert]});
  assert.equal((await pack.ask(row, {k: 2})).length, (await pack.ask(row, {k: 1})).length);
  await assert.rejects(pack.ask(row, {k: 99}), {code: 'TooManyChoices'});
  await assert.rejects(pack.ask(row.subarray(1)), {code: 'InputLength'});
  await assert.rejects(pack.ask(row, {signal: AbortSignal.abort()}), {code: 'OperationCancelled'});
  await pack.dispose();
  await assert.rejects(pack.ask(row), {code: 'PackDisposed'});
});

test('prefetched experts run at once', async () => {
  const pack = await open(path);
  assert.equal(await pack.prefetch([3, 4, 5]), 3);
  assert.equal(pack.runSync(4, row).length > 0, true);
  assert.equal(pack.stats.prefetched, 3);
  await pack.run(4, row);
  assert.equal(pack.stats.prefetchedUsed, 1);
  await pack.dispose();
});

test('prefetching waits until nothing else is read', async () => {
  const order = [];
  const source = {
    async read(offset, length) {
      order.push(offset);
      await new Promise(resolve => setTimeout(resolve, 5));
      return randomBytes.subarray(offset, offset + length);
    },
  };
  const pack = await open(source, {engine: 'generic'});
  await pack.load([10, 100]);
  const ends = [];
  order.length = 0;
  const loading = pack.load([20]).then(() => ends.push('load'));
  await new Promise(setImmediate);
  await Promise.all([loading, pack.prefetch([140]).then(() => ends.push('prefetch'))]);
  assert.deepEqual(ends, ['load', 'prefetch']);
  assert.ok(order.indexOf(Math.max(...order)) > 0); // expert 140 lies behind expert 20
  await pack.dispose();
});

test('prefetching more than fits is no error and evicts nothing that was used', async () => {
  const pack = await open(packPath('random'), {memory: {maxBytes: 400_000}, engine: 'generic'});
  await pack.load([0, 1, 2]);
  const all = Array.from({length: pack.info.experts}, (_, expert) => expert);
  const resident = await pack.prefetch(all);
  assert.ok(resident > 3);
  for (const expert of [0, 1, 2]) pack.runSync(expert, new Float32Array((await pack.expertInfo(expert)).inputs));
  assert.ok(pack.stats.arenaPeak <= 400_000);
  await pack.dispose();
});

test('prefetching can be cancelled and leaves nothing', async () => {
  const source = slowSource();
  const pack = await open(source);
  await pack.run(0, row);
  const used = pack.stats.arenaUsed;
  source.isSlow = true;
  const controller = new AbortController();
  const fetching = pack.prefetch([6, 7, 8], {signal: controller.signal});
  await tick();
  const start = performance.now();
  controller.abort();
  await assert.rejects(fetching, {code: 'OperationCancelled'});
  assert.ok(performance.now() - start < 50);
  await tick();
  source.isSlow = false;
  assert.equal(await pack.prefetch([]), 0);
  await pack.run(0, row);
  assert.ok(pack.stats.arenaUsed <= used + 100, `${pack.stats.arenaUsed - used} bytes are left`);
  await pack.dispose();
});

test('a prefetch that fails is no error', async () => {
  let isDown = false;
  const source = {
    read: async (offset, length) => {
      if (isDown) throw new Error('down');
      return bytes.subarray(offset, offset + length);
    },
  };
  const pack = await open(source);
  isDown = true;
  assert.equal(await pack.prefetch([9]), 0);
  isDown = false;
  assert.equal(await pack.prefetch([9]), 1);
  await pack.dispose();
});

test('warming up calls every kernel often and changes no answer', async () => {
  const pack = await open(path);
  const before = await pack.run(0, row);
  const report = await pack.warmUp({experts: [0, 1, 2], budgetMs: 200});
  assert.ok(report.ms < 400, `${report.ms} ms`);
  assert.ok(report.kernels.length >= 1);
  for (const {calls, before: first, after} of report.kernels) assert.ok(calls >= 1000 && after <= first && after > 0);
  assert.deepEqual(await pack.run(0, row), before);
  await assert.rejects(pack.warmUp({signal: AbortSignal.abort()}), {code: 'OperationCancelled'});
  await pack.dispose();
});
