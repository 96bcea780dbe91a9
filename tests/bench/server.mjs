// Serves folders to the bench page, isolated, so that its clock is fine, and notes what was asked for.
import {createReadStream} from 'node:fs';
import {stat} from 'node:fs/promises';
import {createServer} from 'node:http';
import {extname, join, normalize} from 'node:path';

const types = {'.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.json': 'application/json', '.wasm': 'application/wasm'};

/** `roots` maps the first part of a path to a folder. `requests` holds {path, file, range: [first, last] | undefined}. */
export async function serve(roots) {
  const requests = [];
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url, 'http://localhost').pathname);
    const [, first, ...rest] = path.split('/');
    const file = roots[first] && join(roots[first], normalize('/' + rest.join('/')));
    const facts = file && (await stat(file).catch(() => undefined));
    if (!facts?.isFile()) return response.writeHead(404).end();
    const headers = {
      'Content-Type': types[extname(file)] ?? 'application/octet-stream',
      'Cache-Control': 'no-store',
      'Accept-Ranges': 'bytes',
      ETag: `"${facts.size}-${facts.mtimeMs}"`,
      'Cross-Origin-Opener-Policy': 'same-origin',
      'Cross-Origin-Embedder-Policy': 'require-corp',
    };
    const match = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
    const range = match && [Number(match[1]), Math.min(Number(match[2]), facts.size - 1)];
    requests.push({path, file, range: range ?? undefined});
    if (range) {
      headers['Content-Range'] = `bytes ${range[0]}-${range[1]}/${facts.size}`;
      headers['Content-Length'] = range[1] - range[0] + 1;
      response.writeHead(206, headers);
      createReadStream(file, {start: range[0], end: range[1]}).pipe(response);
    } else {
      response.writeHead(200, {...headers, 'Content-Length': facts.size});
      createReadStream(file).pipe(response);
    }
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    requests,
    close: () => new Promise(resolve => (server.closeAllConnections(), server.close(resolve))),
  };
}
