// Answers in spite of failures: loads are tried again, room is made, other experts stand in, and experts that fail
// again and again are left alone. What to do about which error the runtime decides (runtime/recover); here is who waits
// for what. Loaded only by packs that are opened with the option `recovery`.
import {addErrors, errorKinds, kimicError, KimicError, type ErrorKind} from './errors.js';
import {partsErrorLines} from './errorsOfParts.generated.js';
import type {AskOptions, Pack, PackMetadata, RoutedRunResult, RouteOptions} from './pack.js';
import type {Choice, Runtime} from './runtime.js';
import {pause, untilAborted, withDeadline, type ByteSource} from './source.js';

addErrors(partsErrorLines);

export interface RecoveryOptions {
  /** Loads of one expert before another one is taken; default 4. */
  attempts?: number;
  /** `exponential` (default): each delay is twice the one before. */
  backoff?: 'fixed' | 'exponential';
  /** Before the second attempt; default 50. */
  firstDelayMs?: number;
  /** Default 2000. */
  longestDelayMs?: number;
  /** 0..1, the part of a delay that is left to chance; default 0.5. */
  jitter?: number;
  /** Failures in a row until an expert is left alone; default 5. */
  failuresToOpen?: number;
  /** For how long, before one attempt is allowed again; default 5000. */
  openForMs?: number;
  /** A read without an answer for so long fails with ReadStalled, and what arrives later is dropped; default 15000. */
  patienceMs?: number;
  /** Whether fallbacks, or fewer experts than the router chose, may answer; default true. */
  allowsDegraded?: boolean;
  /** Milliseconds; default performance.now. */
  now?: () => number;
  /** Uniform in [0, 1); default Math.random. */
  random?: () => number;
}

export interface RecoveryCounts {
  retries: number;
  cleanUps: number;
  /** Experts that stood in for others. */
  fallbacks: number;
  /** Experts that were left out of answers. */
  dropped: number;
  /** Loads that were not tried because the expert had failed too often. */
  refused: number;
}

/** KimicRemedy. */
const remedies = ['retry', 'evict', 'fallback', 'fail'] as const;
type Remedy = (typeof remedies)[number];
/** Kinds of errors of all rows at once after which each row is tried by itself. */
const passing: readonly ErrorKind[] = ['ResourceExhausted', 'Unavailable', 'DataLoss'];

export class Recovery {
  readonly counts: RecoveryCounts = {retries: 0, cleanUps: 0, fallbacks: 0, dropped: 0, refused: 0};
  private readonly now: () => number;
  private readonly random: () => number;
  private readonly allowsDegraded: boolean;

  constructor(
    private readonly pack: Pack,
    private readonly runtime: Runtime,
    options: RecoveryOptions
  ) {
    this.now = options.now ?? (() => performance.now());
    this.random = options.random ?? Math.random;
    this.allowsDegraded = options.allowsDegraded ?? true;
    const {address, view} = runtime.passage;
    view.setFloat64(address, durationOf(options, 'firstDelayMs', 50), true);
    view.setFloat64(address + 8, durationOf(options, 'longestDelayMs', 2000), true);
    view.setFloat64(address + 16, durationOf(options, 'openForMs', 5000), true);
    view.setUint32(address + 24, Math.min(options.attempts ?? 4, 0xffffffff), true);
    view.setUint32(address + 28, Math.min(options.failuresToOpen ?? 5, 0xffffffff), true);
    view.setUint32(address + 32, options.backoff === 'fixed' ? 0 : 1, true);
    view.setFloat32(address + 36, options.jitter ?? 0.5, true);
    runtime.check(runtime.invoke('kimic_set_recovery', address));
  }

  /** Throws why the expert must not be tried now. */
  private admit(expert: number): void {
    if (!this.pack.guard(() => this.runtime.invoke('kimic_admit', expert, this.now()))) return;
    ++this.counts.refused;
    throw new Loss(this.runtime.lastError(), true);
  }

