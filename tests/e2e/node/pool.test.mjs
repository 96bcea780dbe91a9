// A pack on several threads: the same bits, threads that are lost, sources that the pool reads for them.
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdtemp, readFile, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import test from 'node:test';
import {pathToFileURL} from 'node:url';
import {randomFrom} from '../random.mjs';
import {dist, importKimic, packPath} from '../setup.mjs';

const {open} = await importKimic();
const {PackPool} = await importKimic('pool.js');
const {Channel} = await importKimic('channel.js');
const path = packPath('demo');
const bytes = new Uint8Array(await readFile(path));

/** Rows of the demo's inputs, each another. */
function rowsOf(count) {
  const rows = new Float32Array(count * 64);
  for (let i = 0; i < rows.length; ++i) rows[i] = Math.fround(Math.sin(i * 0.37) * (1 + (i % 7)));
  return rows;
}

async function withPool(options, body) {
  const pool = await PackPool.open(path, {threads: 3, ...options});
  try {
    return await body(pool);
  } finally {
    await pool.dispose();
  }
}

test('a pool answers rows with the bits of one thread', async () => {
  const pack = await open(path);
  for (const spread of ['rows', 'experts'])
    await withPool({spread}, async pool => {
      for (const count of [1, 5, 200]) assert.deepEqual(await pool.ask(rowsOf(count)), await pack.ask(rowsOf(count)));
      for (const k of [1, 3]) assert.deepEqual(await pool.ask(rowsOf(9), {k}), await pack.ask(rowsOf(9), {k}));
    });
  await pack.dispose();
});

test('a pool runs every expert with the bits of one thread', async () => {
  const pack = await open(path);
  await withPool({}, async pool => {
    const shapes = await Promise.all(Array.from({length: 20}, (_, expert) => pack.expertInfo(expert)));
    const inputs = shapes.map(({inputs}) => rowsOf(6).subarray(0, 4 * inputs));
    const outputs = await Promise.all(inputs.map((input, expert) => pool.run(expert, input)));
    for (let expert = 0; expert < 20; ++expert)
      assert.deepEqual(outputs[expert], await pack.run(expert, inputs[expert]));
  });
  await pack.dispose();
});

test('experts are spread evenly over the threads', () =>
  withPool({}, async pool => {
    await pool.load(Array.from({length: 18}, (_, i) => i));
    const [, ...threads] = await pool.stats();
    assert.deepEqual(threads.map(stats => stats.residentExperts), [6, 6, 6]);
  }));

test('a thread keeps the experts that it was given', () =>
  withPool({}, async pool => {
    for (let round = 0; round < 5; ++round) for (const expert of [0, 1, 2]) await pool.run(expert, rowsOf(1));
    const [, ...threads] = await pool.stats();
    assert.deepEqual(threads.map(stats => [stats.residentExperts, stats.hits]), [[1, 4], [1, 4], [1, 4]]);
  }));

test('rows go to the threads that have their experts, if experts are spread', async () => {
  const pack = await open(path);
  const rows = rowsOf(400);
  const best = new Set();
  for (let at = 0; at < rows.length; at += 64)
    best.add((await pack.route(rows.subarray(at, at + 64), {k: 1})).choices[0].expert);
  await pack.dispose();
  await withPool({spread: 'experts'}, async pool => {
    await pool.ask(rows, {k: 1});
    const [, ...threads] = await pool.stats();
    const residents = threads.map(stats => stats.residentExperts - 1); // without the router
    assert.equal(residents.reduce((sum, count) => sum + count), best.size, 'an expert is on more than one thread');
    assert.equal(Math.max(...residents) - Math.min(...residents) <= 1, true, residents.join());
  });
});

test('an expert that keeps its thread busy gets others too', () =>
  withPool({}, async pool => {
    await Promise.all(Array.from({length: 12}, () => pool.run(0, rowsOf(300))));
    const [, ...threads] = await pool.stats();
    assert.deepEqual(threads.map(stats => stats.residentExperts), [1, 1, 1]);
  }));

