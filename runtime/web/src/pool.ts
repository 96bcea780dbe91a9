// A pack on several threads. Rows are what is spread: one expert's row takes a microsecond, a message between threads
// tens of them, so that threads pay for batches and for many callers, not within one row.
//
// Every thread has a runtime and a memory of its own and shares no memory with others, so that no cross-origin
// isolation is needed. The thread that opened the pool reads for all of them, each what it needs, and compiles modules
// once.
import {Channel, revived} from './channel.js';
import {addErrors, KimicError, kimicError} from './errors.js';
import {partsErrorLines} from './errorsOfParts.generated.js';
import {LimitedSource} from './limited.js';
import {
  defaultConcurrency,
  defaultMaxBytes,
  Pack,
  type AskOptions,
  type ExpertRef,
  type OpenOptions,
  type PackMetadata,
} from './pack.js';
import type {Answer, ThreadOptions} from './pool-worker.js';
import type {RecoveryCounts, RecoveryOptions} from './recovery.js';
import {compileModule, defaultModule, noExpert, type PackFacts, type Stats} from './runtime.js';
import {sourceOf, untilAborted, withDeadline, type ByteSource, type Source} from './source.js';
import {startThread, type Thread} from './threads.js';
import {Trust} from './trust.js';
import type {WarmUpReport} from './warmup.js';
import {whileRouted} from './whileRouted.js';

addErrors(partsErrorLines);

export interface PoolOptions extends Omit<OpenOptions, 'recovery'> {
  /** As of a pack; every thread has a clock and chance of its own, and forgets which experts failed when it ends. */
  recovery?: Omit<RecoveryOptions, 'now' | 'random'>;
  /** How many threads; default: one less than the processors, 1 to 8. */
  threads?: number;
  /**
   * What ask() spreads. `rows` (default): each thread gets as many rows, which is fastest. `experts`: a row goes to a
   * thread that has the expert which the router likes best, so that each expert is in few memories; every row is routed
   * twice.
   */
  spread?: 'rows' | 'experts';
}

/** When the least busy thread of those that have an expert has so many jobs, an idle one gets it too. */
const backlog = 2;
/** Fewer rows than so many are left together. */
const rowsToSpread = 32;

interface Member {
  thread: Thread;
  channel: Channel;
  isLost: boolean;
}

/**
 * A pack on threads: the calls of Pack that take time, with the same bits. A thread that ends is replaced, and its jobs
 * are done again, once; a job whose second thread ends too fails with ThreadLost.
 */
export class PackPool {
  readonly info: PackFacts;
  private readonly members: Promise<Member>[] = [];
  /** Jobs that each thread has, and how many experts it was given. */
  private readonly jobs: number[];
  private readonly held: number[];
  /** Threads that have an expert. */
  private readonly holders = new Map<number, number[]>();
  private readonly modules = new Map<number, Promise<WebAssembly.Module>>();
  /** Of every thread what ends it and whatever waits for it. */
  private readonly lose = new Set<(error: KimicError) => void>();
  private isClosed = false;
  /** Of the router, once known. */
  private inputs: number | undefined;

  private constructor(
    private readonly lead: Pack,
    private readonly source: ByteSource,
    private readonly module: WebAssembly.Module,
    private readonly options: PoolOptions,
    private readonly bytesPerThread: number,
    threads: number
  ) {
    this.info = lead.info;
    this.jobs = new Array<number>(threads).fill(0);
    this.held = new Array<number>(threads).fill(0);
  }

