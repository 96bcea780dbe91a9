// kimic with the runtime's module inside the script: one file more to download never fails to be found.
import {Pack, type OpenOptions} from './pack.js';
import {compileModule} from './runtime.js';
import type {Source} from './source.js';
import {wasmBase64} from './wasm-inline.js';

export type * from './index.js';
export {KimicError} from './errors.js';
export {Pack};

let compiled: Promise<WebAssembly.Module> | undefined;

function bytesOf(base64: string): BufferSource {
  return Uint8Array.from(atob(base64), c => c.charCodeAt(0));
}

function inlineModule(): Promise<WebAssembly.Module> {
  compiled ??= compileModule(bytesOf(wasmBase64));
  compiled.catch(() => (compiled = undefined));
  return compiled;
}

/** As open() of kimic. */
export function open(source: Source, options: OpenOptions = {}): Promise<Pack> {
  return Pack.open(source, options, inlineModule, {
    parts: async () => bytesOf((await import('./parts-inline.js')).wasmBase64),
  });
}
