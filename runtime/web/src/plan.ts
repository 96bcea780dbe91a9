// What an answer takes, and answers that do not fit into memory at once: runtime/include/kimic/Plan.h in TypeScript.
import {addErrors, kimicError, type KimicError} from './errors.js';
import {partsErrorLines} from './errorsOfParts.generated.js';
import type {AskOptions, ExpertRef, Pack, PackMetadata} from './pack.js';
import type {Choice, Merge, Runtime} from './runtime.js';

addErrors(partsErrorLines);

/** One expert that an answer needs. Steps come in the order in which they can run. */
export interface PlanStep {
  expert: number;
  /** 0: it reads the request only; else 1 more than the highest level of the experts that it reads. */
  level: number;
  /** Experts of a group do not read each other and have room side by side; groups run in order. */
  group: number;
  inputs: number;
  outputs: number;
  /** Its parameters, and what has to be read for it. */
  bytes: number;
  missingBytes: number;
  /** Estimate of its run: as measured (OpenOptions.history), else from its size. */
  microseconds: number;
}

export interface Plan {
  steps: PlanStep[];
  groups: number;
  /** Of all steps, one after another. */
  microseconds: number;
  bytes: number;
  missingBytes: number;
  /** Of each chosen expert those that stand in for it, in order. */
  fallbacks: number[][];
}

const mostSteps = 256;
const stepBytes = 48;
const planBytes = 32;
const isDoneAt = 44;

/** A plan in the runtime's memory, until it is freed. */
class StoredPlan {
  readonly at: number;
  private readonly stepsAt: number;
  private readonly choicesAt: number;

  constructor(
    private readonly runtime: Runtime,
    private readonly choices: readonly Choice[]
  ) {
    const bytes = choices.length * 12;
    this.at = runtime.allocate(planBytes + mostSteps * stepBytes + bytes);
    this.stepsAt = this.at + planBytes;
    this.choicesAt = this.stepsAt + mostSteps * stepBytes;
    runtime.putChoices(this.choicesAt, choices);
  }
  private get view(): DataView {
    return this.runtime.passage.view;
  }
  u32(offset: number): number {
    return this.view.getUint32(this.at + offset, true);
  }
  f32(offset: number): number {
    return this.view.getFloat32(this.at + offset, true);
  }
  u64(offset: number): number {
    return Number(this.view.getBigUint64(this.at + offset, true));
  }

  make(): number {
    return this.runtime.invoke('kimic_plan', this.choicesAt, this.choices.length, this.at, this.stepsAt);
  }
  run(merge: Merge, x: number, values: number, y: number): number {
    const {choices, choicesAt, stepsAt, runtime} = this;
    return runtime.invoke(
      'kimic_run_plan',
      stepsAt,
      this.u32(0),
      choicesAt,
      choices.length,
      runtime.numberOf(merge),
      x,
      values,
      y
    );
  }
  /** The row is a new one. */
  begin(): void {
    for (let i = 0; i < this.u32(0); ++i) this.view.setUint32(this.stepsAt + i * stepBytes + isDoneAt, 0, true);
  }
  get values(): number {
    return this.u32(8);
  }
  get steps(): PlanStep[] {
    return Array.from({length: this.u32(0)}, (_, i) => {
      const at = planBytes + i * stepBytes;
      const [expert, level, group, inputs, outputs] = [0, 4, 8, 12, 16].map(offset => this.u32(at + offset)) as [
        number,
        number,
        number,
        number,
        number,
      ];
      const [bytes, missingBytes, microseconds] = [this.u32(at + 24), this.u32(at + 28), this.f32(at + 40)];
      return {expert, level, group, inputs, outputs, bytes, missingBytes, microseconds};
    });
  }
  free(): void {
    this.runtime.free(this.at);
  }
}

async function withPlan<T>(
  pack: Pack,
  runtime: Runtime,
  choices: readonly Choice[],
  signal: AbortSignal | undefined,
  use: (plan: StoredPlan) => T | Promise<T>
): Promise<T> {
  const plan = pack.guard(() => new StoredPlan(runtime, choices));
  try {
    await pack.until(() => plan.make(), signal);
    return await use(plan);
  } finally {
    if (!pack.isDisposed) pack.guard(() => plan.free());
  }
}

