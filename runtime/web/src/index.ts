// kimic: opens packs of compiled experts and runs them. See Pack for what an open pack can do.
export {KimicError, type ErrorKind} from './errors.js';
export type {PackCache} from './cache.js';
export type {NetworkOptions} from './http.js';
export type {Experience, History} from './history.js';
export type {EngineOption} from './linker.js';
export {
  open,
  Pack,
  type AskOptions,
  type ExpertMetadata,
  type ExpertRef,
  type OpenOptions,
  type PackMetadata,
  type RouteOptions,
  type RouteResult,
  type RoutedRunOptions,
  type RoutedRunResult,
  type RunOptions,
} from './pack.js';
export type {
  CachePolicy,
  Choice,
  ExpertFacts,
  Explanation,
  MemoryUsage,
  Merge,
  PackFacts,
  Reason,
  RouterFacts,
  RouterHead,
  Stats,
  Strategy,
  VariantName,
  WasmSource,
} from './runtime.js';
export type {Plan, PlanStep} from './plan.js';
export type {RecoveryCounts, RecoveryOptions} from './recovery.js';
export type {ByteSource, Source, SourceOptions} from './source.js';
export type {TrustOptions} from './trust.js';
export type {WarmUpOptions, WarmUpReport} from './warmup.js';
