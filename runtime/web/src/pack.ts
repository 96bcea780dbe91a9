// An open pack: what users hold.
import {kimicError} from './errors.js';
import {linkableVariants, type EngineOption} from './linker.js';
import {Pump} from './pump.js';
import {
  compileRuntime,
  Runtime,
  type Choice,
  type ExpertFacts,
  type Merge,
  type PackFacts,
  type Stats,
  type WasmSource,
} from './runtime.js';
import {sourceOf, untilAborted, type ByteSource, type Source, type SourceOptions} from './source.js';

export interface OpenOptions extends SourceOptions {
  signal?: AbortSignal;
  /** The runtime's module, if it is not beside the script. */
  wasm?: WasmSource;
  engine?: EngineOption;
  /** Link only this variant of the kernels; default: the fastest that the engine has. All compute the same bits. */
  variant?: 'simd128' | 'scalar';
  /** Hard cap of the memory that the pack may use; default 256 MiB. */
  memory?: {maxBytes?: number};
}

/** An expert's number, or its id or name in the metadata. */
export type ExpertRef = number | string;

export interface ExpertMetadata {
  id?: string;
  name?: string;
  domain?: string;
  specialization?: string;
  labels?: string[];
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
}
export interface RouteResult {
  /** Best first; equal scores in the order of the experts' numbers. */
  choices: Choice[];
  /** Probability of each routed expert. */
  scores: Float32Array;
}
export interface RoutedRunOptions extends RouteOptions, RunOptions {
  /** Default: as the pack says. */
  merge?: Merge;
}
export interface RoutedRunResult extends RouteResult {
  /** The merged outputs. */
  output: Float32Array;
}

const floatBytes = 4;

export class Pack {
  /** Facts of the header and root. */
  readonly info: PackFacts;
  private io = {address: 0, bytes: 0};
  private metadataPromise: Promise<PackMetadata> | undefined;

  private constructor(
    private readonly runtime: Runtime,
    private readonly source: ByteSource,
    private readonly pump: Pump
  ) {
    this.info = runtime.packFacts();
  }

  static async open(source: Source, options: OpenOptions, defaultModule: () => Promise<WebAssembly.Module>): Promise<Pack> {
    const {signal} = options;
    const engine = options.engine ?? 'auto';
    const bytes = sourceOf(source, options);
    let runtime: Runtime | undefined;
    try {
      const compiled = options.wasm ? compileRuntime(options.wasm, signal) : defaultModule();
      const module = await untilAborted(compiled, signal);
      const variants = linkableVariants(engine, options.variant);
      runtime = await Runtime.create(module, options.memory?.maxBytes ?? 256 << 20, variants);
      const pump = new Pump(runtime, bytes, engine);
      await pump.until(() => runtime!.open(), signal).catch(error => {
        // Byte 0 is '<': a server's error page or a single-page application's fallback.
        if (error.code === 'PackMagic' && error.args[0] === 0 && error.args[1] === 0x3c)
          throw kimicError('PackMagic', {args: error.args, hint: 'got an HTML page: the pack is not served', cause: error});
        throw error;
      });
      return new Pack(runtime, bytes, pump);
    } catch (error) {
      await bytes.close?.();
      throw error;
    }
  }

