// Compiles kernel modules, instantiates them on the runtime's memory and puts their functions into its table.
import {kimicError} from './errors.js';
import {compileModule, variantNumbers, type LinkRequest, type Runtime, type WasmSource} from './runtime.js';

// (module (func (result v128) i32.const 0 i8x16.splat))
const simd128Module = new Uint8Array([
  0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 5, 1, 0x60, 0, 1, 0x7b, 3, 2, 1, 0, 10, 8, 1, 6, 0, 0x41, 0, 0xfd, 0x0f, 0x0b,
]);
const emptyModule = new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);

/** auto: link kernels where that is allowed, else run generically; compiled: link or fail; generic: never link. */
export type EngineOption = 'auto' | 'compiled' | 'generic';

/** KimicOptions::variants: what this engine can run, or the one variant that the caller wants. */
export function linkableVariants(engine: EngineOption, wanted: 'simd128' | 'scalar' | undefined): number {
  if (engine === 'generic') return 0;
  const hasSimd = WebAssembly.validate(simd128Module);
  if (wanted === 'simd128' && !hasSimd) throw kimicError('VariantUnavailable');
  const bit = (name: 'simd128' | 'scalar') => 1 << (variantNumbers[name] - 1);
  if (wanted) return bit(wanted);
  return bit('scalar') | (hasSimd ? bit('simd128') : 0);
}

/** Compiles the module whose first kernel is this one. */
export type CompileKernels = (bytes: Uint8Array<ArrayBuffer>, firstKernel: number) => Promise<WebAssembly.Module>;

/** Where modules come from that are not of the pack, and where others are compiled. */
export interface Modules {
  compile: CompileKernels;
  /** Of the runtime's parts; default: they are beside the script. */
  parts?(): Promise<WasmSource>;
}

/** The table index of the first function of kernels, or of the runtime's parts. Throws LinkDeclined or LinkFailed. */
export async function link(
  runtime: Runtime,
  request: LinkRequest,
  engine: EngineOption,
  modules: Modules
): Promise<number> {
  const exports = request.length
    ? await kernels(runtime, request, engine, modules)
    : await parts(runtime, modules);
  const first = runtime.table.grow(request.kernelCount);
  for (let i = 0; i < request.kernelCount; ++i) runtime.table.set(first + i, exports[`k${i}`]);
  return first;
}

async function parts(runtime: Runtime, modules: Modules): Promise<WebAssembly.Exports> {
  const {partsUrl, instantiateParts} = await import('./parts.js');
  return instantiateParts(runtime, await compileModule((await modules.parts?.()) ?? partsUrl));
}

async function kernels(
  runtime: Runtime,
  request: LinkRequest,
  engine: EngineOption,
  modules: Modules
): Promise<WebAssembly.Exports> {
  // A copy, because the memory may grow while the module is compiled.
  const bytes = runtime.bytes(request.address, request.length).slice();
  try {
    const module = await modules.compile(bytes, request.firstKernel);
    return (await WebAssembly.instantiate(module, {env: {memory: runtime.memory}})).exports;
  } catch (cause) {
    // Is it this module, or is compiling forbidden here as such?
    const isForbidden = await WebAssembly.compile(emptyModule).then(
      () => false,
      () => true
    );
    throw kimicError(isForbidden && engine === 'auto' ? 'LinkDeclined' : 'LinkFailed', {
      args: [0, request.firstKernel, request.length],
      cause,
    });
  }
}
