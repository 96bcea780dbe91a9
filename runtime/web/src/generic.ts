// The generic evaluator, which runs experts where no kernels can be linked: a module of its own, kimic_generic.wasm,
// that works on the runtime's memory and stack. Read when a pack first needs it.
import type {Runtime} from './runtime.js';

/** The module beside the script. */
export const genericUrl = new URL('./kimic_generic.wasm', import.meta.url);

/** The table index of the evaluator. */
export async function linkGeneric(runtime: Runtime, module: WebAssembly.Module): Promise<number> {
  const {exports} = await WebAssembly.instantiate(module, {
    env: {memory: runtime.memory, __stack_pointer: runtime.stackPointer},
  });
  const index = runtime.table.grow(1);
  runtime.table.set(index, exports.kimic_generic);
  return index;
}
