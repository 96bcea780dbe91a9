// kimic with the runtime's module inside the script: one file more to download never fails to be found.
import {Pack, type OpenOptions} from './pack.js';
import {compileRuntime} from './runtime.js';
import type {Source} from './source.js';
import {wasmBase64} from './wasm-inline.js';

export type * from './index.js';
export {KimicError} from './errors.js';
export {Pack};

let compiled: Promise<WebAssembly.Module> | undefined;

function inlineModule(): Promise<WebAssembly.Module> {
  compiled ??= compileRuntime(Uint8Array.from(atob(wasmBase64), c => c.charCodeAt(0)));
  compiled.catch(() => (compiled = undefined));
  return compiled;
}

/** As open() of kimic. */
export function open(source: Source, options: OpenOptions = {}): Promise<Pack> {
  return Pack.open(source, options, inlineModule);
}
