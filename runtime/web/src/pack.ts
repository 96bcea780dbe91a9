// An open pack: what users hold.
import {cancelled, KimicError, kimicError} from './errors.js';
import type {PackCache} from './cache.js';
import {linkableVariants, type EngineOption, type Modules} from './linker.js';
import {Pump} from './pump.js';
import {prefetch, Reads} from './reads.js';
import type {History} from './history.js';
import type {Plan} from './plan.js';
import type {RecoveryCounts, RecoveryOptions, Recovery} from './recovery.js';
import {
  cachePolicies,
  compileModule,
  defaultModule,
  noExpert,
  pending,
  Runtime,
  type CachePolicy,
  type Choice,
  type ExpertFacts,
  type Explanation,
  type MemoryUsage,
  type Merge,
  type PackFacts,
  type RouterFacts,
  type Stats,
  type WasmSource,
} from './runtime.js';
import {sourceOf, untilAborted, withDeadline, type ByteSource, type Source, type SourceOptions} from './source.js';
import {hexOf, Trust, type TrustOptions} from './trust.js';
import type {WarmUpOptions, WarmUpReport} from './warmup.js';

export interface OpenOptions extends SourceOptions, TrustOptions {
  signal?: AbortSignal;
  /** The runtime's module, if it is not beside the script. */
  wasm?: WasmSource;
  /** The same for that of its parts, read for `history`, cache policies, and where kernels cannot be linked. */
  partsWasm?: WasmSource;
  engine?: EngineOption;
  /** Link only this variant of the kernels; default: the fastest that the engine has. All compute the same bits. */
  variant?: 'simd128' | 'scalar';
  /** Hard cap of the memory that the pack may use; default 256 MiB. */
  memory?: {maxBytes?: number};
  /**
   * 0..1, default 0: added to the scores of experts in memory when the second and further ones are chosen, so that
   * fewer have to be loaded. The best expert is always the router's; answers depend on what was asked before.
   */
  residentBonus?: number;
  /**
   * Fetches ahead, while nothing else is being read, the experts to which requests often go on from one that was just
   * loaded, if the pack knows them; default true.
   */
  followsTransitions?: boolean;
  /**
   * Who makes room when memory is short: who was used longest ago ('lru', the default), who has the lowest moving
   * average of the router's scores ('score'), or 'adaptive', which balances who was used once and who again (ARC).
   */
  cachePolicy?: CachePolicy;
  /**
   * Fetches ahead, after an expert had to be loaded, those whose scores are the highest on average; default only with
   * cachePolicy 'score'.
   */
  prefetchesByScores?: boolean;
  /**
   * With it, ask() and runRouted() try again what may pass, make room, and let other experts stand in; reads that are
   * never answered fail.
   */
  recovery?: RecoveryOptions;
  /**
   * Times every run and remembers how experts did: `true`, or what `history.export()` gave at an earlier visit. See
   * Pack.history.
   */
  history?: boolean | Uint8Array;
  /**
   * Keeps what was read for the next visit: `cacheApi()`, `opfs()` or `directory(path)` of kimic/cache, or your own.
   */
  cache?: PackCache;
}

/** An expert's number, or its id or name in the metadata. */
export type ExpertRef = number | string;

export interface ExpertMetadata {
  id?: string;
  name?: string;
  domain?: string;
  specialization?: string;
  labels?: string[];
  /** The number of the expert that stands in for it. */
  fallback?: number;
  [key: string]: unknown;
}
/** The pack's JSON. Everything in it comes from whoever made the pack: treat it as text. */
export interface PackMetadata {
  name?: string;
  experts?: ExpertMetadata[];
  kernels?: string[];
  [key: string]: unknown;
}