test('kernel modules are compiled once for all threads', async t => {
  await withPool({}, async pool => {
    const compile = t.mock.method(WebAssembly, 'compile');
    const reports = await pool.warmUp({experts: [0], budgetMs: 5});
    assert.equal(reports.length, 3);
    assert.equal(compile.mock.callCount(), 1);
  });
});

/** Ends the pool's only thread whenever it reads a part of the pack other than the first, so often. */
function endThreadOnRead(pool, times) {
  const {source} = pool;
  const read = source.read;
  source.read = async (offset, ...rest) => {
    if (offset > 0 && times-- > 0) (await pool.members[0]).thread.terminate();
    return read.call(source, offset, ...rest);
  };
}

test('a thread that ends is replaced, and its job is done all the same', async () => {
  const pack = await open(path);
  await withPool({threads: 1}, async pool => {
    endThreadOnRead(pool, 1);
    assert.deepEqual(await pool.run(4, rowsOf(2)), await pack.run(4, rowsOf(2)));
  });
  await pack.dispose();
});

test('a job whose second thread ends too fails, and the next one does not', async () => {
  const pack = await open(path);
  await withPool({threads: 1}, async pool => {
    endThreadOnRead(pool, 2);
    await assert.rejects(pool.run(4, rowsOf(2)), {code: 'ThreadLost', kind: 'Unavailable'});
    assert.deepEqual(await pool.run(4, rowsOf(2)), await pack.run(4, rowsOf(2)));
  });
  await pack.dispose();
});

test('errors cross with code, kind and sentence', () =>
  withPool({}, async pool => {
    const refused = {name: 'KimicError', code: 'InputLength', kind: 'InvalidArgument', args: [3, 1, 64]};
    await assert.rejects(pool.run(0, new Float32Array(3)), refused);
    await assert.rejects(pool.run('nobody', rowsOf(1)), {code: 'UnknownExpertName'});
  }));

test('cancelling stops the wait, and the pool goes on', () =>
  withPool({}, async pool => {
    await assert.rejects(pool.run(1, rowsOf(1), {signal: AbortSignal.abort()}), {code: 'OperationCancelled'});
    const controller = new AbortController();
    const late = pool.ask(rowsOf(4000), {signal: controller.signal});
    controller.abort();
    await assert.rejects(late, {code: 'OperationCancelled'});
    assert.equal((await pool.run(1, rowsOf(1))).length > 0, true);
  }));

test('disposing fails what is under way and everything later', async () => {
  const pool = await PackPool.open(path, {threads: 2});
  const late = assert.rejects(pool.run(2, rowsOf(1000)), {code: 'PackDisposed'});
  await pool.dispose();
  await late;
  await assert.rejects(pool.run(2, rowsOf(1)), {code: 'PackDisposed'});
});

test('a pool fails to open as a pack does', async () => {
  await assert.rejects(PackPool.open(bytes.subarray(0, 100), {threads: 2}), {kind: 'DataLoss'});
  await assert.rejects(PackPool.open(path, {threads: 2, integrity: `sha256-${'0'.repeat(64)}`}), {code: 'PackDigest'});
  await assert.rejects(PackPool.open(path, {threads: 0}), {code: 'OptionMalformed'});
});

test('memory.maxBytes is the cap of all threads together', () =>
  withPool({memory: {maxBytes: 4 << 20}}, async pool => {
    const stats = await pool.stats();
    assert.equal(stats.length, 4);
    for (const {arenaCap} of stats) assert.equal(arenaCap, 1 << 20);
  }));

test('a thread that ends is replaced although the signal of open() was aborted since', async () => {
  const pack = await open(path);
  const controller = new AbortController();
  await withPool({threads: 1, signal: controller.signal}, async pool => {
    controller.abort();
    endThreadOnRead(pool, 1);
    assert.deepEqual(await pool.run(4, rowsOf(2)), await pack.run(4, rowsOf(2)));
  });
  await pack.dispose();
});

