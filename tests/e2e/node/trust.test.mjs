// Whom a pack must come from before anything of it is used.
import assert from 'node:assert/strict';
import {createHash} from 'node:crypto';
import {readFile} from 'node:fs/promises';
import test, {after, before} from 'node:test';
import {serve} from '../server.mjs';
import {importKimic, packPath, packs} from '../setup.mjs';

const {open} = await importKimic();
const path = packPath('demo');
const bytes = await readFile(path);
const digest = createHash('sha256').update(bytes.subarray(0, 256)).digest();
let server;
before(async () => (server = await serve({packs})));
after(() => server.close());
const url = () => `${server.url}/packs/demo.kpk`;

test('the digest of a pack is that of its header', async () => {
  const pack = await open(path);
  assert.equal(pack.info.digest, digest.toString('hex'));
  await pack.dispose();
});

for (const [form, text] of [['hex', digest.toString('hex')], ['base64', digest.toString('base64')]])
  test(`a pack opens that has the pinned digest: ${form}`, async () => {
    for (const source of [path, bytes, new Blob([bytes]), url()]) {
      const pack = await open(source, {integrity: `sha256-${text}`});
      assert.equal((await pack.run(0, new Float32Array(64))).length, 10);
      await pack.dispose();
    }
  });

test('every other pack is refused, from every source', async () => {
  const integrity = `sha256-${'0'.repeat(64)}`;
  for (const source of [path, bytes, new Blob([bytes]), url()])
    await assert.rejects(open(source, {integrity}), {code: 'PackDigest', kind: 'Untrusted'});
});

test('a pack from another origin needs a voucher, and nothing is read without', async () => {
  await assert.rejects(open(url()), error => {
    assert.equal(error.code, 'PackNotVouchedFor');
    assert.equal(error.kind, 'Untrusted');
    assert.match(error.hint, /integrity/);
    return true;
  });
  await assert.rejects(open(new URL(url())), {code: 'PackNotVouchedFor'});
  assert.equal(server.requests.filter(request => !request.range).length, 0);
  await (await open(url(), {allowUnsigned: true})).dispose();
});

test('an address of this page needs none', async () => {
  globalThis.location = new URL(`${server.url}/page.html`);
  try {
    await (await open(url())).dispose();
    await assert.rejects(open(url().replace('127.0.0.1', 'localhost')), {code: 'PackNotVouchedFor'});
    await assert.rejects(open(url().replace(/:\d+/, ':1')), {code: 'PackNotVouchedFor'});
  } finally {
    delete globalThis.location;
  }
});

test('an address of this page that leads elsewhere needs one', async () => {
  globalThis.location = new URL(`${server.url}/page.html`);
  const other = await serve({packs});
  server.faults.set('/packs/away.kpk', (request, response) =>
    response.writeHead(302, {Location: `${other.url}/packs/demo.kpk`}).end());
  try {
    await assert.rejects(open(`${server.url}/packs/away.kpk`), {code: 'PackNotVouchedFor'});
    await (await open(`${server.url}/packs/away.kpk`, {integrity: `sha256-${digest.toString('hex')}`})).dispose();
  } finally {
    delete globalThis.location;
    await other.close();
  }
});

test('bytes and files are the caller\'s own', async () => {
  for (const source of [path, bytes, new Blob([bytes]), `data:;base64,${bytes.toString('base64')}`])
    await (await open(source)).dispose();
});

test('a malformed digest is an error, not no digest', async () => {
  for (const integrity of ['', 'sha256-', 'sha256-abc', digest.toString('hex'), `sha384-${digest.toString('base64')}`,
    `sha256-${digest.toString('base64')} sha256-x`])
    await assert.rejects(open(path, {integrity}), {code: 'OptionMalformed', kind: 'InvalidArgument'});
});