export interface RunOptions {
  signal?: AbortSignal;
  /** Where the outputs go; without it a new array is returned. */
  out?: Float32Array;
}
export interface RouteOptions {
  signal?: AbortSignal;
  /** How many experts to choose; default: as the pack says. */
  k?: number;
  /** Also tell what the router made of every expert. */
  explain?: boolean;
}
export interface RouteResult {
  /** Best first; equal scores in the order of the experts' numbers. */
  choices: Choice[];
  /** Score of each routed expert. */
  scores: Float32Array;
  /** With the option `explain`: of each routed expert what the router made of it, and why it was chosen or not. */
  explanations?: Explanation[];
}
export interface RoutedRunOptions extends RouteOptions, RunOptions {
  /** How the chosen experts' outputs become one; default: as the pack says. */
  merge?: Merge;
  /** When there is no answer after so many milliseconds the error is DeadlinePassed. */
  deadlineMs?: number;
}
export interface AskOptions extends Omit<RoutedRunOptions, 'explain'> {
  /** Called for each row whose answer is not that of the experts that the router chose (OpenOptions.recovery). */
  onDegraded?: (reason: KimicError, row: number) => void;
}
export interface RoutedRunResult extends RouteResult {
  /** The merged outputs. */
  output: Float32Array;
  /** Why it is not the answer of the experts that the router chose, but of `choices` (OpenOptions.recovery). */
  reason?: KimicError;
}

interface Shape {
  expert: number;
  inputs: number;
  outputs: number;
}

const floatBytes = 4;
/** OpenOptions.memory.maxBytes. */
export const defaultMaxBytes = 256 << 20;
/** NetworkOptions.concurrency. */
export const defaultConcurrency = 6;
/** Experts that are fetched ahead at a time. */
const prefetchedAtOnce = 16;

/** An open pack. Numbers of experts are those of the pack, 0 .. info.experts - 1. */
export class Pack {
  /** Facts of the header and root. */
  readonly info: PackFacts;
  /** Memory of the runtime for inputs and outputs, and a view of it, which is empty after the memory has grown. */
  private io = {address: 0, bytes: 0};
  private ioView: Float32Array = new Float32Array(0);
  /** The part of ioView that was copied last, from number outputFrom on: making a view takes longer than copying. */
  private outputView: Float32Array = new Float32Array(0);
  private outputFrom = 0;
  private metadataPromise: Promise<PackMetadata> | undefined;
  /** Inputs and outputs of the experts that were used. */
  private readonly shapes = new Map<number, Shape>();
  private latest: Shape = {expert: -1, inputs: 0, outputs: 0};
  /** How many operations wait for an expert. */
  private readonly wanted = new Map<number, number>();
  /** @internal Outputs of the experts that the router chooses, once known. */
  answerLength = 0;
  /** @internal With OpenOptions.recovery. */
  recovery: Recovery | undefined;
  /** With OpenOptions.history. */
  history: History | undefined;
  private prefetchesByScores = false;

  private constructor(
    private readonly runtime: Runtime,
    private readonly source: ByteSource,
    private readonly pump: Pump,
    private readonly followsTransitions: boolean,
    /** @internal As they were read when the pack was opened. */
    readonly firstBytes: Uint8Array
  ) {
    this.info = runtime.packFacts();
  }

  /** `defaultModule`: the runtime's; `modules`: others, where they are not beside the script or in another thread. */
  static async open(
    source: Source,
    options: OpenOptions,
    defaultModule: () => Promise<WebAssembly.Module>,
    modules: Partial<Modules> = {}
  ): Promise<Pack> {
    const {signal} = options;
    const engine = options.engine ?? 'auto';
    const trust = new Trust(options);
    let bytes = sourceOf(source, options, trust);
    try {
      const compiled = options.wasm ? compileModule(options.wasm, signal) : defaultModule();
      const module = await untilAborted(compiled, signal);
      const variants = linkableVariants(engine, options.variant);
      const runtime = await Runtime.create(
        module,
        options.memory?.maxBytes ?? defaultMaxBytes,
        variants,
        options.residentBonus ?? 0
      );
      if (trust.digest) runtime.requireDigest(trust.digest);
      const concurrency = options.network?.concurrency ?? defaultConcurrency;
      const recovering = options.recovery && (await import('./recovery.js'));
      if (recovering) bytes = recovering.patient(bytes, options.recovery!);
      const reads = new Reads(bytes, concurrency, options.cache, trust.digest && hexOf(trust.digest));
      const pump = new Pump(runtime, bytes, reads, engine, {
        compile: bytes => WebAssembly.compile(bytes),
        ...modules,
        ...(options.partsWasm && {parts: async () => options.partsWasm!}),
      });
      await pump
        .until(() => runtime.open(), signal)
        .catch(error => {
          // Byte 0 is '<': a server's error page or a single-page application's fallback.
          if (error.code === 'PackMagic' && error.args[0] === 0 && error.args[1] === 0x3c)
            throw kimicError('PackMagic', {
              args: error.args,
              hint: 'got an HTML page: the pack is not served',
              cause: error,
            });
          throw error;
        });
      const pack = new Pack(runtime, bytes, pump, options.followsTransitions ?? true, reads.firstBytes);
      await trust.requireSignature(pack.firstBytes, pack.info.digest);
      reads.identify(pack.info.digest, pack.info.hotBytes);
      reads.commit();
      const {history, cachePolicy = 'lru'} = options;
      const policy = cachePolicies.indexOf(cachePolicy);
      if (policy < 0) throw kimicError('OptionMalformed', {subject: 'cachePolicy'});
      pack.prefetchesByScores = options.prefetchesByScores ?? cachePolicy === 'score';
      if (policy || pack.prefetchesByScores)
        await pump.until(() => runtime.invoke('kimic_set_cache', policy, Number(pack.prefetchesByScores)), signal);
      if (history) pack.history = await (await import('./history.js')).History.start(pack, runtime, history);
      if (recovering) pack.recovery = new recovering.Recovery(pack, runtime, options.recovery!);
      return pack;
    } catch (error) {
      await bytes.close?.();
      throw error;
    }
  }

