// Servers that misbehave, by name: server.mjs answers /faulty/<name>/<file>?<key> with them. `state` lives as long as
// the key, so that every check that makes up its own key starts anew.
import {gzipSync} from 'node:zlib';

function rangeOf(request) {
  const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  return start === undefined ? undefined : {start: Number(start), end: Number(end)};
}

/** Answers a range as it should be. */
function good(request, response, file, headers = {}) {
  const range = rangeOf(request);
  if (!range) return void response.writeHead(200, {ETag: '"good"', 'Content-Length': file.length, ...headers}).end(file);
  if (range.start >= file.length) return void response.writeHead(416, {'Content-Range': `bytes */${file.length}`}).end();
  const body = file.subarray(range.start, range.end + 1);
  response
    .writeHead(206, {
      ETag: '"good"',
      'Content-Length': body.length,
      'Content-Range': `bytes ${range.start}-${range.start + body.length - 1}/${file.length}`,
      ...headers,
    })
    .end(body);
}

/** Announces the whole body, sends `bytes` of it, and then neither more nor an end. */
function begin(request, response, file, bytes) {
  const {start, end} = rangeOf(request);
  const body = file.subarray(start, end + 1);
  response.writeHead(206, {
    'Content-Length': body.length,
    'Content-Range': `bytes ${start}-${start + body.length - 1}/${file.length}`,
  });
  response.write(body.subarray(0, bytes));
  return body.length;
}
const cut = (request, response, file, bytes) => {
  begin(request, response, file, bytes);
  setTimeout(() => response.destroy(), 5);
};
/** `bad` the first `times` times that a range, or the rest of it, is asked for, then good. */
const atFirst = (times, bad) => (request, response, file, state) => {
  const {end} = rangeOf(request);
  state[end] = (state[end] ?? 0) + 1;
  (state[end] <= times ? bad : good)(request, response, file, state);
};
const status = (code, headers = {}) => (request, response) => void response.writeHead(code, headers).end('sorry');

export const faults = {
  none: good,
  busyAtFirst: atFirst(2, status(503)),
  tooManyAtFirst: atFirst(1, status(429, {'Retry-After': '1'})),
  tooManyForLong: status(429, {'Retry-After': '3600'}),
  broken: status(500),
  missing: status(404),
  forbidden: status(403),
  closes: (request, response) => void response.destroy(),
  closesAtFirst: atFirst(2, (request, response) => void response.destroy()),
  cutsAtFirst: atFirst(1, (request, response, file) => cut(request, response, file, 100)),
  cuts: (request, response, file) => cut(request, response, file, 0),
  sendsLittle(request, response, file) {
    const range = rangeOf(request);
    request.headers.range = `bytes=${range.start}-${Math.min(range.end, range.start + 5999)}`;
    good(request, response, file);
  },
  silent() {},
  stalls: (request, response, file) => void begin(request, response, file, 50),
  stallsAtFirst: atFirst(1, (request, response, file) => void begin(request, response, file, 50)),
  ignoresRanges(request, response, file) {
    response.writeHead(200, {'Content-Length': file.length}).end(file);
  },
  ignoresRangesInPieces(request, response, file) {
    response.writeHead(200).write(file.subarray(0, 1000));
    response.end(file.subarray(1000));
  },
  ignoresRangesAndCuts: atFirst(1, (request, response, file) => {
    response.writeHead(200, {'Content-Length': file.length}).write(file.subarray(0, 1000));
    setTimeout(() => response.destroy(), 5);
  }),
  ignoresRangesLater(request, response, file, state) {
    state.requests = (state.requests ?? 0) + 1;
    if (state.requests === 1) good(request, response, file);
    else response.writeHead(200, {'Content-Length': file.length}).end(file);
  },
  compressesWhole(request, response, file) {
    const body = gzipSync(file);
    response.writeHead(200, {'Content-Encoding': 'gzip', 'Content-Length': body.length}).end(body);
  },
  compressesRanges(request, response, file) {
    const {start, end} = rangeOf(request);
    const body = gzipSync(file.subarray(start, end + 1));
    response
      .writeHead(206, {
        'Content-Encoding': 'gzip',
        'Content-Length': body.length,
        'Content-Range': `bytes ${start}-${Math.min(end, file.length - 1)}/${file.length}`,
      })
      .end(body);
  },
  rangesOfTheCompressed(request, response, file) {
    good(request, response, gzipSync(file), {'Content-Encoding': 'gzip'});
  },
  liesAboutTheStart(request, response, file) {
    const {start, end} = rangeOf(request);
    const body = file.subarray(start + 64, end + 65);
    response.writeHead(206, {'Content-Range': `bytes ${start + 64}-${start + 63 + body.length}/${file.length}`}).end(body);
  },
  sendsOtherBytes(request, response, file) {
    good(request, response, rangeOf(request).start ? Buffer.concat([Buffer.alloc(64), file]) : file);
  },
  sendsMore(request, response, file) {
    const {start, end} = rangeOf(request);
    response.writeHead(206, {ETag: '"good"'}).end(file.subarray(start, end + 2));
  },
  multipart(request, response, file) {
    const {start, end} = rangeOf(request);
    const head = `--x\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes ${start}-${end}/${file.length}\r\n\r\n`;
    response
      .writeHead(206, {'Content-Type': 'multipart/byteranges; boundary=x'})
      .end(Buffer.concat([Buffer.from(head), file.subarray(start, end + 1), Buffer.from('\r\n--x--\r\n')]));
  },
  withoutContentRange(request, response, file) {
    const {start, end} = rangeOf(request);
    response.writeHead(206).end(file.subarray(start, end + 1));
  },
  isReplaced(request, response, file, state) {
    if (!state.isReplaced) good(request, response, file);
    else good(request, response, Buffer.from(file.map(byte => byte ^ 1)), {ETag: '"new"'});
    state.isReplaced = true;
  },
  isReplacedWithoutETag(request, response, file, state) {
    const {start, end} = rangeOf(request);
    const date = state.isReplaced ? 'Tue, 02 Jan 2024 00:00:00 GMT' : 'Mon, 01 Jan 2024 00:00:00 GMT';
    response.writeHead(206, {'Last-Modified': date}).end(state.isReplaced ? 'x' : file.subarray(start, end + 1));
    state.isReplaced = true;
  },
  hasManyETags(request, response, file, state) {
    state.requests = (state.requests ?? 0) + 1;
    good(request, response, file, {ETag: `"${state.requests}"`});
  },
  isShortened(request, response, file, state) {
    good(request, response, state.isOpen ? file.subarray(0, 17000) : file);
    state.isOpen = true;
  },
  isEmpty: (request, response) => void response.writeHead(416, {'Content-Range': 'bytes */0'}).end(),
  isAPage: (request, response) => void response.writeHead(200, {'Content-Type': 'text/html'}).end('<!doctype html>'),
  redirects(request, response) {
    response.writeHead(302, {Location: request.url.replace('/redirects/', '/none/')}).end();
  },
  redirectsForEver: (request, response) => void response.writeHead(302, {Location: request.url}).end(),
};