test("a thread's successor is given experts as one that has none", () =>
  withPool({threads: 2}, async pool => {
    await pool.load([0, 1, 2, 3]);
    (await pool.members[0]).thread.terminate();
    await pool.run(0, rowsOf(1)).catch(() => undefined);
    await pool.run(0, rowsOf(1));
    await pool.load([4, 5, 6]);
    const [, ...threads] = await pool.stats();
    assert.ok(Math.abs(threads[0].residentExperts - threads[1].residentExperts) <= 1, JSON.stringify(threads));
  }));

test('options of packs hold on threads', () =>
  withPool({threads: 1, followsTransitions: false, residentBonus: 0.25, cachePolicy: 'adaptive'}, async pool => {
    const {followsTransitions, residentBonus, cachePolicy} = pool.threadOptions;
    assert.deepEqual({followsTransitions, residentBonus, cachePolicy}, {
      followsTransitions: false,
      residentBonus: 0.25,
      cachePolicy: 'adaptive',
    });
    assert.ok((await pool.run(0, rowsOf(1))).length > 0);
  }));

const wait = ms => new Promise(resolve => setTimeout(resolve, ms));

/** The pack, whose reads go through `fault(part, offset)` while the source is faulty, and are counted. */
function faultySource(fault) {
  const source = {
    isFaulty: false,
    offsets: [],
    underWay: 0,
    most: 0,
    async read(offset, length) {
      source.offsets.push(offset);
      source.most = Math.max(source.most, ++source.underWay);
      try {
        const part = bytes.slice(offset, offset + length);
        return source.isFaulty ? await fault(part, offset) : part;
      } finally {
        --source.underWay;
      }
    },
  };
  return source;
}
async function withPoolOf(source, options, body) {
  const pool = await PackPool.open(source, {threads: 3, followsTransitions: false, ...options});
  try {
    return await body(pool);
  } finally {
    await pool.dispose();
  }
}

test('network.concurrency is for all threads together', async () => {
  const source = faultySource(async part => (await wait(5), part));
  await withPoolOf(source, {network: {concurrency: 2}}, async pool => {
    source.isFaulty = true;
    await Promise.all(Array.from({length: 18}, (_, expert) => pool.load(expert)));
  });
  assert.equal(source.most, 2);
});

test('a read whose turn has not come is given up when nobody waits for it', async () => {
  const source = faultySource(() => new Promise(() => undefined));
  await withPoolOf(source, {network: {concurrency: 1}}, async pool => {
    source.isFaulty = true;
    const controller = new AbortController();
    const answers = [0, 1, 2].map(expert => pool.run(expert, rowsOf(1), {signal: controller.signal}));
    await wait(50);
    controller.abort();
    for (const answer of answers) await assert.rejects(answer, {code: 'OperationCancelled'});
    source.isFaulty = false;
    assert.equal((await pool.run(0, rowsOf(1))).length, 10);
  });
});

test('threads open without a read of their own', async () => {
  const source = faultySource();
  await withPoolOf(source, {}, async () => undefined);
  assert.deepEqual(source.offsets, [0]);
});

const broken = async () => {
  throw new Error('broken');
};
/** Of every row the choices of the router. */
async function routesOf(pack, rows) {
  const routes = [];
  for (let at = 0; at < rows.length; at += 64) routes.push((await pack.route(rows.subarray(at, at + 64))).choices);
  return routes;
}
/** Where the data of an expert lie. */
async function placeOf(expert) {
  const source = faultySource();
  const pack = await open(source, {followsTransitions: false});
  await pack.load([expert ? 0 : 1, pack.info.router.expert]);
  source.offsets.length = 0;
  await pack.load(expert);
  await pack.dispose();
  return source.offsets.at(-1);
}

