// A typed view of the module's exports: runtime/include/kimic/Runtime.h in TypeScript.
import {KimicError, kimicError} from './errors.js';
import type {Priority} from './reads.js';
import {nodeModule} from './node.js';
import {hexOf} from './trust.js';

export type WasmSource = URL | string | Response | BufferSource | WebAssembly.Module;

const abiVersion = 3;

export const pending = -1;
export const noExpert = 0xffffffff;

/** KimicVariant. */
export const variantNumbers = {generic: 0, scalar: 1, simd128: 2} as const;
export type VariantName = keyof typeof variantNumbers;

/** KimicCachePolicy. */
export const cachePolicies = ['lru', 'score', 'adaptive'] as const;
export type CachePolicy = (typeof cachePolicies)[number];

/** KimicMerge. */
export const mergeNames = ['average', 'weighted', 'best', 'learned', 'vote', 'cascade'] as const;
export type Merge = (typeof mergeNames)[number];
const headNames = ['softmax', 'sigmoid', 'product-keys'] as const;
export type RouterHead = (typeof headNames)[number];
const strategyNames = ['top-1', 'top-k', 'threshold'] as const;
export type Strategy = (typeof strategyNames)[number];
export type Reason = 'chosen' | 'outranked' | 'below-threshold' | 'router-abstained';

export interface ReadRequest {
  kind: 'read';
  id: number;
  offset: number;
  address: number;
  length: number;
  priority: Priority;
}
export interface LinkRequest {
  kind: 'link';
  id: number;
  address: number;
  length: number;
  firstKernel: number;
  kernelCount: number;
}
export type HostRequest = ReadRequest | LinkRequest;

interface Exports {
  memory: WebAssembly.Memory;
  __indirect_function_table: WebAssembly.Table;
  __stack_pointer: WebAssembly.Global;
  kimic_abi_version(): number;
  kimic_exchange(): number;
  kimic_create(options: number): number;
  kimic_destroy(runtime: number): void;
  kimic_require_digest(runtime: number, digest: number): void;
  kimic_open(runtime: number): number;
  kimic_next_request(runtime: number, lowest: number, request: number): number;
  kimic_complete(runtime: number, request: number, error: number, value: number): number;
  kimic_pack_info(runtime: number, info: number): number;
  kimic_metadata(runtime: number, json: number): number;
  kimic_release_metadata(runtime: number): void;
  kimic_load(runtime: number, expert: number): number;
  kimic_prefetch(runtime: number, expert: number): number;
  kimic_next_experts(runtime: number, expert: number, experts: number, room: number): number;
  kimic_cancel(runtime: number, expert: number): void;
  kimic_expert_info(runtime: number, expert: number, info: number): number;
  kimic_pin(runtime: number, expert: number): number;
  kimic_unpin(runtime: number, expert: number): number;
  kimic_evict(runtime: number, expert: number): number;
  kimic_allocate(runtime: number, bytes: number): number;
  kimic_free(runtime: number, address: number): void;
  kimic_run(runtime: number, expert: number, x: number, rows: number, y: number): number;
  kimic_route(runtime: number, x: number, count: number, choices: number, chosen: number, scores: number): number;
  kimic_explain(
    runtime: number,
    x: number,
    count: number,
    choices: number,
    chosen: number,
    explanations: number
  ): number;
  kimic_run_chosen(runtime: number, choices: number, count: number, merge: number, x: number, y: number): number;
  kimic_ask(
    runtime: number,
    x: number,
    rows: number,
    count: number,
    merge: number,
    choices: number,
    scores: number,
    y: number,
    outputs: number
  ): number;
  kimic_set_recovery(runtime: number, recovery: number): number;
  kimic_admit(runtime: number, expert: number, now: number): number;
  kimic_remedy(runtime: number, ...args: number[]): number;
  kimic_clean_up(runtime: number): void;
  kimic_plan(runtime: number, ...args: number[]): number;
  kimic_run_plan(runtime: number, ...args: number[]): number;
  kimic_set_cache(runtime: number, policy: number, hasAverages: number): number;
  kimic_set_clock(runtime: number, clock: number): number;
  kimic_experience(runtime: number, expert: number, experience: number): number;
  kimic_export_history(runtime: number, bytes: number, room: number, length: number): number;
  kimic_import_history(runtime: number, bytes: number, length: number): number;
  kimic_memory(runtime: number, memory: number): void;
  kimic_stats(runtime: number, stats: number): void;
  kimic_last_error(runtime: number, error: number): void;
}

