// The parts of the runtime that few pages need: a module of its own, kimic_parts.wasm, that works on the runtime's memory
// and stack. Read when a pack first needs it: the generic evaluator, the history, cache policies.
import type {Runtime} from './runtime.js';

/** The module beside the script. */
export const partsUrl = new URL('./kimic_parts.wasm', import.meta.url);

export async function instantiateParts(runtime: Runtime, module: WebAssembly.Module): Promise<WebAssembly.Exports> {
  const {memory, stackPointer} = runtime;
  return (await WebAssembly.instantiate(module, {env: {memory, __stack_pointer: stackPointer}})).exports;
}