  /** As open() of kimic; `memory.maxBytes` is what all threads together may use. */
  static async open(source: Source, options: PoolOptions = {}): Promise<PackPool> {
    const processors = globalThis.navigator?.hardwareConcurrency ?? 2;
    const threads = options.threads ?? Math.min(8, Math.max(1, processors - 1));
    if (!(Number.isInteger(threads) && threads >= 1))
      throw kimicError('OptionMalformed', {subject: `threads: ${threads}`});
    const {signal} = options;
    const module = await untilAborted(options.wasm ? compileModule(options.wasm, signal) : defaultModule(), signal);
    let bytes = sourceOf(source, options, new Trust(options));
    const {recovery} = options;
    // Reads are limited, and may take as long as they may, once they have their turn: here, for all threads together.
    if (recovery) bytes = (await import('./recovery.js')).patient(bytes, recovery);
    bytes = new LimitedSource(bytes, options.network?.concurrency ?? defaultConcurrency);
    const maxBytes = Math.floor((options.memory?.maxBytes ?? defaultMaxBytes) / (threads + 1));
    const own = {...options, wasm: module, memory: {maxBytes}, ...(recovery && {recovery: endless(recovery)})};
    const lead = await Pack.open(bytes, own, defaultModule);
    const pool = new PackPool(lead, bytes, module, options, maxBytes, threads);
    try {
      for (let i = 0; i < threads; ++i) pool.members.push(pool.start(signal));
      await Promise.all(pool.members);
    } catch (error) {
      await pool.dispose();
      throw error;
    }
    return pool;
  }

  /** How many threads there are. */
  get size(): number {
    return this.jobs.length;
  }
  metadata(options: {signal?: AbortSignal} = {}): Promise<PackMetadata> {
    return this.lead.metadata(options);
  }
  find(expert: ExpertRef, options: {signal?: AbortSignal} = {}): Promise<number> {
    return this.lead.find(expert, options);
  }

  /** Loads experts, spread evenly: each on one thread. */
  async load(experts: ExpertRef | readonly ExpertRef[], options: {signal?: AbortSignal} = {}): Promise<void> {
    const refs = Array.isArray(experts) ? (experts as readonly ExpertRef[]) : [experts as ExpertRef];
    const numbers = await Promise.all(refs.map(ref => this.find(ref, options)));
    const shares = grouped(numbers, expert => this.threadFor(expert));
    await Promise.all([...shares].map(([thread, share]) => this.call(thread, 'load', [share], options.signal)));
  }

  /** Runs one expert on any number of rows, on a thread that has it. */
  async run(expert: ExpertRef, input: Float32Array, options: {signal?: AbortSignal} = {}): Promise<Float32Array> {
    const number = await this.find(expert, options);
    return this.call(this.threadFor(number), 'run', [number, input], options.signal);
  }

  /** As Pack.ask(). */
  async ask(input: Float32Array, options: Omit<AskOptions, 'out'> = {}): Promise<Float32Array> {
    if (options.deadlineMs !== undefined) return withDeadline(options, within => this.ask(input, within));
    const {signal, onDegraded, ...how} = options;
    const {router} = this.info;
    if (router) this.inputs ??= await this.routerInputs(router.expert, signal);
    const inputs = this.inputs ?? 1;
    const isLarge = input.length >= rowsToSpread * inputs && input.length % inputs === 0;
    if (this.options.spread === 'experts' && router)
      return this.askByExpert(input, inputs, isLarge, how, onDegraded, signal);
    const parts = await this.spread<Answer>('ask', input, isLarge ? inputs : input.length, [how], signal);
    const output = new Float32Array(parts.reduce((sum, part) => sum + part.output.length, 0));
    const rowsOfPart = isLarge ? this.share(input.length / inputs) : 0;
    let at = 0;
    parts.forEach((part, i) => {
      output.set(part.output, at);
      at += part.output.length;
      for (const {row, reason} of part.degraded) onDegraded?.(revived(reason) as KimicError, i * rowsOfPart + row);
    });
    return output;
  }
  private async routerInputs(router: number, signal: AbortSignal | undefined): Promise<number> {
    const how = signal ? {signal} : {};
    return (await whileRouted(this.lead, signal, () => this.lead.expertInfo(router, how))).inputs;
  }

  /** Rows that a thread gets of so many. */
  private share(rows: number): number {
    return Math.ceil(rows / this.size);
  }

  /** Calls every thread with as many rows, or one thread if there is one row. */
  private spread<T>(
    name: string,
    input: Float32Array,
    inputs: number,
    args: unknown[],
    signal?: AbortSignal
  ): Promise<T[]> {
    const share = this.share(input.length / inputs) * inputs;
    const idle = this.jobs.indexOf(Math.min(...this.jobs));
    const count = Math.ceil(input.length / share) || 1;
    const parts = Array.from({length: count}, (_, i) => input.subarray(i * share, (i + 1) * share));
    return Promise.all(parts.map((part, i) => this.call<T>((idle + i) % this.size, name, [part, ...args], signal)));
  }