export interface PackFacts {
  packBytes: number;
  experts: number;
  kernels: number;
  router: RouterFacts | undefined;
  metadataBytes: number;
  /** SHA-256 of the pack's header in hexadecimal: the option `integrity` of this pack is `sha256-` and this. */
  digest: string;
  /** Length of the pack's beginning that the first answer needs, but for the parameters of its expert. */
  hotBytes: number;
}

export interface RouterFacts {
  expert: number;
  routedExperts: number;
  topK: number;
  merge: Merge;
  /** Divides the logits. */
  temperature: number;
  head: RouterHead;
  strategy: Strategy;
  /** How many experts have to agree when outputs are merged by vote. */
  minVotes: number;
  /** The expert that answers when the router abstains. */
  fallback: number | undefined;
}

export interface ExpertFacts {
  inputs: number;
  outputs: number;
  parameterBytes: number;
  kernel: number;
  /** What runs it here. */
  variant: VariantName;
  domain: number;
  confidenceThreshold: number;
}

export interface Choice {
  expert: number;
  /** What the router gives it, 0..1. */
  score: number;
  /** Its part in a weighted answer. */
  weight: number;
}

/** What the router made of one expert. */
export interface Explanation {
  expert: number;
  /** Of the router's network. */
  logit: number;
  /** 0..1. */
  score: number;
  /** What decides on the order: score, bias, and a bonus for experts in memory. */
  selection: number;
  /** That the score has to reach. */
  threshold: number;
  reason: Reason;
}

/** Where memory is, in bytes. */
export interface MemoryUsage {
  /** WebAssembly's linear memory, the module's own data included. */
  linear: number;
  /** What the pack may use, uses, and ever used. */
  cap: number;
  used: number;
  peak: number;
  /** `used` by what it is for. */
  experts: number;
  compressed: number;
  scratch: number;
  host: number;
  other: number;
  /** The largest block that is to be had without evicting an expert. */
  largestFree: number;
  pinnedBytes: number;
  /** How often memory was taken so far. */
  allocations: number;
  residentExperts: number;
  pinnedExperts: number;
}

export interface Stats {
  arenaCap: number;
  arenaUsed: number;
  arenaPeak: number;
  residentBytes: number;
  residentExperts: number;
  linkedKernels: number;
  hits: number;
  misses: number;
  evictions: number;
  /** Experts that were fetched ahead, and how many of them were used later. */
  prefetched: number;
  prefetchedUsed: number;
}

const choiceBytes = 12;
/** kMaxTransitions: an expert has no more next ones. */
const mostTransitions = 16;

/** The beginning of KimicMemory. */
const memoryNames =
  'linear cap used peak other experts compressed scratch host largestFree pinnedBytes allocations'.split(' ');

/** One instance of the runtime's module, with one runtime in it. Addresses and sizes are plain numbers. */
export class Runtime {
  private readonly exchange: number;
  private readonly handle: number;
  private view: DataView;

  private constructor(
    private readonly exports: Exports,
    arenaBytes: number,
    variants: number,
    residentBonus: number
  ) {
    const version = exports.kimic_abi_version();
    if (version !== abiVersion) throw kimicError('RuntimeMismatch', {args: [version, abiVersion]});
    this.exchange = exports.kimic_exchange();
    this.view = new DataView(exports.memory.buffer);
    this.view.setBigUint64(this.exchange, BigInt(arenaBytes), true);
    this.view.setUint32(this.exchange + 8, variants, true);
    if (!(residentBonus >= 0 && residentBonus <= 1)) throw kimicError('OptionMalformed', {subject: 'residentBonus'});
    this.view.setFloat32(this.exchange + 12, residentBonus, true);
    this.handle = exports.kimic_create(this.exchange) >>> 0;
    if (!this.handle) throw kimicError('ArenaUnavailable', {args: [arenaBytes, 131072, 0xffff0000]});
  }