  /** Memory, residents, hits and evictions. */
  get stats(): Stats {
    return this.pump.guard(() => this.runtime.stats());
  }

  /** What recovery had to do so far; undefined without OpenOptions.recovery. */
  get recoveryCounts(): RecoveryCounts | undefined {
    return this.recovery && {...this.recovery.counts};
  }

  /** @internal */
  get isDisposed(): boolean {
    return this.pump.isClosed;
  }
  /** @internal Calls into the runtime. */
  guard<T>(call: () => T): T {
    return this.pump.guard(call);
  }
  /** @internal Calls that may need the outside. */
  until(ask: () => number, signal?: AbortSignal): Promise<void> {
    return this.pump.until(ask, signal);
  }

  /** Where the pack's memory is, to the byte. */
  memoryUsage(): MemoryUsage {
    return this.pump.guard(() => this.runtime.memoryUsage());
  }

  /** The pack's JSON, read once. */
  metadata(options: {signal?: AbortSignal} = {}): Promise<PackMetadata> {
    this.metadataPromise ??= this.readMetadata();
    this.metadataPromise.catch(() => (this.metadataPromise = undefined));
    return untilAborted(this.metadataPromise, options.signal);
  }
  private async readMetadata(): Promise<PackMetadata> {
    let text = '';
    await this.pump.until(() => {
      const status = this.runtime.metadata();
      if (status === 0) text = this.runtime.takeMetadata();
      return status;
    });
    return text ? (JSON.parse(text) as PackMetadata) : {};
  }

  /** The number of an expert. */
  async find(expert: ExpertRef, options: {signal?: AbortSignal} = {}): Promise<number> {
    if (typeof expert === 'number') {
      const isOne = Number.isInteger(expert) && expert >= 0 && expert < this.info.experts;
      if (isOne || this.pump.isClosed) return expert;
      throw kimicError('UnknownExpert', {args: [expert, this.info.experts]});
    }
    const {experts = []} = await this.metadata(options);
    let number = experts.findIndex(entry => entry.id === expert);
    if (number < 0) number = experts.findIndex(entry => entry.name === expert);
    if (number < 0) throw kimicError('UnknownExpertName', {subject: expert});
    return number;
  }
  /** @internal */
  findAll(experts: ExpertRef | readonly ExpertRef[], options: {signal?: AbortSignal}): Promise<number[]> {
    const refs = Array.isArray(experts) ? (experts as readonly ExpertRef[]) : [experts as ExpertRef];
    return Promise.all(refs.map(ref => this.find(ref, options)));
  }

  /** Loads experts and, if wanted, keeps them until they are unpinned. */
  async load(
    experts: ExpertRef | readonly ExpertRef[],
    options: {signal?: AbortSignal; pin?: boolean} = {}
  ): Promise<void> {
    const numbers = await this.findAll(experts, options);
    await this.whileLoaded(numbers, options, () => {
      if (options.pin) for (const number of numbers) this.runtime.pin(number);
    });
  }
  unpin(expert: number): void {
    this.pump.guard(() => this.runtime.unpin(expert));
  }
  /** Drops a resident expert that is not pinned. */
  evict(expert: number): void {
    this.pump.guard(() => this.runtime.evict(expert));
  }

