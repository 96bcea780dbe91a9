// Every way to give a pack, and servers that misbehave.
import assert from 'node:assert/strict';
import {mkdtemp, open as openFile, readFile, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import test, {after, before, beforeEach} from 'node:test';
import {pathToFileURL} from 'node:url';
import {serve} from '../server.mjs';
import {cases, checkFault} from '../checkFaults.mjs';
import {importKimic, packPath, packs} from '../setup.mjs';

const kimic = await importKimic();
const {open} = kimic;
const path = packPath('demo');
const bytes = new Uint8Array(await readFile(path));
const expected = await (await open(bytes)).run(0, new Float32Array(64).fill(0.5));
let server;
before(async () => (server = await serve({packs})));
after(() => server.close());
beforeEach(() => {
  server.requests.length = 0;
  server.faults.clear();
});
/** Without a page every server is another origin. */
const remote = {allowUnsigned: true};
const url = () => `${server.url}/packs/demo.kpk`;
const packRequests = () => server.requests.filter(r => r.path.endsWith('.kpk'));

async function answers(source, options) {
  const pack = await open(source, options);
  const output = await pack.run(0, new Float32Array(64).fill(0.5));
  assert.deepEqual(output, expected);
  await pack.dispose();
}

test('bytes', () => answers(bytes));
test('an ArrayBuffer', () => answers(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)));
test('a path', () => answers(path));
test('a file URL', () => answers(pathToFileURL(path)));
test('a handle of a file, which stays open', async () => {
  const handle = await openFile(path);
  await answers(handle);
  assert.equal((await handle.stat()).size, bytes.length);
  await handle.close();
});
test('a handle of the browser\'s file systems', async () => {
  const blob = new Blob([await readFile(path)]);
  await answers({getFile: async () => blob});
});
test('a Blob', async () => answers(new Blob([await readFile(path)])));
test('a source of the caller', async () => {
  const reads = [];
  let isClosed = false;
  await answers({
    async read(offset, length, signal) {
      assert.ok(signal instanceof AbortSignal);
      reads.push([offset, length]);
      return bytes.subarray(offset, offset + length);
    },
    close: () => (isClosed = true),
  });
  assert.deepEqual(reads[0], [0, 16384]);
  assert.ok(isClosed);
});

test('a URL, in ranges', async () => {
  await answers(url(), remote);
  assert.equal(packRequests()[0].range, 'bytes=0-36863');
  assert.ok(packRequests().every(r => r.range));
});

test('a server that ignores ranges is asked once', async () => {
  server.faults.set('/packs/demo.kpk', (request, response) => response.writeHead(200).end(bytes));
  await answers(url(), remote);
  assert.equal(packRequests().length, 1);
});

for (const fault of cases) {
  const [name, codes, options] = fault;
  test(`a server: ${name}${options ? ' ' + JSON.stringify(options) : ''}: ${codes ?? 'the right answer'}`, async () => {
    assert.equal(await checkFault(kimic, server.url, fault, expected), undefined);
  });
}

test('what can pass is tried again, what cannot is not', async () => {
  const tries = async fault => {
    server.requests.length = 0;
    await open(`${server.url}/faulty/${fault}/demo.kpk`, {...remote, network: {retries: 3, backoffMs: 1}}).catch(() => {});
    return server.requests.length;
  };
  assert.equal(await tries('broken'), 4);
  assert.equal(await tries('closes'), 4);
  for (const fault of ['missing', 'forbidden', 'tooManyForLong', 'compressesRanges', 'liesAboutTheStart', 'isEmpty'])
    assert.equal(await tries(fault), 1, fault);
});

test('a fetch that never ends, not even when it is aborted, is given up', async () => {
  const options = {...remote, fetch: () => new Promise(() => {}), network: {retries: 1, backoffMs: 1, stallMs: 20}};
  await assert.rejects(open(url(), options), {code: 'ReadStalled'});
});

test('what a fetch that was given up sends later does not count', async () => {
  let send;
  let requests = 0;
  const late = () =>
    new Response(new ReadableStream({start: controller => void (send = () => controller.enqueue(new Uint8Array(9)))}), {
      status: 206,
      headers: {'Content-Range': `bytes 0-36863/${bytes.length}`},
    });
  const fetchLate = (url, options) => {
    if (++requests === 1) return Promise.resolve(late());
    send();
    return fetch(url, options);
  };
  await answers(url(), {...remote, fetch: fetchLate, network: {backoffMs: 1, stallMs: 20}});
});