  static async create(
    module: WebAssembly.Module,
    arenaBytes: number,
    variants: number,
    residentBonus: number
  ): Promise<Runtime> {
    const instance = await WebAssembly.instantiate(module, {});
    return new Runtime(instance.exports as unknown as Exports, arenaBytes, variants, residentBonus);
  }

  get memory(): WebAssembly.Memory {
    return this.exports.memory;
  }
  get table(): WebAssembly.Table {
    return this.exports.__indirect_function_table;
  }
  get stackPointer(): WebAssembly.Global {
    return this.exports.__stack_pointer;
  }

  /** The memory as it is now; it moves when it grows. */
  private get data(): DataView {
    if (this.view.buffer !== this.exports.memory.buffer) this.view = new DataView(this.exports.memory.buffer);
    return this.view;
  }
  bytes(address: number, length: number): Uint8Array {
    return new Uint8Array(this.exports.memory.buffer, address, length);
  }
  floats(address: number, count: number): Float32Array {
    return new Float32Array(this.exports.memory.buffer, address, count);
  }
  private u32(offset: number): number {
    return this.data.getUint32(this.exchange + offset, true);
  }
  private u64(offset: number): number {
    return Number(this.data.getBigUint64(this.exchange + offset, true));
  }
  private f32(offset: number): number {
    return this.data.getFloat32(this.exchange + offset, true);
  }

  lastError(): KimicError {
    this.exports.kimic_last_error(this.handle, this.exchange);
    return new KimicError(this.u32(0), {args: [this.u64(8), this.u64(16), this.u64(24)]});
  }
  /** Throws the error that `status` says. */
  check(status: number): void {
    if (status > 0) throw this.lastError();
  }

  destroy(): void {
    this.exports.kimic_destroy(this.handle);
  }
  requireDigest(digest: Uint8Array): void {
    this.bytes(this.exchange, digest.length).set(digest);
    this.exports.kimic_require_digest(this.handle, this.exchange);
  }
  open(): number {
    return this.exports.kimic_open(this.handle);
  }

  /** The next request of priority `lowest` or higher. */
  nextRequest(lowest: Priority): HostRequest | undefined {
    if (!this.exports.kimic_next_request(this.handle, lowest, this.exchange)) return undefined;
    const id = this.u32(0);
    const address = this.u64(16);
    const length = this.u32(24);
    if (this.u32(4) === 1)
      return {kind: 'read', id, offset: this.u64(8), address, length, priority: this.u32(40) as Priority};
    return {kind: 'link', id, address, length, firstKernel: this.u32(28), kernelCount: this.u32(32)};
  }
  complete(request: number, error: number, value: number): void {
    this.check(this.exports.kimic_complete(this.handle, request, error, value));
  }

  packFacts(): PackFacts {
    this.check(this.exports.kimic_pack_info(this.handle, this.exchange));
    const expert = this.u32(16);
    return {
      packBytes: this.u64(0),
      experts: this.u32(8),
      kernels: this.u32(12),
      router:
        expert === noExpert
          ? undefined
          : {
              expert,
              routedExperts: this.u32(20),
              topK: this.u32(24),
              merge: mergeNames[this.u32(28)] ?? 'average',
              temperature: this.f32(32),
              head: headNames[this.u32(72)] ?? 'softmax',
              strategy: strategyNames[this.u32(76)] ?? 'top-k',
              minVotes: this.u32(80),
              fallback: this.u32(84) === noExpert ? undefined : this.u32(84),
            },
      metadataBytes: this.u32(36),
      digest: hexOf(this.bytes(this.exchange + 40, 32)),
      hotBytes: this.u64(88),
    };
  }

  metadata(): number {
    return this.exports.kimic_metadata(this.handle, this.exchange);
  }
  /** The metadata after metadata() returned 0; releases them in the arena. */
  takeMetadata(): string {
    this.check(this.metadata());
    const text = new TextDecoder().decode(this.bytes(this.u64(0), this.u64(8)));
    this.exports.kimic_release_metadata(this.handle);
    return text;
  }