  /**
   * Fetches experts ahead, while nothing else is being read and without making room: as far as memory is free or holds
   * others that were fetched ahead and never used. Gives how many of them are resident in the end; what cannot be had
   * is no error.
   */
  async prefetch(experts: ExpertRef | readonly ExpertRef[], options: {signal?: AbortSignal} = {}): Promise<number> {
    const left = new Set(await this.findAll(experts, options));
    let resident = 0;
    return this.whileWanted([...left], async () => {
      await this.pump.until(
        () => {
          let waiting = 0;
          for (const expert of left) {
            const status = this.runtime.prefetch(expert);
            if (status === pending) {
              if (++waiting === prefetchedAtOnce) break;
            } else {
              left.delete(expert);
              if (status === 0) ++resident;
            }
          }
          return waiting ? pending : 0;
        },
        options.signal,
        prefetch
      );
      return resident;
    });
  }

  /**
   * The experts to which requests most often went on from this one when the pack was made, likeliest first; none if
   * the pack does not know, or before the expert was used. With OpenOptions.prefetchesByScores, behind them up to four
   * that are not in memory and have the highest averages of scores. Something to prefetch().
   */
  nextExperts(expert: number): number[] {
    return this.pump.guard(() => this.runtime.nextExperts(expert));
  }

  /** Facts of an expert; loads it. */
  async expertInfo(expert: ExpertRef, options: {signal?: AbortSignal} = {}): Promise<ExpertFacts> {
    const number = await this.find(expert, options);
    return this.whileLoaded([number], options, () => this.runtime.expertFacts(number));
  }

  /** Runs one expert on any number of rows, loading it first if need be. */
  async run(expert: ExpertRef, input: Float32Array, options: RunOptions = {}): Promise<Float32Array> {
    const number = await this.find(expert, options);
    return this.orInParts(
      () => this.whileLoaded([number], options, () => this.runLoaded(number, input, options.out)),
      ({runInParts}, why) =>
        runInParts(this, this.runtime, [{expert: number, score: 1, weight: 1}], 'best', input, why, options)
    );
  }

  /** Runs a resident expert at once; throws ExpertNotResident if it is not. */
  runSync(expert: number, input: Float32Array, options: {out?: Float32Array} = {}): Float32Array {
    if (this.pump.isClosed) return this.pump.guard(() => input); // throws
    try {
      return this.runLoaded(expert, input, options.out);
    } catch (error) {
      throw this.pump.trapped(error);
    }
  }

  /**
   * The router chooses experts for every row of the input, they run, and their outputs are merged: [rows][outputs].
   * What is missing is loaded first. When all is resident this is one call into WebAssembly.
   */
  async ask(input: Float32Array, options: AskOptions = {}): Promise<Float32Array> {
    const router = this.requireRouter(options.k);
    if (options.signal?.aborted) throw cancelled(options.signal);
    if (options.deadlineMs !== undefined) return withDeadline(options, within => this.ask(input, within));
    if (this.recovery) return this.recovery.ask(input, options);
    return this.orInParts(
      () => this.askWhole(input, options, router),
      ({askInParts}, why) => askInParts(this, input, options, why)
    );
  }
  private async askWhole(input: Float32Array, options: AskOptions, router: RouterFacts): Promise<Float32Array> {
    await this.prepareAnswer(input, options);
    const {inputs} = this.shapeOf(router.expert);
    const answer = this.pump.guard(() => this.askResident(input, options));
    if (answer) return answer;
    // Load what the rows need, keep it, and ask again.
    const needed = new Set([router.expert]);
    for (let at = 0; at < input.length; at += inputs)
      for (const {expert} of (await this.route(input.subarray(at, at + inputs), options)).choices) needed.add(expert);
    return (await this.whileLoaded([...needed], options, () => this.askResident(input, options)))!;
  }

