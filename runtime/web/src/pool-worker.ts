// A thread of a pool: a pack of its own, which gets bytes and compiled modules from the thread that made it.
import type {PackCache} from './cache.js';
import {Channel, portable, type PortableError} from './channel.js';
import {Pack, type AskOptions, type OpenOptions} from './pack.js';
import {parentThread} from './threads.js';
import {whileRouted} from './whileRouted.js';

/** What an opened pool tells its threads. */
export interface ThreadOptions extends Pick<
  OpenOptions,
  | 'engine'
  | 'variant'
  | 'memory'
  | 'integrity'
  | 'network'
  | 'followsTransitions'
  | 'residentBonus'
  | 'cachePolicy'
  | 'prefetchesByScores'
  | 'recovery'
> {
  isCached: boolean;
}
/** An answer, and for rows that the chosen experts did not answer the reason. */
export interface Answer {
  output: Float32Array;
  degraded: {row: number; reason: PortableError}[];
}

/** The pool's cache. */
const cache: PackCache = {
  get: key => channel.call('cacheGet', [key]),
  put: (key, bytes) => channel.call('cachePut', [key, bytes]),
  delete: prefix => channel.call('cacheDelete', [prefix]),
};

let pack: Pack;
const channel: Channel = new Channel(await parentThread(), {
  async open(signal: AbortSignal, module: WebAssembly.Module, {isCached, ...options}: ThreadOptions) {
    const source = {
      read: (offset: number, length: number, signal?: AbortSignal) =>
        channel.call<Uint8Array>('read', [offset, length], signal),
    };
    pack = await Pack.open(source, {...options, ...(isCached && {cache}), signal}, () => Promise.resolve(module), {
      compile: (bytes, firstKernel) => channel.call('compile', [bytes, firstKernel]),
      parts: () => channel.call('parts', []),
    });
  },
  load: (signal: AbortSignal, experts: readonly number[]) => pack.load(experts, {signal}),
  run: (signal: AbortSignal, expert: number, input: Float32Array) => pack.run(expert, input, {signal}),
  async ask(signal: AbortSignal, input: Float32Array, options: AskOptions): Promise<Answer> {
    const degraded: Answer['degraded'] = [];
    const onDegraded = (reason: Error, row: number) => degraded.push({row, reason: portable(reason)});
    return {output: await pack.ask(input, {...options, signal, onDegraded}), degraded};
  },
  bestExperts: (signal: AbortSignal, input: Float32Array) =>
    whileRouted(pack, signal, () => pack.bestExperts(input, {signal})),
  warmUp: (signal: AbortSignal, experts: readonly number[] | undefined, budgetMs: number | undefined) =>
    pack.warmUp({signal, ...(experts && {experts}), ...(budgetMs !== undefined && {budgetMs})}),
  stats: () => pack.stats,
  recoveryCounts: () => pack.recoveryCounts,
});
void channel.call('ready', []);