test('Retry-After is waited for', async () => {
  const start = performance.now();
  await (await open(`${server.url}/faulty/tooManyAtFirst/demo.kpk?wait`, {...remote, network: {backoffMs: 1}})).dispose();
  assert.ok(performance.now() - start >= 990);
});

test('what has arrived is not asked for again', async () => {
  const pack = await open(`${server.url}/faulty/cutsAtFirst/demo.kpk?resume`, {...remote, network: {backoffMs: 1}});
  assert.deepEqual(server.requests.map(r => r.range), ['bytes=0-36863', 'bytes=100-36863']);
  await pack.dispose();
});

test('a server that is down, a path that does not exist', async () => {
  await assert.rejects(open('http://127.0.0.1:9/x.kpk', {...remote, network: {backoffMs: 1}}), {
    code: 'SourceReadFailed',
    kind: 'Unavailable',
  });
  await assert.rejects(open('/nowhere/x.kpk'), {code: 'SourceReadFailed'});
});

test('nothing that is a source', () => assert.rejects(open(17), {code: 'UnsupportedSource'}));

test('a connection that breaks: an error, and the next try works', async () => {
  const pack = await open(url(), {...remote, network: {retries: 0, openBytes: 0}});
  server.faults.set('/packs/demo.kpk', (request, response) => response.destroy() && true);
  await assert.rejects(pack.run(0, new Float32Array(64)), {code: 'SourceReadFailed', kind: 'Unavailable'});
  server.faults.clear();
  assert.deepEqual(await pack.run(0, new Float32Array(64).fill(0.5)), expected);
});

test('a wrong byte on the way: an error, and the next try works', async () => {
  for (let wrong = 1; ; ++wrong) {
    let reads = 0;
    const pack = await open({
      async read(offset, length) {
        const part = bytes.slice(offset, offset + length);
        if (reads++ === wrong) part[9] ^= 4;
        return part;
      },
    });
    const outcome = await pack.run(0, new Float32Array(64).fill(0.5)).catch(error => error);
    if (reads <= wrong) {
      assert.deepEqual(outcome, expected);
      assert.ok(wrong >= 2); // first 16 KiB with the leaf; parameters, signatures and module
      break;
    }
    assert.equal(outcome.kind, 'DataLoss');
    assert.deepEqual(await pack.run(0, new Float32Array(64).fill(0.5)), expected);
  }
});

test('what is shared is read once, by any number of callers', async () => {
  const pack = await open(url(), remote);
  const outputs = await Promise.all(Array.from({length: 20}, () => pack.run(0, new Float32Array(64).fill(0.5))));
  for (const output of outputs) assert.deepEqual(output, expected);
  const ranges = packRequests().map(r => r.range);
  assert.equal(new Set(ranges).size, ranges.length);
  assert.ok(ranges.length <= 3, ranges.join(' ')); // the beginning with the leaf, kernels, parameters
});

test('near reads are one request, far ones are not', async () => {
  const pack = await open(url(), remote);
  await pack.load([...Array(pack.info.experts).keys()]);
  const ranges = packRequests().map(r => r.range.match(/\d+/g).map(Number));
  assert.ok(ranges.length <= 4, JSON.stringify(ranges));
  assert.ok(ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0) < 1.2 * bytes.length);
  await pack.dispose();
});

test('at most as many requests as allowed are under way', async () => {
  const random = packPath('random');
  let [active, most] = [0, 0];
  const data = new Uint8Array(await readFile(random));
  const source = {
    async read(offset, length) {
      most = Math.max(most, ++active);
      await new Promise(resolve => setTimeout(resolve, 2));
      --active;
      return data.subarray(offset, offset + length);
    },
  };
  const pack = await open(source, {network: {concurrency: 2}});
  await Promise.all(Array.from({length: pack.info.experts}, (_, expert) => pack.load(expert)));
  assert.equal(most, 2);
  await pack.dispose();
});

test('a file that shrinks under the reader', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kimic-'));
  const copy = join(folder, 'cut.kpk');
  await writeFile(copy, bytes.subarray(0, 20000));
  const pack = await open(copy);
  await assert.rejects(pack.load([...Array(pack.info.experts).keys()]), {code: 'ReadTooShort', kind: 'DataLoss'});
  await pack.dispose();
  await rm(folder, {recursive: true});
});