  /** Like ask(), at once; throws ExpertNotResident if an expert that is needed is not. */
  askSync(input: Float32Array, options: Omit<AskOptions, 'signal'> = {}): Float32Array {
    const router = this.requireRouter(options.k);
    const answer = this.pump.guard(() => this.askResident(input, options));
    if (!answer) throw kimicError('ExpertNotResident', {args: [this.missing ?? router.expert]});
    return answer;
  }

  /** Asks the router which experts suit one row. */
  async route(input: Float32Array, options: RouteOptions = {}): Promise<RouteResult> {
    const router = this.requireRouter(options.k);
    const k = options.k ?? router.topK;
    const explainer = options.explain ? await import('./explain.js') : undefined;
    return this.whileLoaded([router.expert], options, () => {
      const {inputs} = this.shapeOf(router.expert);
      if (input.length !== inputs) throw kimicError('InputLength', {args: [input.length, 1, inputs]});
      const experts = router.routedExperts;
      const choicesAt = input.length * floatBytes;
      const detailsAt = choicesAt + Runtime.choicesBytes(k);
      const detailsBytes = experts * (explainer?.explanationBytes ?? floatBytes);
      const io = this.reserve(detailsAt + detailsBytes, [router.expert]);
      this.view().set(input);
      if (explainer) {
        const choices = explainer.explain(this.runtime, io, k, io + choicesAt, io + detailsAt);
        const explanations = explainer.explanationsAt(this.runtime, io + detailsAt, experts);
        return {choices, scores: Float32Array.from(explanations, e => e.score), explanations};
      }
      const choices = this.runtime.route(io, k, io + choicesAt, io + detailsAt);
      return {choices, scores: this.runtime.floats(io + detailsAt, experts).slice()};
    });
  }

  /** @internal The router's best expert for every row, noExpert where it has none to offer: for spreading rows. */
  async bestExperts(input: Float32Array, options: {signal?: AbortSignal} = {}): Promise<Uint32Array> {
    const router = this.requireRouter(undefined);
    return this.whileLoaded([router.expert], options, () => {
      const {inputs} = this.shapeOf(router.expert);
      const rows = this.rowsOf(input, inputs);
      const choicesAt = input.length * floatBytes;
      const io = this.reserve(choicesAt + Runtime.choicesBytes(1), [router.expert]);
      this.view().set(input);
      const best = new Uint32Array(rows);
      for (let row = 0; row < rows; ++row)
        best[row] = this.runtime.best(io + row * inputs * floatBytes, io + choicesAt);
      return best;
    });
  }

  /** Routes one row, runs the chosen experts and merges their outputs; tells how it came to that. */
  async runRouted(input: Float32Array, options: RoutedRunOptions = {}): Promise<RoutedRunResult> {
    this.requireRouter(options.k);
    if (options.deadlineMs !== undefined) return withDeadline(options, within => this.runRouted(input, within));
    if (this.recovery) return this.recovery.answer(input, options, choices => this.runChoices(choices, input, options));
    const route = await this.route(input, options);
    const {choices} = route;
    if (choices.length === 0) throw kimicError('RouterAbstained');
    const experts = choices.map(choice => choice.expert);
    const merge = options.merge ?? this.info.router!.merge;
    const output = await this.orInParts(
      () => this.whileLoaded(experts, options, () => this.runChoices(choices, input, options)),
      ({runInParts}, why) => runInParts(this, this.runtime, choices, merge, input, why, options)
    );
    return {...route, output};
  }

  /** `whole`, or, if memory is too small for that, `parts`. */
  private async orInParts<T>(
    whole: () => Promise<T>,
    parts: (planner: typeof import('./plan.js'), why: KimicError) => Promise<T>
  ): Promise<T> {
    try {
      return await whole();
    } catch (error) {
      if (!(error instanceof KimicError && error.code === 'ArenaExhausted')) throw error;
      return parts(await import('./plan.js'), error);
    }
  }

  /**
   * What an answer takes: of these experts, or of those that the router chooses for a row. Reads the directory and
   * kernels, no parameters.
   */
  async plan(
    what: readonly ExpertRef[] | Float32Array,
    options: {k?: number; signal?: AbortSignal} = {}
  ): Promise<Plan> {
    return (await import('./plan.js')).planOf(this, this.runtime, what, options);
  }