  /** Memory, residents, hits and evictions. */
  get stats(): Stats {
    return this.pump.guard(() => this.runtime.stats());
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

  /** Loads experts and, if wanted, keeps them until they are unpinned. */
  async load(experts: ExpertRef | readonly ExpertRef[], options: {signal?: AbortSignal; pin?: boolean} = {}): Promise<void> {
    const refs = Array.isArray(experts) ? (experts as readonly ExpertRef[]) : [experts as ExpertRef];
    const numbers = await Promise.all(refs.map(ref => this.find(ref, options)));
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

  /** Facts of an expert; loads it. */
  async expertInfo(expert: ExpertRef, options: {signal?: AbortSignal} = {}): Promise<ExpertFacts> {
    const number = await this.find(expert, options);
    return this.whileLoaded([number], options, () => this.runtime.expertFacts(number));
  }

  /** Runs one expert on any number of rows, loading it first if need be. */
  async run(expert: ExpertRef, input: Float32Array, options: RunOptions = {}): Promise<Float32Array> {
    const number = await this.find(expert, options);
    return this.whileLoaded([number], options, () => this.runLoaded(number, input, options.out));
  }

  /** Runs a resident expert at once; throws ExpertNotResident if it is not. */
  runSync(expert: number, input: Float32Array, options: {out?: Float32Array} = {}): Float32Array {
    return this.pump.guard(() => this.runLoaded(expert, input, options.out));
  }

  /** Asks the router which experts suit one row. */
  async route(input: Float32Array, options: RouteOptions = {}): Promise<RouteResult> {
    const router = this.info.router;
    if (!router) throw kimicError('PackHasNoRouter');
    const k = options.k ?? router.topK;
    if (!Number.isInteger(k) || k < 1 || k > router.routedExperts)
      throw kimicError('TooManyChoices', {args: [k, router.routedExperts]});
    return this.whileLoaded([router.expert], options, () => {
      const {inputs} = this.runtime.expertFacts(router.expert);
      if (input.length !== inputs) throw kimicError('InputLength', {args: [input.length, 1, inputs]});
      const scoresAt = input.length * floatBytes;
      const choicesAt = scoresAt + router.routedExperts * floatBytes;
      const io = this.reserve(choicesAt + Runtime.choicesBytes(k), [router.expert]);
      this.runtime.floats(io, inputs).set(input);
      const choices = this.runtime.route(io, k, io + choicesAt, io + scoresAt);
      return {choices, scores: this.runtime.floats(io + scoresAt, router.routedExperts).slice()};
    });
  }

  /** Routes one row, runs the chosen experts and merges their outputs. */
  async runRouted(input: Float32Array, options: RoutedRunOptions = {}): Promise<RoutedRunResult> {
    const {choices, scores} = await this.route(input, options);
    const merge = options.merge ?? this.info.router!.merge;
    const experts = choices.map(choice => choice.expert);
    const output = await this.whileLoaded(experts, options, () => {
      const {inputs, outputs} = this.runtime.expertFacts(experts[0]!);
      if (input.length !== inputs) throw kimicError('InputLength', {args: [input.length, 1, inputs]});
      const yAt = inputs * floatBytes;
      const choicesAt = yAt + outputs * floatBytes;
      const io = this.reserve(choicesAt + Runtime.choicesBytes(choices.length), experts);
      this.runtime.floats(io, inputs).set(input);
      this.runtime.runChosen(choices, io + choicesAt, merge, io, io + yAt);
      return this.copyOut(io + yAt, outputs, options.out);
    });
    return {choices, scores, output};
  }

  /** Frees the memory. Everything under way fails with PackDisposed, and so does every later call. */
  async dispose(): Promise<void> {
    if (this.pump.isClosed) return;
    this.pump.close(kimicError('PackDisposed'));
    this.runtime.destroy();
    await this.source.close?.();
  }

  /** Calls `use` at a moment when all these experts are resident. */
  private async whileLoaded<T>(experts: readonly number[], options: {signal?: AbortSignal}, use: () => T): Promise<T> {
    const pinned: number[] = [];
    let result: {value: T} | undefined;
    try {
      await this.pump.until(() => {
        let outcome = 0;
        for (const expert of experts) {
          if (pinned.includes(expert)) continue;
          const status = this.runtime.load(expert);
          if (status > 0) return status;
          if (status === 0) {
            this.runtime.pin(expert);
            pinned.push(expert);
          } else {
            outcome = status;
          }
        }
        if (outcome === 0) result = {value: use()};
        return outcome;
      }, options.signal);
    } finally {
      if (!this.pump.isClosed) for (const expert of pinned) this.runtime.unpin(expert);
    }
    return result!.value;
  }

  /** Room for inputs and outputs that does not evict `experts`. */
  private reserve(bytes: number, experts: readonly number[]): number {
    if (bytes > this.io.bytes) {
      for (const expert of experts) this.runtime.pin(expert);
      try {
        this.runtime.free(this.io.address);
        this.io = {address: 0, bytes: 0};
        this.io = {address: this.runtime.allocate(bytes), bytes};
      } finally {
        for (const expert of experts) this.runtime.unpin(expert);
      }
    }
    return this.io.address;
  }

  private runLoaded(expert: number, input: Float32Array, out: Float32Array | undefined): Float32Array {
    const {inputs, outputs} = this.runtime.expertFacts(expert);
    const rows = input.length / inputs;
    if (!Number.isInteger(rows) || rows < 1)
      throw kimicError('InputLength', {args: [input.length, Math.max(1, Math.ceil(rows)), inputs]});
    const yAt = input.length * floatBytes;
    const io = this.reserve(yAt + rows * outputs * floatBytes, [expert]);
    this.runtime.floats(io, input.length).set(input);
    this.runtime.run(expert, io, rows, io + yAt);
    return this.copyOut(io + yAt, rows * outputs, out);
  }

  private copyOut(address: number, count: number, out: Float32Array | undefined): Float32Array {
    const result = this.runtime.floats(address, count);
    if (!out) return result.slice();
    if (out.length < count) throw kimicError('OutputLength', {args: [out.length, count]});
    out.set(result);
    return out;
  }
}
