// Where a pack's bytes come from: memory, a file, a Blob, a server with ranges (http.ts), or whatever the caller has.
import {cancelled, kimicError} from './errors.js';
import {UrlSource, type NetworkOptions} from './http.js';
import {nodeModule} from './node.js';
import type {Trust} from './trust.js';

/** Bytes of one immutable file. Several reads may be under way at a time. */
export interface ByteSource {
  /** Bytes [offset, offset + length), fewer only where the file ends. */
  read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array>;
  /** So much is read at first, if it is more than what opening a pack needs. */
  readonly openBytes?: number;
  /** Bytes that were read turned out wrong: the source may know a better reason. */
  explain?(error: Error): Error;
  /** Frees what the source holds. */
  close?(): void | Promise<void>;
}

/** Bytes; a Blob or File; a handle of a file (Node's, or of the browser's file systems); a URL; in Node a path. */
export type Source =
  | string
  | URL
  | Blob
  | ArrayBuffer
  | Uint8Array
  | FileSystemFileHandle
  | import('node:fs/promises').FileHandle
  | ByteSource;

export interface SourceOptions {
  /** Used instead of the global one. */
  fetch?: typeof fetch;
  /** The most that is read of a server that ignores ranges; default 64 MiB. */
  maxWholeBytes?: number;
  network?: NetworkOptions;
}

export class MemorySource implements ByteSource {
  constructor(private readonly bytes: Uint8Array) {}
  async read(offset: number, length: number): Promise<Uint8Array> {
    return this.bytes.subarray(offset, offset + length);
  }
}

class BlobSource implements ByteSource {
  private readonly blob: Promise<Blob>;
  constructor(blob: Blob | Promise<Blob>) {
    this.blob = Promise.resolve(blob);
    this.blob.catch(() => undefined); // reported by the first read
  }
  async read(offset: number, length: number): Promise<Uint8Array> {
    return new Uint8Array(await (await this.blob).slice(offset, offset + length).arrayBuffer());
  }
}

class FileSource implements ByteSource {
  constructor(
    private readonly handle: Promise<import('node:fs/promises').FileHandle>,
    private readonly isOwned: boolean
  ) {
    handle.catch(() => undefined); // reported by the first read
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
    if (this.isOwned) await this.handle.then(handle => handle.close()).catch(() => undefined);
  }
}

/** The address, if the source is one that has to be fetched; strings that are none are paths in Node. */
function urlOf(source: Source): string | undefined {
  if (typeof source !== 'string' && !(source instanceof URL)) return undefined;
  const text = String(source);
  return nodeModule('node:fs') && !/^(https?|blob|data):/i.test(text) ? undefined : text;
}

/** The source's bytes behind one interface. */
export function sourceOf(source: Source, options: SourceOptions, trust: Trust): ByteSource {
  if (source instanceof ArrayBuffer) return new MemorySource(new Uint8Array(source));
  if (source instanceof Uint8Array) return new MemorySource(source);
  if (typeof Blob !== 'undefined' && source instanceof Blob) return new BlobSource(source);
  const url = urlOf(source);
  if (url !== undefined) {
    const fetch_ = options.fetch ?? globalThis.fetch?.bind(globalThis);
    const vouch = (address: string) => trust.requireVoucher(address);
    vouch(url);
    if (fetch_) return new UrlSource(url, fetch_, options.maxWholeBytes ?? 64 << 20, options.network, vouch);
  } else if (typeof source === 'string' || source instanceof URL) {
    const path = /^file:/i.test(String(source)) ? new URL(source) : source;
    return new FileSource(
      nodeModule('node:fs')!.then(fs => fs.promises.open(path, 'r')),
      true
    );
  } else if (typeof (source as FileSystemFileHandle | undefined)?.getFile === 'function') {
    return new BlobSource((source as FileSystemFileHandle).getFile());
  } else if (typeof (source as import('node:fs/promises').FileHandle | undefined)?.fd === 'number') {
    return new FileSource(Promise.resolve(source as import('node:fs/promises').FileHandle), false);
  } else if (typeof (source as ByteSource | undefined)?.read === 'function') {
    return source as ByteSource;
  }
  throw kimicError('UnsupportedSource');
}

/** Calls once, after so many milliseconds; never, if there are more than an engine's timers can hold. */
export function after(ms: number, call: () => void): ReturnType<typeof setTimeout> | undefined {
  return ms > 0x7fffffff ? undefined : setTimeout(call, ms);
}

/** Waits; rejects as soon as the signal is aborted. */
export function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const paused = new Promise<void>(resolve => (timer = after(ms, resolve)));
  return untilAborted(paused, signal).finally(() => clearTimeout(timer));
}

/** Calls `body` with a signal that is aborted when the caller's is, or when its time is over: DeadlinePassed. */
export async function withDeadline<O extends {signal?: AbortSignal; deadlineMs?: number}, T>(
  options: O,
  body: (options: O) => Promise<T>
): Promise<T> {
  const {deadlineMs = Infinity, signal} = options;
  if (signal?.aborted) throw cancelled(signal);
  const controller = new AbortController();
  const stop = () => controller.abort(signal?.reason);
  signal?.addEventListener('abort', stop, {once: true});
  let hasPassed = false;
  const timer = after(deadlineMs, () => {
    hasPassed = true;
    stop();
  });
  try {
    return await body({...options, signal: controller.signal, deadlineMs: undefined});
  } catch (error) {
    throw hasPassed ? kimicError('DeadlinePassed', {args: [deadlineMs], cause: error}) : error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
  }
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