  /** @internal Runs resident experts on one row and merges. */
  runChoices(choices: readonly Choice[], input: Float32Array, options: RoutedRunOptions): Float32Array {
    const experts = choices.map(choice => choice.expert);
    const {inputs, outputs} = this.shapeOf(experts[0]!);
    if (input.length !== inputs) throw kimicError('InputLength', {args: [input.length, 1, inputs]});
    const yAt = inputs * floatBytes;
    const choicesAt = yAt + outputs * floatBytes;
    const io = this.reserve(choicesAt + Runtime.choicesBytes(choices.length), experts);
    this.view().set(input);
    this.runtime.runChosen(choices, io + choicesAt, options.merge ?? this.info.router!.merge, io, io + yAt);
    return this.copyOut(inputs, outputs, options.out);
  }

  /**
   * Calls kernels on made-up rows until the engine has compiled them as well as it can, which engines do only for
   * code that is called often: the first real calls are then as fast as all later ones. Loads the experts.
   */
  async warmUp(options: WarmUpOptions = {}): Promise<WarmUpReport> {
    const router = this.info.router;
    const used = this.shapes.size ? [...this.shapes.keys()] : [0];
    const numbers = await this.findAll(options.experts ?? (router ? [...used, router.expert] : used), options);
    return (await import('./warmup.js')).warmUp(this, [...new Set(numbers)], options);
  }

  /** Frees the memory. Everything under way fails with PackDisposed, and so does every later call. */
  async dispose(): Promise<void> {
    if (this.pump.isClosed) return;
    this.pump.close(kimicError('PackDisposed'));
    this.runtime.destroy();
    await this.source.close?.();
  }

  private requireRouter(k: number | undefined): RouterFacts {
    const router = this.info.router;
    if (!router) throw kimicError('PackHasNoRouter');
    if (k !== undefined && !(Number.isInteger(k) && k >= 1 && k <= router.routedExperts))
      throw kimicError('TooManyChoices', {args: [k, router.routedExperts]});
    return router;
  }

  /** Finds out how long answers are: as the first chosen expert's outputs. */
  private async prepareAnswer(input: Float32Array, options: AskOptions): Promise<void> {
    const router = this.info.router!;
    if (this.answerLength) return;
    const {inputs} = await this.whileLoaded([router.expert], options, () => this.shapeOf(router.expert));
    this.rowsOf(input, inputs);
    const {choices} = await this.route(input.subarray(0, inputs), options);
    if (choices.length === 0) throw kimicError('RouterAbstained');
    const first = choices[0]!.expert;
    this.answerLength = await this.whileLoaded([first], options, () => this.shapeOf(first).outputs);
  }

  /** @internal The answer, or undefined if something is not resident: `missing` is then one of those experts. */
  askResident(input: Float32Array, options: AskOptions): Float32Array | undefined {
    const router = this.info.router!;
    this.missing = undefined;
    const shape = this.shapes.get(router.expert);
    if (!shape || !this.answerLength) return undefined;
    const rows = this.rowsOf(input, shape.inputs);
    const k = options.k ?? router.topK;
    const outputs = this.answerLength;
    const yAt = input.length * floatBytes;
    const choicesAt = yAt + rows * outputs * floatBytes;
    const io = this.reserve(choicesAt + rows * Runtime.choicesBytes(k), []);
    this.view().set(input);
    const status = this.runtime.ask(io, rows, k, options.merge ?? router.merge, io + choicesAt, io + yAt, outputs);
    if (status === 0) return this.copyOut(input.length, rows * outputs, options.out);
    this.runtime.check(status);
    this.missing = this.runtime.withdraw(router.expert, io + choicesAt, rows * k);
    return undefined;
  }
  private missing: number | undefined;

  /** Calls `use` at a moment when all these experts are resident. */
  private async whileLoaded<T>(experts: readonly number[], options: {signal?: AbortSignal}, use: () => T): Promise<T> {
    const pinned = new Set<number>();
    let hasWaited = false;
    let result: {value: T} | undefined;
    return this.whileWanted(experts, async () => {
      try {
        await this.pump.until(() => {
          let outcome = 0;
          for (const expert of experts) {
            if (pinned.has(expert)) continue;
            const status = this.runtime.load(expert);
            if (status > 0) return status;
            if (status === 0) {
              this.runtime.pin(expert);
              pinned.add(expert);
            } else {
              outcome = status;
            }
          }
          if (outcome === 0) result = {value: use()};
          else hasWaited = true;
          return outcome;
        }, options.signal);
      } finally {
        if (!this.pump.isClosed) for (const expert of pinned) this.runtime.unpin(expert);
      }
      if (hasWaited && (this.followsTransitions || this.prefetchesByScores))
        this.prefetchAfter(this.followsTransitions ? experts : [noExpert]);
      return result!.value;
    });
  }

