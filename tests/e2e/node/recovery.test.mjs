// Recovery: what is done about which failure, and that every question ends, with the right answer or a typed error,
// whatever a source loses, delays, cuts, damages or reorders.
import assert from 'node:assert/strict';
import {readFile} from 'node:fs/promises';
import test from 'node:test';
import {importKimic, packPath} from '../setup.mjs';

const {open, KimicError} = await importKimic();
const bytes = new Uint8Array(await readFile(packPath('demo')));
const clean = await open(bytes);
const {router} = clean.info;
const {inputs} = await clean.expertInfo(router.expert);

/** mulberry32: numbers in [0, 1). */
function randomFrom(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
const valueOf = (number, i) => Math.sin(number * 12.9898 + i * 0.37) * (1 + (number % 5));
const rowOf = number => Float32Array.from({length: inputs}, (_, i) => valueOf(number, i));
/** Where the data of an expert lie: what is read when it is loaded after another one. */
async function blockOf(expert, bytes) {
  const reads = [];
  const source = {read: async (offset, length) => (reads.push(offset), bytes.subarray(offset, offset + length))};
  const pack = await open(source, {followsTransitions: false});
  await pack.load([expert ? 0 : 1, pack.info.router.expert]);
  reads.length = 0;
  await pack.load(expert);
  await pack.dispose();
  return reads.at(-1);
}
const row = rowOf(1);
const {choices} = await clean.route(row);
const chosen = choices[0].expert;

/** A source on which reads of experts meet `fault` the first `times` times; delays are short. */
async function openFaulty(fault, times, recovery = {}, {experts = [chosen], bytes: packBytes = bytes, ...options} = {}) {
  const places = await Promise.all(experts.map(expert => blockOf(expert, packBytes)));
  const source = {
    failed: 0,
    isFaulty: false,
    async read(offset, length, signal) {
      const part = packBytes.subarray(offset, offset + length);
      const place = places.find(place => offset <= place && place < offset + length);
      if (!source.isFaulty || place === undefined || source.failed === times) return part;
      ++source.failed;
      return fault(part, place - offset, signal);
    },
  };
  const quick = {firstDelayMs: 1, longestDelayMs: 4, ...recovery};
  const pack = await open(source, {followsTransitions: false, recovery: quick, ...options});
  await pack.load([...Array(pack.info.experts).keys()].filter(expert => !experts.includes(expert)));
  source.isFaulty = true;
  return {pack, source};
}
const refuse = async () => {
  throw new Error('no connection');
};
const neverAnswer = () => new Promise(() => undefined);
const damage = async (part, at) => {
  const copy = part.slice();
  copy[at] ^= 1;
  return copy;
};
const cut = async (part, at) => part.subarray(0, at + 1);

for (const [name, fault] of Object.entries({refuse, neverAnswer, damage, cut}))
  test(`what may pass is tried again: ${name}`, async () => {
    const {pack, source} = await openFaulty(fault, 2, {patienceMs: 20});
    const answer = await pack.runRouted(row);
    assert.equal(answer.reason, undefined);
    assert.deepEqual(answer.output, await clean.ask(row));
    assert.equal(source.failed, 2);
    assert.equal(pack.recoveryCounts.retries, 2);
    await pack.dispose();
  });

test('delays come from the injected chance', async () => {
  const delays = [];
  const {setTimeout: real} = globalThis;
  const {pack} = await openFaulty(refuse, 3, {firstDelayMs: 40, longestDelayMs: 100, jitter: 0.5, random: () => 0.5});
  globalThis.setTimeout = (callback, ms, ...rest) => (delays.push(ms), real(callback, 0, ...rest));
  try {
    await pack.ask(row);
  } finally {
    globalThis.setTimeout = real;
  }
  assert.deepEqual(delays.filter(ms => ms < 1000), [30, 60, 75]); // 40, 80, 100, of which half is left to chance
  await pack.dispose();
});

test('another expert stands in, and the answer says why', async () => {
  const reasons = [];
  const {pack} = await openFaulty(refuse, Infinity);
  const answer = await pack.runRouted(row);
  assert.equal(answer.reason.code, 'SourceReadFailed');
  assert.ok(!answer.choices.some(({expert}) => expert === chosen));
  await clean.load(answer.choices.map(({expert}) => expert));
  assert.deepEqual(answer.output, clean.runChoices(answer.choices, row, {}));
  await pack.ask(row, {onDegraded: (reason, number) => reasons.push([reason.kind, number])});
  assert.deepEqual(reasons, [['Unavailable', 0]]);
  await pack.dispose();
});

test('two experts that are lost get different ones in their place', async () => {
  for (let number = 0; number < 20; ++number) {
    const lost = (await clean.route(rowOf(number))).choices.map(({expert}) => expert);
    const {pack} = await openFaulty(refuse, Infinity, {attempts: 1}, {experts: lost});
    const answer = await pack.runRouted(rowOf(number));
    const answering = answer.choices.map(({expert}) => expert);
    assert.equal(answering.length, 2);
    assert.equal(new Set([...lost, ...answering]).size, 4, `${lost} -> ${answering}`);
    await pack.dispose();
  }
});

test('the fallback that the set states stands in first', async () => {
  const bytes = new Uint8Array(await readFile(packPath('fallback')));
  const {pack} = await openFaulty(refuse, Infinity, {}, {bytes});
  const {experts} = await pack.metadata();
  const fallback = experts.findIndex(({id}) => id === 'digits-generalist');
  assert.equal(experts[chosen].fallback, fallback);
  assert.ok(fallback >= router.routedExperts);
  const answer = await pack.runRouted(row);
  assert.deepEqual(answer.choices.map(({expert}) => expert), [fallback, choices[1].expert]);
  await pack.dispose();
});

test('rows for which memory does not suffice together are answered one after another', async () => {
  const rows = new Float32Array(400 * inputs);
  for (let number = 0; number < 400; ++number) rows.set(rowOf(number), number * inputs);
  const pack = await open(bytes, {recovery: {}, memory: {maxBytes: 128 << 10}});
  const expected = await clean.ask(rows);
  for (let time = 0; time < 3; ++time) assert.deepEqual(await pack.ask(rows), expected);
  await pack.dispose();
});

test('what is infinite never ends a wait, and nothing is tried or left alone for good at once', async () => {
  const endless = {attempts: Infinity, failuresToOpen: Infinity, openForMs: Infinity, patienceMs: Infinity};
  const slow = async part => (await new Promise(resolve => setTimeout(resolve, 20)), part);
  const {pack, source} = await openFaulty(refuse, 10, endless);
  assert.deepEqual(await pack.ask(row, {deadlineMs: Infinity}), await clean.ask(row));
  assert.equal(pack.recoveryCounts.retries, 10);
  await pack.dispose();
  const late = await openFaulty(slow, 1, endless);
  assert.deepEqual(await late.pack.ask(row, {deadlineMs: Infinity}), await clean.ask(row));
  assert.deepEqual([late.source.failed, late.pack.recoveryCounts.retries], [1, 0]);
  await late.pack.dispose();
});

test('fewer experts answer if none may stand in', async () => {
  const {pack} = await openFaulty(refuse, Infinity);
  pack.metadata = async () => ({experts: []});
  const answer = await pack.runRouted(row);
  assert.deepEqual(answer.choices.map(({expert}) => expert), choices.map(({expert}) => expert).filter(e => e !== chosen));
  const weight = answer.choices.reduce((sum, choice) => sum + choice.weight, 0);
  assert.ok(Math.abs(weight - choices.reduce((sum, choice) => sum + choice.weight, 0)) < 1e-6);
  assert.equal(pack.recoveryCounts.dropped, 1);
  await pack.dispose();
});

test('without leave to degrade the answer is the error', async () => {
  const {pack} = await openFaulty(refuse, Infinity, {allowsDegraded: false});
  await assert.rejects(pack.ask(row), {code: 'SourceReadFailed', kind: 'Unavailable'});
  await pack.dispose();
});

test('an expert that failed too often is left alone until its time has passed', async () => {
  let now = 0;
  const {pack, source} = await openFaulty(refuse, 3, {attempts: 1, failuresToOpen: 3, openForMs: 1000, now: () => now});
  for (let i = 0; i < 3; ++i) assert.equal((await pack.runRouted(row)).reason.code, 'SourceReadFailed');
  assert.equal((await pack.runRouted(row)).reason.code, 'CircuitOpen');
  assert.equal(source.failed, 3);
  now = 1000;
  assert.equal((await pack.runRouted(row)).reason, undefined);
  await pack.dispose();
});

test('what stays wrong is not tried again', async () => {
  const {pack, source} = await openFaulty(
    async () => {
      throw new KimicError(4034); // a trap
    },
    Infinity
  );
  assert.equal((await pack.runRouted(row)).reason.code, 'RuntimeTrapped');
  assert.equal(source.failed, 1);
  await pack.dispose();
});

test('there is an answer at the deadline, or an error', async () => {
  const {pack, source} = await openFaulty(neverAnswer, Infinity, {patienceMs: 10_000});
  await assert.rejects(pack.ask(row, {deadlineMs: 30}), {code: 'DeadlinePassed', kind: 'Unavailable', args: [30]});
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 5);
  await assert.rejects(pack.ask(row, {deadlineMs: 1000, signal: controller.signal}), {code: 'OperationCancelled'});
  source.isFaulty = false;
  assert.deepEqual(await pack.ask(row, {deadlineMs: 5000}), await clean.ask(row));
  await pack.dispose();
});

