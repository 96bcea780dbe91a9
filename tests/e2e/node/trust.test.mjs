// Whom a pack must come from before anything of it is used.
import assert from 'node:assert/strict';
import {createHash, generateKeyPairSync, sign} from 'node:crypto';
import {readFile} from 'node:fs/promises';
import test, {after, before} from 'node:test';
import {serve} from '../server.mjs';
import {importKimic, packPath, packs} from '../setup.mjs';

const {open} = await importKimic();
const {Trust} = await importKimic('trust.js');
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

/** A signer with its public key in the slot's form, and in base64 as users have it. */
function signer() {
  const {publicKey, privateKey} = generateKeyPairSync('ed25519');
  const key = publicKey.export({format: 'der', type: 'spki'}).subarray(-32);
  const signed = message => Buffer.concat([key, sign(null, message, privateKey)]);
  return {key, text: key.toString('base64'), signed};
}
const [ours, theirs, other] = [signer(), signer(), signer()];
const message = Buffer.concat([Buffer.from('kimic-pack-v1\0'), digest]);

/** The first bytes of a pack with these signature slots, as pack-v1 places them. */
function firstBytes(...slots) {
  const first = Buffer.alloc(16384);
  bytes.copy(first, 0, 0, 256);
  slots.forEach((slot, i) => slot.copy(first, 256 + 96 * i));
  return first;
}
const check = (keys, ...slots) =>
  new Trust({trustedKeys: keys}).requireSignature(firstBytes(...slots), digest.toString('hex'));

test('a signature of a trusted key is accepted, whichever slot it is in', async () => {
  await check([ours.text], ours.signed(message));
  await check([ours.key.toString('hex')], theirs.signed(message), ours.signed(message));
  await check([other.text, ours.text], theirs.signed(message), ours.signed(message));
  await check([ours.text, theirs.text], theirs.signed(message), ours.signed(message));
});

test('a pack without a signature of a trusted key is refused', async () => {
  await assert.rejects(check([ours.text]), {code: 'SignatureMissing', kind: 'Untrusted', args: [0]});
  await assert.rejects(check([ours.text], theirs.signed(message)), {code: 'SignatureMissing', args: [1]});
  await assert.rejects(check([], ours.signed(message)), {code: 'SignatureMissing'});
});

test('a wrong signature of a trusted key is refused, even beside a good one', async () => {
  const otherPack = Buffer.concat([message.subarray(0, 14), createHash('sha256').update('x').digest()]);
  for (const wrong of [ours.signed(otherPack), ours.signed(digest), Buffer.concat([ours.key, Buffer.alloc(64)])]) {
    await assert.rejects(check([ours.text], wrong), {code: 'SignatureWrong', kind: 'Untrusted', args: [0]});
    await assert.rejects(check([ours.text, theirs.text], theirs.signed(message), wrong), {code: 'SignatureWrong', args: [1]});
  }
});

test('a wrong signature of a key that nobody trusts does not matter', () =>
  check([ours.text], Buffer.concat([theirs.key, Buffer.alloc(64)]), ours.signed(message)));

test('an engine without Ed25519 opens nothing that must be signed', async () => {
  const {subtle} = globalThis.crypto ?? (await import('node:crypto')).webcrypto;
  const {importKey} = subtle;
  subtle.importKey = async () => {
    throw new DOMException('Unrecognized name', 'NotSupportedError');
  };
  try {
    await assert.rejects(check([ours.text], ours.signed(message)), {code: 'SignatureUncheckable', kind: 'Unsupported'});
  } finally {
    subtle.importKey = importKey;
  }
});

test('malformed keys are an error', async () => {
  for (const key of ['', 'abc', ours.text.slice(1), 'z'.repeat(64)])
    await assert.rejects(open(path, {trustedKeys: [key]}), {code: 'OptionMalformed'});
});

test('a signed pack opens with the key, from every source, and with no other', async () => {
  const signed = Buffer.from(bytes);
  ours.signed(message).copy(signed, 256);
  server.faults.set('/packs/signed.kpk', (request, response) => response.writeHead(200).end(signed));
  for (const source of [signed, new Blob([signed]), `${server.url}/packs/signed.kpk`]) {
    const pack = await open(source, {trustedKeys: [ours.text]});
    assert.equal(pack.info.digest, digest.toString('hex'));
    assert.equal((await pack.run(0, new Float32Array(64))).length, 10);
    await pack.dispose();
    await assert.rejects(open(source, {trustedKeys: [theirs.text]}), {code: 'SignatureMissing', args: [1]});
  }
  await assert.rejects(open(bytes, {trustedKeys: [ours.text]}), {code: 'SignatureMissing', args: [0]});
  signed[300] ^= 1;
  await assert.rejects(open(signed, {trustedKeys: [ours.text]}), {code: 'SignatureWrong'});
  await (await open(signed)).dispose(); // who does not ask for a key is not asked for one
});