  /** Starts to fetch what is likely to be wanted after these experts. */
  private prefetchAfter(experts: readonly number[]): void {
    const next = new Set(experts.flatMap(expert => this.nextExperts(expert)));
    if (next.size) this.prefetch([...next]).catch(() => undefined);
  }

  /** Tells the runtime in the end which of the experts nobody waits for any more. */
  private async whileWanted<T>(experts: readonly number[], body: () => Promise<T>): Promise<T> {
    for (const expert of experts) this.wanted.set(expert, (this.wanted.get(expert) ?? 0) + 1);
    try {
      return await body();
    } finally {
      for (const expert of experts) {
        const others = this.wanted.get(expert)! - 1;
        if (others > 0) {
          this.wanted.set(expert, others);
          continue;
        }
        this.wanted.delete(expert);
        if (!this.pump.isClosed) this.runtime.cancel(expert);
      }
    }
  }

  /** Inputs and outputs of an expert that is resident or was. */
  private shapeOf(expert: number): Shape {
    if (this.latest.expert === expert) return this.latest;
    let shape = this.shapes.get(expert);
    if (!shape) {
      const {inputs, outputs} = this.runtime.expertFacts(expert);
      this.shapes.set(expert, (shape = {expert, inputs, outputs}));
    }
    return (this.latest = shape);
  }

  /** Room for inputs and outputs that does not evict `experts`. */
  private reserve(bytes: number, experts: readonly number[]): number {
    if (bytes > this.io.bytes) {
      for (const expert of experts) this.runtime.pin(expert);
      try {
        this.runtime.free(this.io.address);
        this.io = {address: 0, bytes: 0};
        this.ioView = new Float32Array(0);
        this.io = {address: this.runtime.allocate(bytes), bytes};
      } finally {
        for (const expert of experts) this.runtime.unpin(expert);
      }
    }
    return this.io.address;
  }
  private view(): Float32Array {
    if (this.ioView.length === 0) {
      this.ioView = this.runtime.floats(this.io.address, this.io.bytes / floatBytes);
      this.outputFrom = 0;
    }
    return this.ioView;
  }

  /** @internal How many rows there are. */
  rowsOf(input: Float32Array, inputs: number): number {
    if (input.length === inputs) return 1;
    const rows = input.length / inputs;
    if (!Number.isInteger(rows) || rows < 1)
      throw kimicError('InputLength', {args: [input.length, Math.max(1, Math.ceil(rows)), inputs]});
    return rows;
  }

  private runLoaded(expert: number, input: Float32Array, out: Float32Array | undefined): Float32Array {
    const {inputs, outputs} = this.shapeOf(expert);
    const rows = this.rowsOf(input, inputs);
    const yAt = input.length * floatBytes;
    const bytes = yAt + rows * outputs * floatBytes;
    const io = bytes <= this.io.bytes ? this.io.address : this.reserve(bytes, [expert]);
    this.view().set(input);
    this.runtime.run(expert, io, rows, io + yAt);
    return this.copyOut(input.length, rows * outputs, out);
  }

  /** Copies numbers [from, from + count) of the input and output memory. */
  private copyOut(from: number, count: number, out: Float32Array | undefined): Float32Array {
    const view = this.view();
    if (!out) return view.slice(from, from + count);
    if (out.length < count) throw kimicError('OutputLength', {args: [out.length, count]});
    if (this.outputView.length !== count || this.outputFrom !== from) {
      this.outputView = view.subarray(from, from + count);
      this.outputFrom = from;
    }
    out.set(this.outputView);
    return out;
  }
}

/**
 * Opens a pack: bytes, a Blob, a URL (read in ranges), in Node a path, or any ByteSource. Reads its first 16 KiB, of a
 * URL 36.
 */
export function open(source: Source, options: OpenOptions = {}): Promise<Pack> {
  return Pack.open(source, options, defaultModule);
}