  /** What to do after an attempt that ended well or with `failure`. */
  private remedy(
    expert: number,
    failure: KimicError | undefined,
    attempt: number,
    hasCleanedUp: boolean
  ): [Remedy, number] {
    const kind = failure ? errorKinds.indexOf(failure.kind) + 1 : 0; // ErrorKind
    const {address} = this.runtime.passage;
    const args = [expert, kind, attempt, Number(hasCleanedUp), this.now(), this.random(), address];
    const remedy = this.pack.guard(() => this.runtime.invoke('kimic_remedy', ...args));
    return [remedies[remedy]!, this.runtime.passage.view.getFloat64(address, true)];
  }

  /** Loads and pins the expert. Throws Loss. */
  async obtain(expert: number, signal: AbortSignal | undefined): Promise<void> {
    let hasCleanedUp = false;
    for (let attempt = 1; ; ++attempt) {
      this.admit(expert);
      const failure = await this.pack.load(expert, {pin: true, ...(signal && {signal})}).then(
        () => undefined,
        error => (error instanceof KimicError ? error : kimicError('SourceReadFailed', {cause: error}))
      );
      const [remedy, delayMs] = this.remedy(expert, failure, attempt, hasCleanedUp);
      if (!failure) return;
      if (remedy === 'retry') {
        ++this.counts.retries;
        await pause(Math.max(1, delayMs), signal);
      } else if (remedy === 'evict') {
        ++this.counts.cleanUps;
        hasCleanedUp = true;
        this.pack.guard(() => this.runtime.invoke('kimic_clean_up'));
      } else {
        throw new Loss(failure, remedy === 'fallback');
      }
    }
  }

  /** Calls `body` while the router is loaded. */
  async withRouter<T>(signal: AbortSignal | undefined, body: () => Promise<T> | T): Promise<T> {
    const {expert} = this.pack.info.router!;
    await this.obtain(expert, signal).catch(loss => {
      throw loss instanceof Loss ? loss.error : loss;
    });
    try {
      return await body();
    } finally {
      if (!this.pack.isDisposed) this.pack.unpin(expert);
    }
  }

  /** Pack.ask(): at once if all is resident and there is room for all rows, else row by row. */
  async ask(input: Float32Array, options: AskOptions): Promise<Float32Array> {
    const {pack} = this;
    try {
      const known = pack.guard(() => pack.askResident(input, options));
      if (known) return known;
    } catch (error) {
      if (!(error instanceof KimicError && passing.includes(error.kind))) throw error;
    }
    const {signal, merge} = options;
    const {inputs} = await this.withRouter(signal, () => this.runtime.expertFacts(pack.info.router!.expert));
    const rows = pack.rowsOf(input, inputs);
    let output = options.out ?? new Float32Array(0);
    for (let row = 0; row < rows; ++row) {
      const part = input.subarray(row * inputs, (row + 1) * inputs);
      const answer = await this.answer(part, options, choices => pack.runChoices(choices, part, merge ? {merge} : {}));
      pack.answerLength ||= answer.output.length;
      const {length} = answer.output;
      if (length !== pack.answerLength)
        throw kimicError('OutputsDiffer', {args: [answer.choices[0]!.expert, length, pack.answerLength]});
      if (!options.out && row === 0) output = new Float32Array(rows * length);
      if (output.length < rows * length) throw kimicError('OutputLength', {args: [output.length, rows * length]});
      output.set(answer.output, row * length);
      if (answer.reason) options.onDegraded?.(answer.reason, row);
    }
    return output;
  }

  /** Routes one row, runs the chosen experts or those that stand in for them, and merges. */
  answer(
    input: Float32Array,
    options: RouteOptions,
    run: (choices: readonly Choice[]) => Float32Array
  ): Promise<RoutedRunResult> {
    return this.withRouter(options.signal, () => this.answerRouted(input, options, run));
  }

