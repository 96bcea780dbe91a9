// The environment of measure.mjs and the peers in Node.
import {existsSync, readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {dirname, join} from 'node:path';
import {fileURLToPath, pathToFileURL} from 'node:url';
import vm from 'node:vm';

const here = dirname(fileURLToPath(import.meta.url));
const repository = join(here, '../..');
export const work = process.env.KIMIC_BENCH_WORK ?? join(repository, 'build/bench');
const roots = {work, dist: process.env.KIMIC_WEB_DIST ?? join(repository, 'runtime/web/dist'), peers: join(here, 'node_modules')};

export function path(name) {
  const [root, ...rest] = name.split('/');
  return join(roots[root], ...rest);
}

export function nodeEnv() {
  const facts = path('work/networks/networks.json');
  return {
    ...(existsSync(facts) ? JSON.parse(readFileSync(facts, 'utf8')) : {}),
    isNode: true,
    path,
    url: name => pathToFileURL(path(name)).href,
    require: createRequire(import.meta.url),
    async bytes(name) {
      const file = readFileSync(path(name));
      return file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength);
    },
    /** LiteRT knows pages and workers only: what a worker has and Node has not. */
    async pretendWorker() {
      if (globalThis.importScripts) return;
      globalThis.self = globalThis;
      globalThis.importScripts = url => vm.runInThisContext(readFileSync(new URL(url), 'utf8'), {filename: String(url)});
      globalThis.location ??= {href: pathToFileURL(path('peers/')).href};
      globalThis.require ??= createRequire(import.meta.url);
      globalThis.__dirname ??= path('peers/@litertjs/core/wasm');
    },
  };
}
