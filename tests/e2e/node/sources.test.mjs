// Every way to give a pack, and servers that misbehave.
import assert from 'node:assert/strict';
import {readFile, writeFile, mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import test, {after, before, beforeEach} from 'node:test';
import {pathToFileURL} from 'node:url';
import {serve} from '../server.mjs';
import {importKimic, packPath, packs} from '../setup.mjs';

const {open} = await importKimic();
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
  await answers(url());
  assert.equal(packRequests()[0].range, 'bytes=0-16383');
  assert.ok(packRequests().every(r => r.range));
});

test('a server that ignores ranges: the whole pack, once', async () => {
  server.faults.set('/packs/demo.kpk', (request, response) => response.writeHead(200).end(bytes));
  await answers(url());
  assert.equal(packRequests().length, 1);
});

test('a server that ignores ranges of a pack that is too large', async () => {
  server.faults.set('/packs/demo.kpk', (request, response) => response.writeHead(200).end(bytes));
  await assert.rejects(open(url(), {maxWholeBytes: 10000}), {code: 'RangeIgnored', kind: 'Unsupported'});
});

test('a server that is down or has no such file', async () => {
  await assert.rejects(open(`${server.url}/packs/other.kpk`), error => {
    assert.equal(error.code, 'HttpStatus');
    assert.deepEqual(error.args.slice(0, 2), [404, 0]);
    assert.match(error.message, /other\.kpk: server answered with status 404/);
    return true;
  });
  await assert.rejects(open('http://127.0.0.1:9/x.kpk'), {code: 'SourceReadFailed', kind: 'Unavailable'});
  await assert.rejects(open('/nowhere/x.kpk'), {code: 'SourceReadFailed'});
});

test('a page instead of a pack', async () => {
  server.faults.set('/packs/demo.kpk', (request, response) => response.writeHead(200).end('<!doctype html>'));
  await assert.rejects(open(url()), {code: 'PackMagic', hint: 'got an HTML page: the pack is not served'});
});

test('nothing that is a source', () => assert.rejects(open(17), {code: 'UnsupportedSource'}));

test('a pack that changes on the server', async () => {
  const pack = await open(url());
  server.faults.set('/packs/demo.kpk', (request, response) => response.writeHead(206, {ETag: '"other"'}).end('x'));
  await assert.rejects(pack.run(0, new Float32Array(64)), {code: 'PackChanged'});
});

test('a connection that breaks: an error, and the next try works', async () => {
  const pack = await open(url());
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
      assert.ok(wrong >= 4); // leaf, parameters, signatures, module
      break;
    }
    assert.equal(outcome.kind, 'DataLoss');
    assert.deepEqual(await pack.run(0, new Float32Array(64).fill(0.5)), expected);
  }
});

test('a server that sends too little or too much', async () => {
  for (const body of [bytes.subarray(0, 100), new Uint8Array(20000)]) {
    server.faults.set('/packs/demo.kpk', (request, response) => response.writeHead(206).end(body));
    await assert.rejects(open(url()), error => ['PackTruncated', 'PackMagic', 'SourceReadFailed'].includes(error.code));
  }
});

test('what is shared is read once, by any number of callers', async () => {
  const pack = await open(url());
  const outputs = await Promise.all(Array.from({length: 20}, () => pack.run(0, new Float32Array(64).fill(0.5))));
  for (const output of outputs) assert.deepEqual(output, expected);
  const ranges = packRequests().map(r => r.range);
  assert.equal(new Set(ranges).size, ranges.length);
  assert.equal(ranges.length, 5); // root, leaf, parameters, signatures, module
});

test('a file that shrinks under the reader', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kimic-'));
  const copy = join(folder, 'cut.kpk');
  await writeFile(copy, bytes.subarray(0, 20000));
  const pack = await open(copy);
  await assert.rejects(pack.run(0, new Float32Array(64)), {code: 'ReadTooShort', kind: 'DataLoss'});
  await pack.dispose();
  await rm(folder, {recursive: true});
});