test('a pool tells which rows others answered, and why', async () => {
  const pack = await open(path);
  const rows = rowsOf(200);
  const routes = await routesOf(pack, rows);
  const lost = routes[0][0].expert;
  const place = await placeOf(lost);
  const expected = [...routes.keys()].filter(row => routes[row].some(({expert}) => expert === lost));
  const right = await pack.ask(rows);
  await pack.dispose();
  assert.ok(expected.length > 10 && expected.length < 190);
  const fault = async (part, offset) => (offset <= place && place < offset + part.length ? broken() : part);
  for (const spread of ['rows', 'experts']) {
    const source = faultySource(fault);
    const recovery = {attempts: 2, firstDelayMs: 1};
    await withPoolOf(source, {spread, recovery}, async pool => {
      await pool.load(Array.from({length: 18}, (_, i) => i).filter(expert => expert !== lost));
      source.isFaulty = true;
      const degraded = [];
      const answers = await pool.ask(rows, {onDegraded: (reason, row) => degraded.push([row, reason.code])});
      assert.deepEqual(degraded.map(([row]) => row), expected, spread);
      assert.ok(degraded.every(([, code]) => code === 'SourceReadFailed' || code === 'CircuitOpen'));
      const outputs = right.length / 200;
      const partOf = (answers, row) => answers.subarray(row * outputs, (row + 1) * outputs);
      for (let row = 0; row < 200; ++row)
        if (!expected.includes(row)) assert.deepEqual(partOf(answers, row), partOf(right, row));
      const {retries, fallbacks} = await pool.recoveryCounts();
      assert.equal(fallbacks, expected.length);
      assert.ok(retries > 0);
    });
  }
});

test("a pool's deadline holds, whatever the threads wait for", async () => {
  const pack = await open(path);
  const rows = rowsOf(100);
  const source = faultySource(() => new Promise(() => undefined));
  for (const recovery of [undefined, {}])
    await withPoolOf(source, {...(recovery && {recovery})}, async pool => {
      source.isFaulty = true;
      await assert.rejects(pool.ask(rows, {deadlineMs: 50}), {code: 'DeadlinePassed', args: [50]});
      source.isFaulty = false;
      assert.deepEqual(await pool.ask(rows, {deadlineMs: 20_000}), await pack.ask(rows));
    });
  await pack.dispose();
});

for (const spread of ['rows', 'experts'])
  test(`a pool under faults, whose threads end, answers right or says why: ${spread}`, {timeout: 60_000}, async t => {
    const pack = await open(path);
    const {routedExperts} = pack.info.router;
    await pack.load(Array.from({length: routedExperts}, (_, expert) => expert));
    const random = randomFrom(11);
    const source = faultySource(async part => {
      const fault = random() < 0.3 ? Math.floor(random() * 5) : -1;
      if (fault === 0) return new Promise(() => undefined); // lost
      if (fault === 1) await wait(60); // late
      if (fault === 2) return part.subarray(0, Math.floor(random() * part.length)); // short
      if (fault === 3) part[Math.floor(random() * part.length)] ^= 1 << Math.floor(random() * 8); // corrupt
      if (fault === 4) return broken();
      await wait(random() * 2); // in any order
      return part;
    });
    const recovery = {firstDelayMs: 1, longestDelayMs: 10, openForMs: 50, patienceMs: 30};
    const counts = {right: 0, degraded: 0};
    await withPoolOf(source, {threads: 2, spread, recovery}, async pool => {
      source.isFaulty = true;
      for (let round = 0; round < 60; ++round) {
        const rows = rowsOf(40).map((value, i) => Math.fround(value * Math.cos(round + (i >> 6))));
        if (round % 2) {
          // Its successor has to load all that is needed.
          const member = await pool.members[(round >> 1) % 2].catch(() => undefined);
          setTimeout(() => member?.thread.terminate(), 3);
        }
        const degraded = new Set();
        let answers;
        try {
          answers = await pool.ask(rows, {deadlineMs: 20_000, onDegraded: (_, row) => degraded.add(row)});
        } catch (error) {
          assert.equal(error.name, 'KimicError');
          counts[error.code] = (counts[error.code] ?? 0) + 40;
          await wait(60); // the router itself may be left alone for a while
          continue;
        }
        const outputs = answers.length / 40;
        const routes = await routesOf(pack, rows);
        for (let row = 0; row < 40; ++row) {
          const answer = answers.subarray(row * outputs, (row + 1) * outputs);
          const input = rows.subarray(row * 64, (row + 1) * 64);
          if (!degraded.has(row)) assert.deepEqual(answer, await pack.ask(input));
          else assert.ok(isOfOthers(pack, routes[row], input, answer, routedExperts), `row ${row} is nobody's answer`);
          ++counts[degraded.has(row) ? 'degraded' : 'right'];
        }
      }
      t.diagnostic(JSON.stringify({...counts, ...(await pool.recoveryCounts())}));
    });
    await pack.dispose();
    assert.ok(counts.right >= 1200, JSON.stringify(counts));
  });

