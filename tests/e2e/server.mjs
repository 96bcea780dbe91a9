// A small HTTP server for tests: files in folders, ranges, and faults on demand.
import {createReadStream} from 'node:fs';
import {readFile, stat} from 'node:fs/promises';
import {createServer} from 'node:http';
import {extname, join, normalize} from 'node:path';
import {faults as misbehaviours} from './faults.mjs';

const types = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

/**
 * `roots` maps the first part of a path to a folder or to {body, type}. Every request is noted in `requests` as
 * {path, range}. A function in `faults` (path -> (request, response) => handled) may answer instead.
 * /faulty/<name>/<file> is the file of the root `packs`, as the server <name> of faults.mjs gives it.
 */
export async function serve(roots) {
  const requests = [];
  const faults = new Map();
  const states = new Map();
  const posts = [];
  let notify;
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url, 'http://localhost').pathname);
    if (request.method === 'POST') {
      const parts = [];
      for await (const part of request) parts.push(part);
      response.writeHead(204).end();
      posts.push(Buffer.concat(parts).toString());
      notify?.();
      return;
    }
    requests.push({path, range: request.headers.range});
    if (await faults.get(path)?.(request, response)) return;
    const [, first, ...rest] = path.split('/');
    if (first === 'faulty') {
      if (!states.has(request.url)) states.set(request.url, {});
      const file = await readFile(join(roots.packs, rest[1]));
      misbehaviours[rest[0]](request, response, file, states.get(request.url));
      return;
    }
    const root = roots[first];
    const headers = {
      'Content-Type': types[extname(path)] ?? 'application/octet-stream',
      'Content-Security-Policy': "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'",
      'Cache-Control': 'no-store',
    };
    if (root?.body !== undefined) {
      response.writeHead(200, {...headers, 'Content-Type': root.type}).end(root.body);
      return;
    }
    const file = root && join(root, normalize('/' + rest.join('/')));
    const facts = file && (await stat(file).catch(() => undefined));
    if (!facts?.isFile()) {
      response.writeHead(404).end('not found');
      return;
    }
    headers.ETag = `"${facts.size}-${facts.mtimeMs}"`;
    headers['Accept-Ranges'] = 'bytes';
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
    if (!range) {
      response.writeHead(200, {...headers, 'Content-Length': facts.size});
      createReadStream(file).pipe(response);
      return;
    }
    const start = Number(range[1]);
    const end = Math.min(Number(range[2]), facts.size - 1);
    if (start > end) {
      response.writeHead(416, {'Content-Range': `bytes */${facts.size}`}).end();
      return;
    }
    response.writeHead(206, {
      ...headers,
      'Content-Length': end - start + 1,
      'Content-Range': `bytes ${start}-${end}/${facts.size}`,
    });
    createReadStream(file, {start, end}).pipe(response);
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    requests,
    faults,
    /** The body of the next POST. */
    async posted() {
      while (posts.length === 0) await new Promise(resolve => (notify = resolve));
      return posts.shift();
    },
    close: () => new Promise(resolve => {
      server.closeAllConnections();
      server.close(resolve);
    }),
  };
}
