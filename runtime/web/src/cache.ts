// Where parts of packs are kept between visits. What comes out of a cache is hashed like what comes from a server, so a
// cache need not be trusted; it must only never give a part of what was put.
import {nodeModule} from './node.js';

/** Keys are `<digest of the pack in hex>/<offset>-<length>`. Whatever fails counts as not there. */
export interface PackCache {
  get(key: string): Promise<Uint8Array | undefined>;
  /** All of the bytes, or nothing. */
  put(key: string, bytes: Uint8Array): Promise<void>;
  /** Removes all keys that begin with `prefix`: a digest and a slash, or nothing for all. */
  delete(prefix: string): Promise<void>;
}

const folderName = 'kimic-1';

/** The Cache API: pages, workers and service workers in a secure context. */
export function cacheApi(): PackCache {
  const opened = () => caches.open(folderName);
  // Keys have to be URLs; .invalid is nobody's.
  const address = (key: string) => `https://kimic.invalid/${key}`;
  return {
    async get(key) {
      const response = await (await opened()).match(address(key));
      return response && new Uint8Array(await response.arrayBuffer());
    },
    async put(key, bytes) {
      await (await opened()).put(address(key), new Response(bytes.slice()));
    },
    async delete(prefix) {
      const cache = await opened();
      const requests = (await cache.keys()).filter(request => request.url.startsWith(address(prefix)));
      await Promise.all(requests.map(request => cache.delete(request)));
    },
  };
}

/** The origin private file system: pages and workers in a secure context. */
export function opfs(): PackCache {
  const folder = async (digest: string, create: boolean) => {
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle(folderName, {create});
    return digest ? root.getDirectoryHandle(digest, {create}) : root;
  };
  const split = (key: string) => key.split('/') as [string, string];
  return {
    async get(key) {
      const [digest, name] = split(key);
      const file = await (await folder(digest, false)).getFileHandle(name).catch(() => undefined);
      // A file that was made and not written to yet is empty.
      const bytes = file && new Uint8Array(await (await file.getFile()).arrayBuffer());
      return bytes?.length ? bytes : undefined;
    },
    async put(key, bytes) {
      const [digest, name] = split(key);
      const file = await (await folder(digest, true)).getFileHandle(name, {create: true});
      const writable = await file.createWritable(); // writes to a copy, which close() puts in place
      await writable.write(bytes.slice());
      await writable.close();
    },
    async delete(prefix) {
      const root = await navigator.storage.getDirectory();
      const [digest] = split(prefix);
      if (digest) await (await folder('', false)).removeEntry(digest, {recursive: true});
      else await root.removeEntry(folderName, {recursive: true});
    },
  };
}

/** A folder of Node's file system. */
export function directory(path: string): PackCache {
  const files = async () => (await nodeModule('node:fs')!).promises;
  let writes = 0;
  return {
    async get(key) {
      return new Uint8Array(await (await files()).readFile(`${path}/${key}`));
    },
    async put(key, bytes) {
      const fs = await files();
      const [digest] = key.split('/');
      await fs.mkdir(`${path}/${digest}`, {recursive: true});
      const temporary = `${path}/${key}.${process.pid}-${++writes}.tmp`;
      try {
        await fs.writeFile(temporary, bytes);
        await fs.rename(temporary, `${path}/${key}`);
      } catch (error) {
        await fs.rm(temporary, {force: true});
        throw error;
      }
    },
    async delete(prefix) {
      await (await files()).rm(`${path}/${prefix}`, {recursive: true, force: true});
    },
  };
}
