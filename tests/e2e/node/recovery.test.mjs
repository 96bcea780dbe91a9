// Recovery: what is done about which failure, and that every question ends, with the right answer or a typed error,
// whatever a source loses, delays, cuts, damages or reorders.
import assert from 'node:assert/strict';
import {readFile} from 'node:fs/promises';
import test from 'node:test';
import {randomFrom} from '../random.mjs';
import {importKimic, packPath} from '../setup.mjs';

const {open, KimicError} = await importKimic();
const bytes = new Uint8Array(await readFile(packPath('demo')));
const clean = await open(bytes);
const {router} = clean.info;
const {inputs} = await clean.expertInfo(router.expert);

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

test('options that are no durations are refused', async () => {
  for (const name of ['firstDelayMs', 'longestDelayMs', 'openForMs', 'patienceMs'])
    for (const value of [-1, NaN])
      await assert.rejects(open(bytes, {recovery: {[name]: value}}), {code: 'OptionMalformed'}, `${name}: ${value}`);
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

/**
 * Time that passes only when nothing else is left to do, so that a run is the same on every machine: setTimeout and
 * whatever the engine would do on other threads.
 */
function useVirtualTime(t) {
  const timers = [];
  const clock = {now: 0, wait: ms => new Promise(resolve => setTimeout(resolve, ms))};
  t.mock.method(globalThis, 'setTimeout', (call, ms = 0) => {
    const timer = {at: clock.now + Math.max(0, ms), call};
    let at = timers.length;
    while (at > 0 && timers[at - 1].at > timer.at) --at;
    timers.splice(at, 0, timer);
    return timer;
  });
  t.mock.method(globalThis, 'clearTimeout', timer => {
    const at = timers.indexOf(timer);
    if (at >= 0) timers.splice(at, 1);
  });
  t.mock.method(WebAssembly, 'compile', async bytes => new WebAssembly.Module(bytes));
  t.mock.method(WebAssembly, 'instantiate', async (module, imports) => new WebAssembly.Instance(module, imports));
  /** What the promise gives; fails if nothing is left that could settle it. */
  clock.until = async promise => {
    let hasSettled = false;
    promise.then(() => (hasSettled = true), () => (hasSettled = true));
    for (;;) {
      await new Promise(resolve => setImmediate(resolve));
      if (hasSettled) return promise;
      const timer = timers.shift();
      assert.ok(timer, 'somebody waits for nothing');
      clock.now = timer.at;
      timer.call();
    }
  };
  return clock;
}

// KIMIC_REQUESTS=100000 makes it a long run.
const requests = Number(process.env.KIMIC_REQUESTS ?? 10_000);

test(`under 30 % faults ${requests} questions end, with the right answer or a typed error`, async t => {
  const random = randomFrom(7);
  const together = 8, distinct = 400;
  const kinds = ['lost', 'late', 'short', 'corrupt', 'broken'];
  const faults = Object.fromEntries(kinds.map(kind => [kind, 0]));
  const counts = {right: 0, degraded: 0, errors: 0};
  let isFaulty = false, reads = 0;
  const expected = [], wanted = [];
  for (let number = 0; number < distinct; ++number) {
    expected.push(await clean.ask(rowOf(number)));
    const route = await clean.route(rowOf(number));
    wanted.push([router.expert, ...route.choices.map(({expert}) => expert)]);
  }
  await clean.load(Array.from({length: router.routedExperts}, (_, expert) => expert));
  await (await open(bytes, {recovery: {}})).dispose(); // what is imported when it is needed takes real time
  const began = performance.now();
  const clock = useVirtualTime(t);
  const source = {
    async read(offset, length) {
      const part = bytes.slice(offset, offset + length);
      if (!isFaulty) return part;
      ++reads;
      const fault = random() < 0.3 ? kinds[Math.floor(random() * 5)] : undefined;
      if (fault) ++faults[fault];
      if (fault === 'lost') return new Promise(() => undefined);
      if (fault === 'late') await clock.wait(40); // nobody waits any more
      if (fault === 'short') return part.subarray(0, Math.floor(random() * length));
      if (fault === 'corrupt') part[Math.floor(random() * part.length)] ^= 1 << Math.floor(random() * 8);
      if (fault === 'broken') throw new Error('broken');
      await clock.wait(random() * 3); // in any order
      return part;
    },
  };
  const recovery = {firstDelayMs: 1, longestDelayMs: 10, openForMs: 50, patienceMs: 15, random, now: () => clock.now};
  const pack = await clock.until(open(source, {memory: {maxBytes: 128 << 10}, recovery}));
  isFaulty = true;
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
        await clock.wait(10); // the router itself may be left alone for a while
      }
    }
  };
  await clock.until(Promise.all(Array.from({length: together}, asker)));
  const ms = {virtual: Math.round(clock.now), real: Math.round(performance.now() - began)};
  t.diagnostic(JSON.stringify({...counts, reads, faults, ...pack.recoveryCounts, peak: pack.memoryUsage().peak, ms}));
  // The same on every machine, but for what the demo's experts are.
  assert.ok(counts.right >= 0.98 * requests && counts.errors <= 0.002 * requests);
  assert.ok(counts.degraded > 0);
  for (const [kind, count] of Object.entries(faults)) assert.ok(Math.abs(count / reads - 0.06) < 0.02, `${kind}: ${count}`);
  assert.ok(pack.memoryUsage().peak <= 128 << 10);
  assert.equal(pack.memoryUsage().pinnedExperts, 0);
  await pack.dispose();
});