  private async askByExpert(
    input: Float32Array,
    inputs: number,
    isLarge: boolean,
    how: Omit<AskOptions, 'out' | 'signal' | 'onDegraded'>,
    onDegraded: AskOptions['onDegraded'],
    signal: AbortSignal | undefined
  ): Promise<Float32Array> {
    const best = isLarge
      ? (await this.spread<Uint32Array>('bestExperts', input, inputs, [], signal)).flatMap(part => [...part])
      : [...(await whileRouted(this.lead, signal, () => this.lead.bestExperts(input, signal ? {signal} : {})))];
    const threads = new Map<number, number>();
    for (const expert of new Set(best)) threads.set(expert, expert === noExpert ? 0 : this.threadFor(expert));
    const shares = grouped([...best.keys()], row => threads.get(best[row]!)!);
    let output = new Float32Array(0);
    const degraded: [number, KimicError][] = [];
    await Promise.all(
      [...shares].map(async ([thread, rows]) => {
        const share = new Float32Array(rows.length * inputs);
        rows.forEach((row, i) => share.set(input.subarray(row * inputs, (row + 1) * inputs), i * inputs));
        const answer = await this.call<Answer>(thread, 'ask', [share, how], signal);
        const outputs = answer.output.length / rows.length;
        if (!output.length) output = new Float32Array(best.length * outputs);
        rows.forEach((row, i) => output.set(answer.output.subarray(i * outputs, (i + 1) * outputs), row * outputs));
        for (const {row, reason} of answer.degraded) degraded.push([rows[row]!, revived(reason) as KimicError]);
      })
    );
    for (const [row, reason] of degraded.sort(([a], [b]) => a - b)) onDegraded?.(reason, row);
    return output;
  }

  /** As Pack.warmUp(), on every thread. */
  async warmUp(
    options: {experts?: readonly ExpertRef[]; budgetMs?: number; signal?: AbortSignal} = {}
  ): Promise<WarmUpReport[]> {
    const {signal, budgetMs} = options;
    const experts = options.experts && (await Promise.all(options.experts.map(ref => this.find(ref, options))));
    return this.onEvery('warmUp', [experts, budgetMs], signal);
  }

  /** Of the thread that opened the pool, then of all others. */
  async stats(): Promise<Stats[]> {
    return [this.lead.stats, ...(await this.onEvery<Stats>('stats', []))];
  }

  /** What recovery had to do so far, in all threads that there are; undefined without OpenOptions.recovery. */
  async recoveryCounts(): Promise<RecoveryCounts | undefined> {
    const sum = this.lead.recoveryCounts;
    if (!sum) return undefined;
    for (const counts of await this.onEvery<RecoveryCounts>('recoveryCounts', []))
      for (const name of Object.keys(sum) as (keyof RecoveryCounts)[]) sum[name] += counts[name];
    return sum;
  }

  /** Ends the threads. Everything under way fails with PackDisposed, and so does every later call. */
  async dispose(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    for (const lose of this.lose) lose(kimicError('PackDisposed'));
    await Promise.allSettled(this.members);
    await this.lead.dispose();
  }

  /** A thread for an expert's rows: the least busy of those that have it, or an idle one if all of them are busy. */
  private threadFor(expert: number): number {
    const least = (threads: readonly number[], cost: readonly number[]) =>
      threads.reduce((a, b) => (cost[b]! < cost[a]! ? b : a));
    const all = [...this.jobs.keys()];
    const holders = this.holders.get(expert) ?? [];
    if (!this.holders.has(expert)) this.holders.set(expert, holders);
    const holder = holders.length ? least(holders, this.jobs) : undefined;
    const idle = all.filter(thread => !this.jobs[thread] && !holders.includes(thread));
    if (holder !== undefined && (this.jobs[holder]! < backlog || !idle.length)) return holder;
    const thread = least(holder === undefined ? all : idle, this.held);
    holders.push(thread);
    ++this.held[thread]!;
    return thread;
  }

  private onEvery<T>(name: string, args: unknown[], signal?: AbortSignal): Promise<T[]> {
    return Promise.all(this.jobs.map((_, i) => this.call<T>(i, name, args, signal)));
  }