  private async answerRouted(
    input: Float32Array,
    options: RouteOptions,
    run: (choices: readonly Choice[]) => Float32Array
  ): Promise<RoutedRunResult> {
    const {signal} = options;
    const pinned: number[] = [];
    let reason: KimicError | undefined;
    try {
      const route = await this.pack.route(input, options);
      if (route.choices.length === 0) throw kimicError('RouterAbstained');
      const taken = new Set(route.choices.map(choice => choice.expert));
      const slots = await Promise.allSettled(
        route.choices.map(async choice => {
          for (let {expert} = choice; ;) {
            try {
              await this.obtain(expert, signal);
              pinned.push(expert);
              return {...choice, expert};
            } catch (loss) {
              if (!(loss instanceof Loss)) throw loss;
              if (!this.allowsDegraded || loss.error.kind === 'Cancelled') throw loss.error;
              reason = loss.error;
              const other = loss.mayBeReplaced ? await this.substitute(expert, taken, route.scores, signal) : undefined;
              if (other === undefined) {
                ++this.counts.dropped;
                return undefined;
              }
              ++this.counts.fallbacks;
              expert = other;
            }
          }
        })
      );
      const choices: Choice[] = [];
      for (const slot of slots) {
        if (slot.status === 'rejected') throw slot.reason;
        if (slot.value) choices.push(slot.value);
      }
      if (choices.length === 0) throw reason!;
      // Those that are there share the weight of those that are not.
      const weightOf = (some: readonly Choice[]) => some.reduce((sum, choice) => sum + choice.weight, 0);
      const there = weightOf(choices);
      if (choices.length < route.choices.length && there > 0)
        for (const choice of choices) choice.weight *= weightOf(route.choices) / there;
      return {...route, choices, output: this.pack.guard(() => run(choices)), ...(reason && {reason})};
    } finally {
      if (!this.pack.isDisposed) for (const expert of pinned) this.pack.unpin(expert);
    }
  }

  /**
   * Its fallback, else the routed expert of its domain that the router likes best; undefined if there is none. `taken`,
   * which it is added to, are those that were chosen for this row or stood in.
   */
  private async substitute(
    lost: number,
    taken: Set<number>,
    scores: Float32Array,
    signal: AbortSignal | undefined
  ): Promise<number | undefined> {
    const {experts = []} = await this.pack.metadata(signal ? {signal} : {}).catch((): PackMetadata => ({}));
    const facts = experts[lost];
    if (!facts) return undefined;
    const {fallback, domain} = facts;
    let best = typeof fallback === 'number' && experts[fallback] && !taken.has(fallback) ? fallback : undefined;
    if (best === undefined)
      scores.forEach((score, expert) => {
        if (experts[expert]?.domain !== domain || taken.has(expert)) return;
        if (best === undefined || score > scores[best]!) best = expert;
      });
    if (best !== undefined) taken.add(best);
    return best;
  }
}

/** An expert that cannot be had. */
class Loss {
  constructor(
    readonly error: KimicError,
    readonly mayBeReplaced: boolean
  ) {}
}

function durationOf(
  options: RecoveryOptions,
  name: 'firstDelayMs' | 'longestDelayMs' | 'openForMs' | 'patienceMs',
  otherwise: number
): number {
  const value = options[name] ?? otherwise;
  if (!(value >= 0)) throw kimicError('OptionMalformed', {subject: `${name}: ${value}`});
  return value;
}

/** The source, whose reads fail if they take longer than `patienceMs`. */
export function patient(source: ByteSource, options: RecoveryOptions): ByteSource {
  const patienceMs = durationOf(options, 'patienceMs', 15_000);
  return {
    ...(source.openBytes !== undefined && {openBytes: source.openBytes}),
    explain: error => source.explain?.(error) ?? error,
    close: () => source.close?.(),
    read: (offset, length, signal) =>
      withDeadline({...(signal && {signal}), deadlineMs: patienceMs}, within =>
        untilAborted(source.read(offset, length, within.signal), within.signal)
      ).catch(error => {
        if (error.code !== 'DeadlinePassed') throw error;
        throw kimicError('ReadStalled', {args: [patienceMs, offset, length], cause: error});
      }),
  };
}