/** Whether it is the answer of the chosen experts or others in their places, or of fewer with the same weight. */
function isOfOthers(pack, [first, second], input, answer, experts) {
  const candidates = [];
  for (let a = 0; a < experts; ++a) {
    candidates.push([{...first, expert: a, weight: first.weight * ((first.weight + second.weight) / first.weight)}]);
    candidates.push([{...second, expert: a, weight: second.weight * ((first.weight + second.weight) / second.weight)}]);
    for (let b = 0; b < experts; ++b) if (a !== b) candidates.push([{...first, expert: a}, {...second, expert: b}]);
  }
  return candidates.some(choices => pack.runChoices(choices, input, {}).every((value, i) => value === answer[i]));
}

test('an open pool does not keep the process, whichever threads had jobs', async t => {
  const script = `
    const {PackPool} = await import(${JSON.stringify(pathToFileURL(join(dist, 'pool.js')).href)});
    const pool = await PackPool.open(${JSON.stringify(path)}, {threads: 2});
    await pool.run(0, new Float32Array(64));
    console.log('answered');`;
  const folder = await mkdtemp(join(tmpdir(), 'kimic-'));
  t.after(() => rm(folder, {recursive: true}));
  await writeFile(join(folder, 'pool.mjs'), script);
  const child = spawn(process.execPath, [join(folder, 'pool.mjs')], {stdio: ['ignore', 'pipe', 'inherit']});
  const timer = setTimeout(() => child.kill(), 20_000);
  let output = '';
  child.stdout.on('data', data => (output += data));
  const [code] = await once(child, 'exit');
  clearTimeout(timer);
  assert.deepEqual([code, output.trim()], [0, 'answered']);
});

/** A port whose other side never answers. */
const deafPort = {post: message => void structuredClone(message), receive: () => undefined};

test('a call to a side that is gone fails at once', async () => {
  const channel = new Channel(deafPort, {});
  const before = channel.call('x', []);
  channel.fail(new Error('gone'));
  await assert.rejects(before, /gone/);
  await assert.rejects(channel.call('x', []), /gone/);
});

test('a call whose arguments cannot be sent fails and is forgotten', async () => {
  const channel = new Channel(deafPort, {});
  await assert.rejects(channel.call('x', [() => 1]), {name: 'DataCloneError'});
  assert.equal(channel.pending, 0);
});

test('a pool that is disposed of at any moment ends what is under way', async () => {
  for (let turns = 1; turns <= 4; ++turns) {
    const pool = await PackPool.open(path, {threads: 1});
    const answer = pool.run(0, rowsOf(1));
    answer.catch(() => undefined);
    for (let i = 0; i < turns; ++i) await undefined;
    await pool.dispose();
    await assert.rejects(answer, {code: 'PackDisposed'});
  }
});

test("a pool's runtime may be a Response", async () => {
  const wasm = new Response(await readFile(join(dist, 'kimic_rt.wasm')));
  const pool = await PackPool.open(path, {threads: 1, wasm});
  assert.equal((await pool.run(0, rowsOf(1))).length, 10);
  await pool.dispose();
});
