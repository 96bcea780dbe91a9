// Persistent caches: Node's file system here, the browsers' own in page.mjs.
import {mkdtemp, readdir, rm} from 'node:fs/promises';
import assert from 'node:assert/strict';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import test, {after, before} from 'node:test';
import {checkCache} from '../checkCache.mjs';
import {serve} from '../server.mjs';
import {importKimic, packPath, packs} from '../setup.mjs';

const kimic = await importKimic();
const {directory} = await importKimic('cache.js');
const pack = await kimic.open(packPath('demo'));
const expected = await pack.run(0, new Float32Array(64).fill(0.5));
await pack.dispose();
let server;
let folder;
before(async () => {
  server = await serve({packs});
  folder = await mkdtemp(join(tmpdir(), 'kimic-'));
});
after(async () => {
  await server.close();
  await rm(folder, {recursive: true});
});

test('a folder keeps what was read, whole and right', () =>
  checkCache(kimic, `${server.url}/packs/demo.kpk`, expected, () => directory(join(folder, 'cache'))));

test('a map of the caller works as well', async () => {
  const map = new Map();
  await checkCache(kimic, `${server.url}/packs/demo.kpk`, expected, () => ({
    get: async key => map.get(key),
    put: async (key, bytes) => void map.set(key, bytes.slice()),
    delete: async prefix => {
      for (const key of [...map.keys()]) if (key.startsWith(prefix)) map.delete(key);
    },
  }));
});

test('a folder has no temporary files left', async () => {
  const cache = directory(join(folder, 'other'));
  await Promise.all(Array.from({length: 20}, (_, i) => cache.put('d/0-5', new Uint8Array(1000).fill(i))));
  assert.deepEqual(await readdir(join(folder, 'other/d')), ['0-5']);
  const entry = await cache.get('d/0-5');
  assert.ok(entry.length === 1000 && entry.every(byte => byte === entry[0]));
});