/** Pack.plan(). */
export async function planOf(
  pack: Pack,
  runtime: Runtime,
  what: readonly ExpertRef[] | Float32Array,
  options: {k?: number; signal?: AbortSignal}
): Promise<Plan> {
  const choices =
    what instanceof Float32Array
      ? (await pack.route(what, options)).choices
      : (await pack.findAll(what, options)).map(expert => ({expert, score: 1, weight: 1}));
  const {signal} = options;
  return withPlan(pack, runtime, choices, signal, async plan => {
    const {steps} = plan;
    const sizes = {groups: plan.u32(4), microseconds: plan.f32(12), bytes: plan.u64(16), missingBytes: plan.u64(24)};
    const metadata = await pack.metadata(signal ? {signal} : {});
    return {steps, ...sizes, fallbacks: choices.map(({expert}) => fallbacksOf(metadata, expert))};
  });
}

function fallbacksOf({experts}: PackMetadata, expert: number): number[] {
  const chain: number[] = [];
  const all = Array.isArray(experts) ? experts : [];
  for (let next: unknown = expert; (next = all[next as number]?.fallback) !== expert;) {
    if (!Number.isInteger(next) || chain.includes(next as number) || !all[next as number]) break;
    chain.push(next as number);
  }
  return chain;
}

/**
 * The answer of these experts for each of the rows, with no more of them in memory at a time than fit: [rows][outputs].
 * Throws `why`, the error that makes it necessary, if there is only one expert.
 */
export function runInParts(
  pack: Pack,
  runtime: Runtime,
  choices: readonly Choice[],
  merge: Merge,
  input: Float32Array,
  why: KimicError,
  options: {signal?: AbortSignal; out?: Float32Array}
): Promise<Float32Array> {
  return withPlan(pack, runtime, choices, options.signal, async plan => {
    if (plan.steps.length === 1) throw why;
    const first = plan.steps.find(step => step.expert === choices[0]!.expert)!;
    const rows = pack.rowsOf(input, first.inputs);
    const [xBytes, valueBytes] = [first.inputs * 4, plan.values * 4];
    const x = pack.guard(() => runtime.allocate(xBytes + valueBytes + first.outputs * 4));
    try {
      const output = options.out ?? new Float32Array(rows * first.outputs);
      if (output.length < rows * first.outputs)
        throw kimicError('OutputLength', {args: [output.length, rows * first.outputs]});
      for (let row = 0; row < rows; ++row) {
        pack.guard(() => {
          runtime.floats(x, first.inputs).set(input.subarray(row * first.inputs, (row + 1) * first.inputs));
          plan.begin();
        });
        const y = x + xBytes + valueBytes;
        await pack.until(() => plan.run(merge, x, x + xBytes, y), options.signal);
        output.set(runtime.floats(y, first.outputs), row * first.outputs);
      }
      return output;
    } finally {
      if (!pack.isDisposed) pack.guard(() => runtime.free(x));
    }
  });
}

/** The answer row by row; throws `why` if there is only one row and it does not help to answer that in parts. */
export async function askInParts(
  pack: Pack,
  input: Float32Array,
  options: AskOptions,
  why: KimicError
): Promise<Float32Array> {
  const {expert} = pack.info.router!;
  const {inputs} = await pack.expertInfo(expert, options);
  const rows = pack.rowsOf(input, inputs);
  const {out, ...how} = options;
  let output = out;
  for (let row = 0; row < rows; ++row) {
    const {output: y} = await pack
      .runRouted(input.subarray(row * inputs, (row + 1) * inputs), how)
      .catch(error => Promise.reject(rows === 1 && error.code === why.code ? why : error));
    output ??= new Float32Array(rows * y.length);
    if (output.length < rows * y.length) throw kimicError('OutputLength', {args: [output.length, rows * y.length]});
    output.set(y, row * y.length);
  }
  return output!;
}