  load(expert: number): number {
    return this.exports.kimic_load(this.handle, expert);
  }
  prefetch(expert: number): number {
    return this.exports.kimic_prefetch(this.handle, expert);
  }
  nextExperts(expert: number): number[] {
    const count = this.exports.kimic_next_experts(this.handle, expert, this.exchange, mostTransitions);
    return Array.from({length: count}, (_, i) => this.u32(4 * i));
  }
  cancel(expert: number): void {
    this.exports.kimic_cancel(this.handle, expert);
  }
  expertFacts(expert: number): ExpertFacts {
    this.check(this.exports.kimic_expert_info(this.handle, expert, this.exchange));
    const variant = this.u32(16);
    return {
      inputs: this.u32(0),
      outputs: this.u32(4),
      parameterBytes: this.u32(8),
      kernel: this.u32(12),
      variant:
        variant === variantNumbers.simd128 ? 'simd128' : variant === variantNumbers.scalar ? 'scalar' : 'generic',
      domain: this.u32(20),
      confidenceThreshold: this.f32(24),
    };
  }
  pin(expert: number): void {
    this.check(this.exports.kimic_pin(this.handle, expert));
  }
  unpin(expert: number): void {
    this.check(this.exports.kimic_unpin(this.handle, expert));
  }
  evict(expert: number): void {
    this.check(this.exports.kimic_evict(this.handle, expert));
  }

  allocate(bytes: number): number {
    const address = this.exports.kimic_allocate(this.handle, bytes) >>> 0;
    if (!address) throw this.lastError();
    return address;
  }
  free(address: number): void {
    this.exports.kimic_free(this.handle, address);
  }

  run(expert: number, x: number, rows: number, y: number): void {
    const status = this.exports.kimic_run(this.handle, expert, x, rows, y);
    if (status) this.check(status);
  }

  /** `choices` has room for `count` or the pack's top-k of them, `scores` for all routed experts. */
  route(x: number, count: number, choices: number, scores: number): Choice[] {
    this.check(this.exports.kimic_route(this.handle, x, count, choices, this.exchange, scores));
    return this.choicesAt(choices);
  }
  /** The best expert, or noExpert; nothing is made for the garbage collector. */
  best(x: number, choice: number): number {
    const status = this.exports.kimic_route(this.handle, x, 1, choice, this.exchange, 0);
    if (status) this.check(status);
    return this.u32(0) ? this.data.getUint32(choice, true) : noExpert;
  }
  /** After a call that chose: what was chosen. */
  choicesAt(choices: number): Choice[] {
    return Array.from({length: this.u32(0)}, (_, i) => {
      const at = choices + i * choiceBytes;
      return {
        expert: this.data.getUint32(at, true),
        score: this.data.getFloat32(at + 4, true),
        weight: this.data.getFloat32(at + 8, true),
      };
    });
  }
  static choicesBytes(count: number): number {
    return count * choiceBytes;
  }
  putChoices(at: number, choices: readonly Choice[]): void {
    choices.forEach((choice, i) => {
      this.data.setUint32(at + i * choiceBytes, choice.expert, true);
      this.data.setFloat32(at + i * choiceBytes + 4, choice.score, true);
      this.data.setFloat32(at + i * choiceBytes + 8, choice.weight, true);
    });
  }
  runChosen(choices: readonly Choice[], at: number, merge: Merge, x: number, y: number): void {
    this.putChoices(at, choices);
    this.check(this.exports.kimic_run_chosen(this.handle, at, choices.length, this.numberOf(merge), x, y));
  }

  /** KimicMerge. */
  numberOf(merge: Merge): number {
    return mergeNames.indexOf(merge);
  }

  /** 0, or the status with which nothing was computed. `y` gets `outputs` numbers per row. */
  ask(x: number, rows: number, count: number, merge: Merge, choices: number, y: number, outputs: number): number {
    return this.exports.kimic_ask(this.handle, x, rows, count, this.numberOf(merge), choices, 0, y, outputs);
  }

