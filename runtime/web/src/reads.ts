// Reads of one source: few at a time, near ones as one, the first bytes and cached ones not again.
import {cancelled} from './errors.js';
import type {PackCache} from './cache.js';
import {untilAborted, type ByteSource} from './source.js';

/** KimicPriority. */
export const demanded = 0;
export const prefetch = 1;
export type Priority = typeof demanded | typeof prefetch;

/** Reads with at most so many bytes between them become one request. */
const nearBytes = 16384;
/** The rest of what the first answer needs is read in one piece if it is not longer. */
const mostHotBytes = 49152;
/** Reads are not put together beyond so many bytes, so that the first of them does not wait for the last. */
const togetherBytes = 1 << 20;

interface Read {
  offset: number;
  length: number;
  priority: Priority;
  resolve(bytes: Uint8Array): void;
  reject(error: unknown): void;
}

export class Reads {
  private readonly waiting: Read[] = [];
  private readonly active = new Set<{priority: Priority; controller: AbortController}>();
  private isScheduled = false;
  private lookups = 0;
  /** The first bytes of the file, which hold more than what they were read for. */
  private first: Uint8Array | undefined;
  private firstLength = 0;
  /** The first bytes up to here are read together; 0: not known, or not worth it. */
  private hotBytes = 0;
  private hot: Promise<void> | undefined;
  /** What arrived and is not known to be right yet. */
  private readonly fresh = new Map<string, Uint8Array>();
  private hasCacheHits = false;

  /** `digest`: of the pack, if it is known already; without it nothing is cached. */
  constructor(
    private readonly source: ByteSource,
    private readonly concurrency: number,
    private readonly cache?: PackCache,
    private digest?: string
  ) {}

  /** Names the pack after its first bytes were verified. */
  identify(digest: string, hotBytes: number): void {
    if (this.digest === undefined && this.first) this.fresh.set(`${digest}/0-${this.firstLength}`, this.first);
    this.digest = digest;
    if (this.first && hotBytes <= this.first.length + mostHotBytes) this.hotBytes = hotBytes;
  }

  /** The bytes of the first read. */
  get firstBytes(): Uint8Array {
    return this.first ?? new Uint8Array(0);
  }

  /** Nothing is under way or waits. */
  get isIdle(): boolean {
    return this.active.size + this.waiting.length + this.lookups === 0;
  }

  /** Bytes [offset, offset + length), fewer where the file ends. Reads asked for in one go may become one request. */
  async read(offset: number, length: number, priority: Priority): Promise<Uint8Array> {
    const end = offset + length;
    if (this.first && end > this.first.length && end <= this.hotBytes && priority === demanded)
      await (this.hot ??= this.readHot(this.first).finally(() => (this.hot = undefined)));
    if (this.first && end <= this.first.length) return this.first.subarray(offset, end);
    return this.fetch(offset, offset === 0 ? Math.max(length, this.source.openBytes ?? 0) : length, priority);
  }

  /** Reads the rest of the hot range, once. */
  private async readHot(first: Uint8Array): Promise<void> {
    const rest = await this.fetch(first.length, this.hotBytes - first.length, demanded);
    this.hotBytes = 0;
    if (this.first !== first) return;
    this.first = new Uint8Array(first.length + rest.length);
    this.first.set(first);
    this.first.set(rest, first.length);
  }

  private async fetch(offset: number, length: number, priority: Priority): Promise<Uint8Array> {
    const key = this.cache && this.digest && `${this.digest}/${offset}-${length}`;
    if (key) {
      ++this.lookups;
      const known = this.fresh.get(key) ?? (await this.cache!.get(key).catch(() => undefined));
      --this.lookups;
      if (known) {
        this.hasCacheHits = true;
        this.schedule();
        if (offset === 0) this.first = known.slice();
        return known;
      }
    }
    const bytes = await new Promise<Uint8Array>((resolve, reject) => {
      this.waiting.push({offset, length, priority, resolve, reject});
      this.schedule();
    });
    if (offset === 0) {
      this.first = bytes.slice();
      this.firstLength = length;
    }
    if (key) this.fresh.set(key, bytes);
    return bytes;
  }

  /** Stops all reads of this priority. */
  cancel(priority: Priority): void {
    for (let i = this.waiting.length; i-- > 0;)
      if (this.waiting[i]!.priority === priority) this.waiting.splice(i, 1)[0]!.reject(cancelled(undefined));
    for (const read of this.active) if (read.priority === priority) read.controller.abort();
  }
  close(): void {
    this.cancel(demanded);
    this.cancel(prefetch);
  }

  /** What arrived so far had the hashes that it must have: it may go into the cache. */
  commit(): void {
    // A cache that is full or forbidden costs speed, nothing else.
    for (const [key, bytes] of this.fresh) void this.cache?.put(key, bytes).catch(() => undefined);
    this.fresh.clear();
  }

  /** Drops what arrived and is not in the cache. */
  drop(): void {
    this.fresh.clear();
  }

  /** Something that was read is wrong: forgets everything. True if it may have come from the cache. */
  async forget(): Promise<boolean> {
    const mayBeCache = this.hasCacheHits;
    this.hasCacheHits = false;
    this.first = undefined;
    this.fresh.clear();
    if (this.cache && this.digest) await this.cache.delete(`${this.digest}/`).catch(() => undefined);
    return mayBeCache;
  }

  // Starts after everything that is asked for in this turn, and all its look-ups in the cache, are known.
  private schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    queueMicrotask(() => {
      this.isScheduled = false;
      if (this.lookups === 0) while (this.active.size < this.concurrency && this.waiting.length > 0) void this.start();
    });
  }

  /** Takes the read that waits longest among the most urgent ones, with its neighbours. */
  private takeGroup(): Read[] {
    const seed = this.waiting.find(read => read.priority === demanded) ?? this.waiting[0]!;
    const near = this.waiting.filter(read => read.priority === seed.priority).sort((a, b) => a.offset - b.offset);
    const at = near.indexOf(seed);
    let [from, to, begin, end] = [at, at + 1, seed.offset, seed.offset + seed.length];
    const fits = (newBegin: number, newEnd: number, gap: number) =>
      gap <= nearBytes && newEnd - newBegin <= togetherBytes;
    for (let read; (read = near[to]) && fits(begin, Math.max(end, read.offset + read.length), read.offset - end); ++to)
      end = Math.max(end, read.offset + read.length);
    for (let read; (read = near[from - 1]) && fits(read.offset, end, begin - read.offset - read.length); --from)
      begin = read.offset;
    const group = near.slice(from, to);
    for (const read of group) this.waiting.splice(this.waiting.indexOf(read), 1);
    return group;
  }

  private async start(): Promise<void> {
    const group = this.takeGroup();
    const begin = group[0]!.offset;
    const length = group.reduce((end, read) => Math.max(end, read.offset + read.length), begin) - begin;
    const flight = {priority: group[0]!.priority, controller: new AbortController()};
    this.active.add(flight);
    const {signal} = flight.controller;
    try {
      const bytes = await untilAborted(this.source.read(begin, length, signal), signal);
      for (const read of group) {
        const at = read.offset - begin;
        read.resolve(bytes.subarray(at, at + read.length));
      }
    } catch (failure) {
      const error = signal.aborted ? cancelled(signal) : failure;
      for (const read of group) read.reject(error);
    } finally {
      this.active.delete(flight);
      this.schedule();
    }
  }
}
