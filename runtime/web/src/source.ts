// Where a pack's bytes come from: memory, a file, a Blob or a server with ranges.
import {cancelled, kimicError} from './errors.js';

/** Bytes of one immutable file. */
export interface ByteSource {
  /** Bytes [offset, offset + length), fewer only where the file ends. */
  read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array>;
  /** Frees what the source holds. */
  close?(): void | Promise<void>;
}

export type Source = string | URL | Blob | ArrayBuffer | Uint8Array | ByteSource;

export interface SourceOptions {
  /** Used instead of the global one. */
  fetch?: typeof fetch;
  /** The most that is read of a server that ignores ranges; default 64 MiB. */
  maxWholeBytes?: number;
}

class MemorySource implements ByteSource {
  constructor(private readonly bytes: Uint8Array) {}
  async read(offset: number, length: number): Promise<Uint8Array> {
    return this.bytes.subarray(offset, offset + length);
  }
}

class BlobSource implements ByteSource {
  constructor(private readonly blob: Blob) {}
  async read(offset: number, length: number): Promise<Uint8Array> {
    return new Uint8Array(await this.blob.slice(offset, offset + length).arrayBuffer());
  }
}

/**
 * Node's file system; undefined elsewhere. Without an import that bundlers for the web would stumble over: they leave a
 * specifier alone that is no literal. Node before 20.16 has no getBuiltinModule.
 */
export function nodeFileSystem(): Promise<typeof import('node:fs')> | undefined {
  const {process} = globalThis as {process?: NodeJS.Process};
  if (!process?.versions?.node) return undefined;
  const name = 'node:fs';
  return process.getBuiltinModule ? Promise.resolve(process.getBuiltinModule(name)) : import(name);
}

class FileSource implements ByteSource {
  private handle: Promise<import('node:fs/promises').FileHandle>;
  constructor(fileSystem: Promise<typeof import('node:fs')>, path: string | URL) {
    this.handle = fileSystem.then(fs => fs.promises.open(path, 'r'));
    this.handle.catch(() => undefined); // reported by the first read
  }
  async read(offset: number, length: number): Promise<Uint8Array> {
    const handle = await this.handle;
    const buffer = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      const {bytesRead} = await handle.read(buffer, filled, length - filled, offset + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return buffer.subarray(0, filled);
  }
  async close(): Promise<void> {
    await this.handle.then(handle => handle.close()).catch(() => undefined);
  }
}

/** Reads a body of at most `limit` bytes; undefined if it is longer. */
async function readBody(response: Response, limit: number): Promise<Uint8Array | undefined> {
  const announced = Number(response.headers.get('content-length') ?? 0);
  if (announced > limit && !response.headers.get('content-encoding')) {
    await response.body?.cancel();
    return undefined;
  }
  const pieces: Uint8Array[] = [];
  let total = 0;
  const reader = response.body?.getReader();
  for (;;) {
    const piece = await reader?.read();
    if (!piece || piece.done) break;
    total += piece.value.length;
    if (total > limit) {
      await reader?.cancel();
      return undefined;
    }
    pieces.push(piece.value);
  }
  if (pieces.length === 1) return pieces[0];
  const whole = new Uint8Array(total);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

class UrlSource implements ByteSource {
  private whole: MemorySource | undefined;
  private version: string | null | undefined;
  constructor(
    private readonly url: string,
    private readonly fetch_: typeof fetch,
    private readonly maxWholeBytes: number
  ) {}

  async read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    if (this.whole) return this.whole.read(offset, length);
    // A plain range `a-b` needs no CORS preflight; the length of the file is not needed.
    const response = await this.fetch_(this.url, {
      headers: {Range: `bytes=${offset}-${offset + length - 1}`},
      ...(signal ? {signal} : {}),
    });
    if (response.status !== 206 && response.status !== 200) {
      await response.body?.cancel();
      throw kimicError('HttpStatus', {args: [response.status, offset, length], subject: this.url});
    }
    const version = response.headers.get('etag') ?? response.headers.get('last-modified');
    if (this.version === undefined) this.version = version;
    if (version !== this.version) {
      await response.body?.cancel();
      throw kimicError('PackChanged', {subject: this.url, hint: 'open it again'});
    }
    if (response.status === 200) {
      const whole = await readBody(response, this.maxWholeBytes);
      if (!whole)
        throw kimicError('RangeIgnored', {
          args: [this.maxWholeBytes],
          subject: this.url,
          hint: 'serve it from a server that answers range requests with status 206, or raise maxWholeBytes',
        });
      this.whole = new MemorySource(whole);
      return this.whole.read(offset, length);
    }
    const range = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '');
    const bytes = range && Number(range[1]) !== offset ? undefined : await readBody(response, length);
    if (!bytes) throw kimicError('SourceReadFailed', {args: [0, offset, length], subject: this.url});
    return bytes;
  }
}

/** The source's bytes behind one interface. Strings are URLs; in Node also paths of files. */
export function sourceOf(source: Source, options: SourceOptions = {}): ByteSource {
  if (source instanceof ArrayBuffer) return new MemorySource(new Uint8Array(source));
  if (source instanceof Uint8Array) return new MemorySource(source);
  if (typeof Blob !== 'undefined' && source instanceof Blob) return new BlobSource(source);
  if (typeof source === 'string' || source instanceof URL) {
    const text = String(source);
    const fileSystem = nodeFileSystem();
    if (fileSystem && !/^(https?|blob|data):/i.test(text))
      return new FileSource(fileSystem, /^file:/i.test(text) ? new URL(text) : text);
    const fetch_ = options.fetch ?? globalThis.fetch?.bind(globalThis);
    if (fetch_) return new UrlSource(text, fetch_, options.maxWholeBytes ?? 64 << 20);
  } else if (typeof (source as ByteSource | undefined)?.read === 'function') {
    return source as ByteSource;
  }
  throw kimicError('UnsupportedSource');
}

/** Rejects as soon as the signal is aborted, whether or not the promise settles. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(cancelled(signal));
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, {once: true});
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