test('a signal that was aborted before a deadline was set ends the wait', {timeout: 5000}, async () => {
  const {pack} = await openFaulty(neverAnswer, Infinity);
  const controller = new AbortController();
  for (const call of ['ask', 'runRouted']) {
    const answer = pack[call](row, {deadlineMs: 60_000, signal: controller.signal});
    controller.abort();
    await assert.rejects(answer, {code: 'OperationCancelled'});
  }
  await pack.dispose();
});

test('room is made when memory is short, as far as nobody needs it', async () => {
  const {pack} = await openFaulty(refuse, 0);
  const real = pack.load;
  let isShort = true;
  pack.load = async (...args) => {
    if (!isShort || args[0] !== chosen) return real.apply(pack, args);
    isShort = false;
    throw new KimicError(4006, {args: [1, 2, 3]});
  };
  const before = pack.stats.residentExperts;
  const answer = await pack.runRouted(row);
  assert.equal(answer.reason, undefined);
  assert.deepEqual(answer.output, await clean.ask(row));
  assert.equal(pack.recoveryCounts.cleanUps, 1);
  assert.ok(pack.stats.residentExperts < before);
  await pack.dispose();
});

test('under 30 % faults every question ends, with the right answer or a typed error', async t => {
  const random = randomFrom(7);
  const requests = 10_000, together = 8, distinct = 400;
  let isFaulty = false, faults = 0;
  const counts = {right: 0, degraded: 0, errors: 0};
  const wait = ms => new Promise(resolve => setTimeout(resolve, ms));
  const source = {
    async read(offset, length) {
      const part = bytes.slice(offset, offset + length);
      if (!isFaulty) return part;
      const fault = random() < 0.3 ? Math.floor(random() * 5) : -1;
      if (fault >= 0) ++faults;
      if (fault === 0) return new Promise(() => undefined); // lost
      if (fault === 1) await wait(40); // late: nobody waits any more
      if (fault === 2) return part.subarray(0, Math.floor(random() * length)); // short
      if (fault === 3) part[Math.floor(random() * part.length)] ^= 1 << Math.floor(random() * 8); // corrupt
      if (fault === 4) throw new Error('broken');
      await wait(random() * 3); // in any order
      return part;
    },
  };
  const pack = await open(source, {
    memory: {maxBytes: 128 << 10},
    recovery: {firstDelayMs: 1, longestDelayMs: 10, openForMs: 50, patienceMs: 15, random},
  });
  isFaulty = true;
  const expected = [], wanted = [];
  for (let number = 0; number < distinct; ++number) {
    expected.push(await clean.ask(rowOf(number)));
    const route = await clean.route(rowOf(number));
    wanted.push([router.expert, ...route.choices.map(({expert}) => expert)]);
  }
  await clean.load(Array.from({length: router.routedExperts}, (_, expert) => expert));
  let next = 0;
  const asker = async () => {
    while (next < requests) {
      const number = next++ % distinct;
      const input = rowOf(number);
      for (const expert of wanted[number])
        try {
          pack.evict(expert);
        } catch (error) {
          assert.equal(error.code, 'ExpertPinned');
        }
      try {
        const answer = await pack.runRouted(input, {deadlineMs: 20_000});
        assert.deepEqual(answer.output, answer.reason ? clean.runChoices(answer.choices, input, {}) : expected[number]);
        ++counts[answer.reason ? 'degraded' : 'right'];
      } catch (error) {
        if (!(error instanceof KimicError)) throw error;
        ++counts.errors;
        await wait(10); // the router itself may be left alone for a while
      }
    }
  };
  await Promise.all(Array.from({length: together}, asker));
  t.diagnostic(JSON.stringify({...counts, faults, ...pack.recoveryCounts, peak: pack.memoryUsage().peak}));
  assert.equal(counts.right + counts.degraded + counts.errors, requests);
  assert.ok(faults > 300 && counts.right > 1000 && counts.errors < requests / 2);
  assert.ok(pack.memoryUsage().peak <= 128 << 10);
  assert.equal(pack.memoryUsage().pinnedExperts, 0);
  await pack.dispose();
});
