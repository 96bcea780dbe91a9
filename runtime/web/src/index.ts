// kimic: opens packs of compiled experts and runs them. See Pack for what an open pack can do.
import {Pack, type OpenOptions} from './pack.js';
import {defaultModule} from './runtime.js';
import type {Source} from './source.js';

export {KimicError, type ErrorKind} from './errors.js';
export type {PackCache} from './cache.js';
export type {NetworkOptions} from './http.js';
export type {EngineOption} from './linker.js';
export {
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
export type {RecoveryCounts, RecoveryOptions} from './recovery.js';
export type {ByteSource, Source, SourceOptions} from './source.js';
export type {TrustOptions} from './trust.js';
export type {WarmUpOptions, WarmUpReport} from './warmup.js';

/**
 * Opens a pack: bytes, a Blob, a URL (read in ranges), in Node a path, or any ByteSource. Reads its first 16 KiB, of a
 * URL 36.
 */
export function open(source: Source, options: OpenOptions = {}): Promise<Pack> {
  return Pack.open(source, options, defaultModule);
}
