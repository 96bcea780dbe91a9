// A persistent cache of any kind: nothing is read twice, nothing half is kept, and what is wrong in it is read again.
// Works in Node, pages and workers.

/** `make()` gives the cache, empty. Throws what does not hold. */
export async function checkCache(kimic, url, expected, make) {
  const expect = (what, found, wanted) => {
    if (found !== wanted) throw new Error(`${what}: ${found} instead of ${wanted}`);
  };
  const cache = make();
  await cache.delete('').catch(() => undefined);
  let requests = 0;
  const fetch = (...args) => (++requests, globalThis.fetch(...args));
  const row = new Float32Array(64).fill(0.5);
  const visit = async (what, options = {}) => {
    requests = 0;
    const writes = [];
    const kept = options.cache ?? make();
    const put = (...entry) => {
      const write = kept.put(...entry);
      writes.push(write);
      return write;
    };
    const pack = await kimic.open(url, {allowUnsigned: true, fetch, ...options, cache: {...kept, put}});
    const output = await pack.run(0, row);
    expect(`${what}: answer`, output.join(), expected.join());
    const {digest} = pack.info;
    await pack.dispose();
    await Promise.allSettled(writes); // entries are written behind the back
    return {digest, requests};
  };

  const first = await visit('first visit');
  const integrity = `sha256-${first.digest}`;
  expect('second visit: requests', (await visit('second visit')).requests, 1); // which pack is it?
  expect('visit with integrity: requests', (await visit('visit with integrity', {integrity})).requests, 0);
  const offline = () => Promise.reject(new Error('offline'));
  await visit('offline', {integrity, fetch: offline});

  // Every entry damaged in turn: the right answer all the same, and a healed cache.
  const keys = [];
  const spy = {...make(), get: async key => (keys.push(key), make().get(key))};
  await visit('list', {integrity, cache: spy});
  if (keys.length < 2) throw new Error(`only ${keys.length} entries were asked for`);
  for (const key of keys) {
    const entry = await cache.get(key);
    for (const wrong of [entry.map(byte => byte ^ 1), entry.subarray(0, 10)]) {
      await cache.put(key, wrong);
      await visit(`with a wrong ${key}`, {integrity});
      await visit('healing', {integrity}); // the first bytes went with everything else
      expect(`after a wrong ${key}: requests`, (await visit('healed', {integrity})).requests, 0);
    }
  }

  // What is stopped on the way leaves nothing.
  await cache.delete('');
  const pack = await kimic.open(url, {allowUnsigned: true, cache: make(), fetch});
  await new Promise(resolve => setTimeout(resolve, 50));
  const put = [];
  const controller = new AbortController();
  const slow = async (address, init) => {
    const response = await globalThis.fetch(address, init);
    controller.abort();
    return response;
  };
  const stopped = await kimic.open(url, {
    allowUnsigned: true,
    cache: {get: async () => undefined, put: async key => void put.push(key), delete: async () => undefined},
    fetch: slow,
    signal: controller.signal,
  }).catch(error => error.code);
  expect('a stopped visit', stopped, 'OperationCancelled');
  await new Promise(resolve => setTimeout(resolve, 50));
  expect('entries of a stopped visit', put.length, 0);
  await pack.dispose();

  // A cache that fails costs nothing but speed.
  const fail = async () => Promise.reject(new Error('quota'));
  await visit('with a broken cache', {cache: {get: fail, put: fail, delete: fail}});
  await cache.delete(`${first.digest}/`);
  expect('an entry after delete', (await cache.get(keys[0]).catch(() => undefined)) ?? undefined, undefined);
}
