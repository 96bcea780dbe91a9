// Ranges of a file on a server that may be slow, busy, misconfigured or gone.
//
// A plain `Range: bytes=a-b` needs no CORS preflight, and the length of the file is never asked for. If-Range is not
// sent: browsers bypass their cache for it, other origins would be asked for permission first, and the hashes of the
// pack decide anyway. A changed ETag is remembered instead, as the reason for a hash that does not match.
import {cancelled, KimicError, kimicError} from './errors.js';
import {after, pause, type ByteSource} from './source.js';

export interface NetworkOptions {
  /** How often a read is tried again after a failure that may pass (no connection, status 429 or 5xx); default 3. */
  retries?: number;
  /** Pause before the first retry in ms; doubled every time, with jitter; default 200. */
  backoffMs?: number;
  /** An answer of which nothing arrives for so many ms is given up; default 15,000. */
  stallMs?: number;
  /** Requests under way at a time; default 6. */
  concurrency?: number;
  /**
   * So much is read at first; default 36,864, at least 16,384. Opening needs no more than these, but with the default
   * the first kernels mostly come along, which saves a request, and a leaf and an expert besides stay below 64 KiB.
   */
  openBytes?: number;
}

const closedEarly = 'the connection was closed too early';
/** The longest pause before a retry, ms; a server that asks for more is not waited for. */
const longestPause = 10_000;

/** Addresses whose bytes turned out wrong: the browser's cache may hold an older file, so it is not asked again. */
const distrusted = new Set<string>();

/** One read in progress: what has arrived stays when the rest has to be asked for again. */
interface Progress {
  offset: number;
  into: Uint8Array;
  filled: number;
  isEnd: boolean;
}

export class UrlSource implements ByteSource {
  private whole: Uint8Array | undefined;
  private version: string | null | undefined;
  private hasChanged = false;
  readonly openBytes: number;

  constructor(
    private readonly url: string,
    private readonly fetch_: typeof fetch,
    private readonly maxWholeBytes: number,
    private readonly network: NetworkOptions = {},
    /** Throws if nothing vouches for what comes from this address, to which the server may have led. */
    private readonly requireVoucher: (url: string) => void = () => undefined
  ) {
    this.openBytes = network.openBytes ?? 36864;
  }

