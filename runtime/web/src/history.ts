// What was seen of a pack's experts, for the next visit: runtime/include/kimic/History.h in TypeScript.
import {addErrors, kimicError} from './errors.js';
import {partsErrorLines} from './errorsOfParts.generated.js';
import type {Pack} from './pack.js';
import type {Runtime} from './runtime.js';

addErrors(partsErrorLines);

/** What is remembered of one expert. The first three are in 0..1, and 0.5 of an expert that is not remembered. */
export interface Experience {
  /** Share of runs among runs and loads that failed. */
  success: number;
  /** Its largest output, or, of a single one, the larger of it and 1 minus it. */
  confidence: number;
  /** microseconds / (microseconds + 100). */
  latency: number;
  microseconds: number;
  /** Runs and loads that failed; 0: not remembered. */
  runs: number;
}

// (module (import "e" "f" (func (result f64))) (export "f" (func 0))): a table takes no functions of JavaScript.
const clockModule = new Uint8Array([
  0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 5, 1, 0x60, 0, 1, 0x7c, 2, 7, 1, 1, 0x65, 1, 0x66, 0, 0, 7, 5, 1, 1, 0x66, 0, 0,
]);

/** Moving averages of what experts did, of those 1,024 that were used last. Browsers' clocks may be coarse. */
export class History {
  private constructor(
    private readonly pack: Pack,
    private readonly runtime: Runtime
  ) {}

  /** @internal Times runs from now on; `earlier`: what export() gave. */
  static async start(pack: Pack, runtime: Runtime, earlier: Uint8Array | true): Promise<History> {
    const module = await WebAssembly.compile(clockModule).catch(cause => {
      throw kimicError('WasmUnavailable', {cause});
    });
    const {exports} = await WebAssembly.instantiate(module, {e: {f: () => performance.now() * 1000}});
    const history = new History(pack, runtime);
    await pack.until(() => runtime.invoke('kimic_set_clock', 0)); // reads the parts
    pack.guard(() => {
      if (earlier !== true)
        history.pass(earlier.length, at => {
          runtime.bytes(at, earlier.length).set(earlier);
          runtime.check(runtime.invoke('kimic_import_history', at, earlier.length));
        });
      const index = runtime.table.grow(1);
      runtime.table.set(index, exports.f);
      runtime.check(runtime.invoke('kimic_set_clock', index));
    });
    return history;
  }

  /** What is remembered of an expert: something to choose by, or features of a router. */
  of(expert: number): Experience {
    return this.pack.guard(() => {
      this.runtime.check(this.runtime.invoke('kimic_experience', expert, this.runtime.passage.address));
      const {address, view} = this.runtime.passage;
      const [success, confidence, latency, microseconds] = [0, 4, 8, 12].map(at =>
        view.getFloat32(address + at, true)
      ) as [number, number, number, number];
      return {success, confidence, latency, microseconds, runs: view.getUint32(address + 16, true)};
    });
  }

  /** Bytes for OpenOptions.history of the next visit. */
  export(): Uint8Array {
    const {runtime} = this;
    return this.pack.guard(() => {
      const lengthAt = runtime.passage.address;
      const length = () => runtime.passage.view.getUint32(lengthAt, true);
      runtime.check(runtime.invoke('kimic_export_history', 0, 0, lengthAt));
      const bytes = length();
      return this.pass(bytes, at => {
        runtime.check(runtime.invoke('kimic_export_history', at, bytes, lengthAt));
        return runtime.bytes(at, length()).slice();
      });
    });
  }

  /** Calls `use` with memory of the runtime. */
  private pass<T>(bytes: number, use: (address: number) => T): T {
    const address = this.runtime.allocate(bytes);
    try {
      return use(address);
    } finally {
      this.runtime.free(address);
    }
  }
}