  private async call<T>(index: number, name: string, args: unknown[], signal?: AbortSignal): Promise<T> {
    ++this.jobs[index]!;
    try {
      for (let attempt = 1; ; ++attempt) {
        if (this.isClosed) throw kimicError('PackDisposed');
        const {channel, thread} = await this.member(index);
        try {
          thread.hold(true);
          return await channel.call<T>(name, args, signal);
        } catch (error) {
          if (attempt === 2 || !(error instanceof KimicError && error.code === 'ThreadLost')) throw error;
        } finally {
          if (!channel.pending) thread.hold(false);
        }
      }
    } finally {
      --this.jobs[index]!;
    }
  }

  /** The thread, or its successor. */
  private async member(index: number): Promise<Member> {
    const known = this.members[index]!;
    const isLost = await known.then(
      member => member.isLost,
      () => true
    );
    if (isLost && this.members[index] === known) {
      // Its successor has no experts yet.
      for (const [expert, threads] of this.holders)
        this.holders.set(
          expert,
          threads.filter(thread => thread !== index)
        );
      this.held[index] = 0;
      this.members[index] = this.start();
    }
    return this.members[index]!;
  }

  /** `signal` stops opening the pack on the thread. */
  private async start(signal?: AbortSignal): Promise<Member> {
    const thread = await startThread();
    return new Promise<Member>((resolve, reject) => {
      const member = {thread, isLost: false} as Member;
      const lose = (error: KimicError) => {
        this.lose.delete(lose);
        member.isLost = true;
        thread.terminate();
        member.channel.fail(error);
        reject(error);
      };
      const {cache} = this.options;
      member.channel = new Channel(thread, {
        ready: () =>
          void member.channel.call('open', [this.module, this.threadOptions], signal).then(() => {
            thread.hold(false); // until it has a job
            resolve(member);
          }, lose),
        read: (signal, offset: number, length: number) => this.read(offset, length, signal),
        compile: (_, bytes: Uint8Array<ArrayBuffer>, firstKernel: number) => this.compile(bytes, firstKernel),
        parts: async () => compileModule(this.options.partsWasm ?? (await import('./parts.js')).partsUrl),
        cacheGet: (_, key: string) => cache!.get(key),
        cachePut: (_, key: string, bytes: Uint8Array) => cache!.put(key, bytes),
        cacheDelete: (_, prefix: string) => cache!.delete(prefix),
      });
      this.lose.add(lose);
      thread.ended(cause => lose(kimicError('ThreadLost', {cause})));
      if (this.isClosed) lose(kimicError('PackDisposed'));
    });
  }

  private get threadOptions(): ThreadOptions {
    const {engine, variant, cache, followsTransitions, residentBonus, network, recovery} = this.options;
    const {cachePolicy, prefetchesByScores} = this.options;
    return {
      memory: {maxBytes: this.bytesPerThread},
      integrity: `sha256-${this.info.digest}`,
      isCached: cache !== undefined,
      ...(network && {network}),
      ...(recovery && {recovery: endless(recovery)}),
      ...(engine && {engine}),
      ...(variant && {variant}),
      ...(followsTransitions !== undefined && {followsTransitions}),
      ...(residentBonus !== undefined && {residentBonus}),
      ...(cachePolicy && {cachePolicy}),
      ...(prefetchesByScores !== undefined && {prefetchesByScores}),
    };
  }

  /** For the threads. The header and root, which opening needs, are here already, and right. */
  private async read(offset: number, length: number, signal: AbortSignal): Promise<Uint8Array> {
    return offset === 0 ? this.lead.firstBytes.subarray(0, length) : this.source.read(offset, length, signal);
  }

  private compile(bytes: Uint8Array<ArrayBuffer>, firstKernel: number): Promise<WebAssembly.Module> {
    let module = this.modules.get(firstKernel);
    if (!module) {
      module = WebAssembly.compile(bytes);
      module.catch(() => this.modules.delete(firstKernel));
      this.modules.set(firstKernel, module);
    }
    return module;
  }
}

/** Without a limit on how long reads take: the pool's source has it. */
function endless(recovery: RecoveryOptions): RecoveryOptions {
  return {...recovery, patienceMs: Infinity};
}

function grouped<T, K>(items: readonly T[], keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}