  async read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    const {retries = 3, backoffMs = 200} = this.network;
    const progress: Progress = {offset, into: new Uint8Array(this.whole ? 0 : length), filled: 0, isEnd: false};
    for (let failures = 0; ;) {
      if (this.whole) return this.whole.subarray(offset, offset + length);
      if (progress.filled === length || progress.isEnd) return progress.into.subarray(0, progress.filled);
      try {
        await this.request(progress, signal);
      } catch (failure) {
        if (signal?.aborted) throw cancelled(signal);
        const {kind, retryAfterMs = 0} = failure as KimicError & {retryAfterMs?: number};
        if (kind !== 'Unavailable' || failures === retries || retryAfterMs > longestPause) throw failure;
        const delayMs = Math.min(longestPause, backoffMs * 2 ** failures) * (0.5 + Math.random() / 2);
        ++failures;
        await pause(Math.max(delayMs, retryAfterMs), signal);
      }
    }
  }

  /** The file may have been replaced since the pack was opened, on the server or between it and its cached parts. */
  explain(error: Error): Error {
    distrusted.add(this.url);
    if (!this.hasChanged) return error;
    return kimicError('PackChanged', {subject: this.url, hint: 'open it again', cause: error});
  }

  /** Asks once for what is missing. */
  private async request(progress: Progress, signal: AbortSignal | undefined): Promise<void> {
    const start = progress.offset + progress.filled;
    const missing = progress.into.length - progress.filled;
    const fail = (code: string, value: number, hint?: string, cause?: unknown): KimicError =>
      kimicError(code, {args: [value, start, missing], subject: this.url, ...(hint && {hint}), cause});

    const {stallMs = 15_000} = this.network;
    const attempt = new AbortController();
    const abort = () => attempt.abort();
    signal?.addEventListener('abort', abort, {once: true});
    let isStalled = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const alive = () => {
      attempt.signal.throwIfAborted();
      clearTimeout(timer);
      timer = after(stallMs, () => {
        isStalled = true;
        abort();
      });
    };
    // A fetch need not end when it is aborted: Node 18's does not if garbage was collected in between.
    const aborted = new Promise<never>((_, reject) => {
      attempt.signal.addEventListener('abort', reject);
    });
    try {
      alive();
      const answer = this.fetch_(this.url, {
        headers: {Range: `bytes=${start}-${start + missing - 1}`},
        signal: attempt.signal,
        ...(distrusted.has(this.url) && {cache: 'reload' as const}),
      }).then(response => this.receive(response, progress, missing, fail, alive));
      await Promise.race([answer, aborted]);
    } catch (failure) {
      if (isStalled) throw fail('ReadStalled', stallMs, 'the server sends nothing', failure);
      if (failure instanceof KimicError) throw failure;
      // Browsers do not say why: no connection, a broken one, or an answer that the page may not see.
      const hint =
        'no connection, a compressed range, or a server that does not allow this origin (Access-Control-Allow-Origin)';
      throw fail('SourceReadFailed', 0, hint, failure);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      attempt.abort(); // what is left of a body that is not wanted
    }
  }

  private async receive(
    response: Response,
    progress: Progress,
    missing: number,
    fail: (code: string, value: number, hint?: string) => KimicError,
    alive: () => void
  ): Promise<void> {
    const {status, headers} = response;
    const start = progress.offset + progress.filled;
    if (status === 416) {
      progress.isEnd = true; // the file ends before `start`
      return;
    }
    if (status !== 200 && status !== 206) {
      if (status !== 408 && status !== 425 && status !== 429 && (status < 500 || status === 501))
        throw fail('HttpRefused', status, status === 404 ? 'is the address right?' : undefined);
      throw Object.assign(fail('HttpStatus', status), {retryAfterMs: retryAfter(headers.get('retry-after'))});
    }
    if (response.redirected) this.requireVoucher(response.url);
    const version = headers.get('etag') ?? headers.get('last-modified');
    this.version ??= version;
    if (version !== this.version) this.hasChanged = true;

    const isEncoded = !/^(identity)?$/i.test(headers.get('content-encoding') ?? '');
    const announced = isEncoded ? undefined : Number(headers.get('content-length') ?? NaN);
    if (status === 200) {
      const whole = await readBody(response, this.maxWholeBytes, announced, alive);
      if (!whole)
        throw kimicError('RangeIgnored', {
          args: [this.maxWholeBytes],
          subject: this.url,
          hint: 'serve it from a server that answers range requests with status 206, or raise maxWholeBytes',
        });
      if (announced && whole.length < announced) throw fail('SourceReadFailed', 0, closedEarly);
      this.whole = whole;
      return;
    }
    if (isEncoded)
      throw fail(
        'BodyEncoded',
        0,
        'serve packs as application/octet-stream with Cache-Control: no-transform, uncompressed'
      );
    const range = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(headers.get('content-range') ?? '');
    const last = range ? Number(range[2]) : start + missing - 1;
    const hint = 'a proxy or the server answers with another range than it was asked for';
    if (range && (Number(range[1]) !== start || last < start || last >= start + missing))
      throw fail('RangeMismatch', Number(range[1]), hint);
    const wanted = last - start + 1;
    const body = await readBody(response, wanted, undefined, alive, bytes => {
      progress.into.set(bytes, progress.filled);
      progress.filled += bytes.length;
    });
    if (!body) throw fail('RangeMismatch', start, hint);
    const received = progress.offset + progress.filled - start;
    if (received < (range ? wanted : announced || 0)) throw fail('SourceReadFailed', 0, closedEarly);
    // Without a Content-Range that can be read, a short answer can only mean the end.
    progress.isEnd = range ? last + 1 === Number(range[3]) : received < missing;
    if (received === 0 && !progress.isEnd) throw fail('SourceReadFailed', 0, 'the answer is empty');
  }
}

/** Milliseconds that a Retry-After header asks for: seconds, or a date. */
function retryAfter(header: string | null): number {
  if (!header) return 0;
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return ms > 0 ? ms : 0;
}

/**
 * Reads a body of at most `limit` bytes; undefined if it is longer. With `take`, pieces go there as they arrive and the
 * result is empty.
 */
async function readBody(
  response: Response,
  limit: number,
  announced: number | undefined,
  alive: () => void,
  take?: (bytes: Uint8Array) => void
): Promise<Uint8Array | undefined> {
  if (announced && announced > limit) return undefined;
  const pieces: Uint8Array[] = [];
  let total = 0;
  const reader = response.body?.getReader();
  for (;;) {
    const piece = await reader?.read();
    if (!piece || piece.done) break;
    alive();
    total += piece.value.length;
    if (total > limit) return undefined;
    if (take) take(piece.value);
    else pieces.push(piece.value);
  }
  if (pieces.length === 1) return pieces[0];
  const whole = new Uint8Array(take ? 0 : total);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