  /** Takes back the loads that ask() started; gives one of the experts that are missing. */
  withdraw(router: number, choices: number, count: number): number {
    const all = Array.from({length: count}, (_, i) => this.data.getUint32(choices + i * choiceBytes, true));
    const experts = all.filter(expert => expert !== noExpert); // where fewer than `count` answer
    const absent = [router, ...experts].find(expert =>
      this.exports.kimic_expert_info(this.handle, expert, this.exchange)
    );
    for (const expert of [router, ...experts]) this.exports.kimic_cancel(this.handle, expert);
    return absent ?? router;
  }

  /** Calls an export that only few packs need. */
  invoke(name: keyof Exports & `kimic_${string}`, ...args: number[]): number {
    return (this.exports[name] as (...args: number[]) => number)(this.handle, ...args);
  }
  /** Where structs pass, in `view`. */
  get passage(): {address: number; view: DataView} {
    return {address: this.exchange, view: this.data};
  }

  memoryUsage(): MemoryUsage {
    this.exports.kimic_memory(this.handle, this.exchange);
    const sizes = memoryNames.map((name, i) => [name, this.u64(8 * i)]);
    return {...Object.fromEntries(sizes), residentExperts: this.u32(96), pinnedExperts: this.u32(100)} as MemoryUsage;
  }

  stats(): Stats {
    this.exports.kimic_stats(this.handle, this.exchange);
    return {
      arenaCap: this.u64(0),
      arenaUsed: this.u64(8),
      arenaPeak: this.u64(16),
      residentBytes: this.u64(24),
      residentExperts: this.u32(32),
      linkedKernels: this.u32(36),
      hits: this.u64(40),
      misses: this.u64(48),
      evictions: this.u64(56),
      prefetched: this.u32(64),
      prefetchedUsed: this.u32(68),
    };
  }
}

/** A string or URL; asked first, because in Node to name Response loads all that belongs to it: 25 ms. */
function isAddress(source: unknown): source is string | URL {
  return typeof source === 'string' || source instanceof URL;
}

async function moduleBytes(source: URL | string | Response, signal: AbortSignal | undefined): Promise<BufferSource> {
  const subject = isAddress(source) ? String(source) : source.url;
  try {
    const fs = await nodeModule('node:fs');
    if (fs && isAddress(source) && !/^(https?|blob|data):/i.test(subject))
      return await fs.promises.readFile(/^file:/i.test(subject) ? new URL(subject) : subject);
    const response = isAddress(source) ? await fetch(source, signal ? {signal} : {}) : source;
    if (!response.ok) throw new Error(`status ${response.status}`);
    return await response.arrayBuffer();
  } catch (cause) {
    throw kimicError('RuntimeNotFound', {
      subject,
      cause,
      hint: 'serve the .wasm files beside the script, pass them as the options wasm and partsWasm, or import kimic/inline',
    });
  }
}

/** Compiles a module of kimic from wherever it is. */
export async function compileModule(source: WasmSource, signal?: AbortSignal): Promise<WebAssembly.Module> {
  if (typeof WebAssembly !== 'object') throw kimicError('WasmUnavailable');
  if (source instanceof WebAssembly.Module) return source;
  const bytes = isAddress(source) || source instanceof Response ? await moduleBytes(source, signal) : source;
  const view =
    bytes instanceof ArrayBuffer
      ? new Uint8Array(bytes)
      : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view[0] !== 0 || view[1] !== 0x61 || view[2] !== 0x73 || view[3] !== 0x6d)
    throw kimicError('RuntimeNotFound', {
      hint: view[0] === 0x3c ? 'got an HTML page instead: the file is not served' : 'these bytes are not WebAssembly',
    });
  try {
    return await WebAssembly.compile(bytes);
  } catch (cause) {
    throw kimicError('WasmUnavailable', {
      cause,
      hint: "a page with a content security policy needs 'wasm-unsafe-eval'",
    });
  }
}

let compiled: Promise<WebAssembly.Module> | undefined;

// Compiled once; a failure is tried again.
/** The module of kimic_rt.wasm beside the script. */
export function defaultModule(): Promise<WebAssembly.Module> {
  compiled ??= compileModule(new URL('./kimic_rt.wasm', import.meta.url));
  compiled.catch(() => (compiled = undefined));
  return compiled;
}
