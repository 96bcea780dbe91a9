// Carries requests from the runtime to the host and answers back, for any number of operations at a time.
import {cancelled, KimicError, kimicError} from './errors.js';
import {link, type EngineOption, type Modules} from './linker.js';
import {demanded, prefetch, type Priority, type Reads} from './reads.js';
import {pending, type HostRequest, type ReadRequest, type Runtime} from './runtime.js';
import {untilAborted, type ByteSource} from './source.js';

export class Pump {
  /** Operations that wait, by priority. */
  private readonly waiting: [number, number] = [0, 0];
  private wake: (() => void) | undefined;
  private progress: Promise<void> | undefined;
  /** Host errors that the runtime knows only by number. */
  private readonly failures = new Map<number, KimicError>();
  private closed: KimicError | undefined;

  constructor(
    private readonly runtime: Runtime,
    private readonly source: ByteSource,
    private readonly reads: Reads,
    private readonly engine: EngineOption,
    private readonly modules: Modules
  ) {}

  /** Repeats `ask` after every answer of the host until it does not say pending; throws the error that it says. */
  async until(ask: () => number, signal?: AbortSignal, priority: Priority = demanded): Promise<void> {
    ++this.waiting[priority];
    try {
      for (;;) {
        if (signal?.aborted) throw cancelled(signal);
        const status = this.guard(ask);
        if (status === 0) return this.reads.commit();
        if (status !== pending) {
          const error = this.explain(this.runtime.lastError());
          if (error.kind !== 'DataLoss' && error.code !== 'PackDigest') throw error;
          // What the cache had is gone now: try without it.
          if (!(await this.reads.forget())) throw this.source.explain?.(error) ?? error;
          continue;
        }
        this.dispatch();
        this.progress ??= new Promise(resolve => (this.wake = resolve));
        await untilAborted(this.progress, signal);
      }
    } finally {
      // Reads that nobody waits for any more are stopped; the runtime forgets them.
      if (--this.waiting[priority] === 0) {
        this.reads.cancel(priority);
        if (priority === demanded) this.reads.drop();
      }
    }
  }

  /** Calls into the runtime; after a trap, or when closed, nothing can be called any more. */
  guard<T>(call: () => T): T {
    if (this.closed) throw this.closed;
    try {
      return call();
    } catch (cause) {
      throw this.trapped(cause);
    }
  }
  /** What to throw after a call into the runtime threw `cause`. */
  trapped(cause: unknown): unknown {
    if (!(cause instanceof WebAssembly.RuntimeError)) return cause;
    this.close(kimicError('RuntimeTrapped', {cause}));
    return this.closed;
  }

  /** Stops everything; whoever waits gets `error`. */
  close(error: KimicError): void {
    this.closed ??= error;
    this.reads.close();
    this.notify();
  }
  get isClosed(): boolean {
    return this.closed !== undefined;
  }

  private notify(): void {
    this.wake?.();
    this.wake = this.progress = undefined;
  }

  /** Takes what the runtime asks for; what it only fetches ahead waits until nothing else is under way. */
  private dispatch(): void {
    for (let request; (request = this.runtime.nextRequest(demanded));) void this.answer(request);
    if (this.reads.isIdle) for (let request; (request = this.runtime.nextRequest(prefetch));) void this.answer(request);
  }

  private async answer(request: HostRequest): Promise<void> {
    let error = 0;
    let value = 0;
    try {
      if (request.kind === 'read') value = await this.read(request);
      else value = await link(this.runtime, request, this.engine, this.modules);
    } catch (failure) {
      const known = failure instanceof KimicError ? failure : undefined;
      const args = request.kind === 'read' ? [0, request.offset, request.length] : [0, 0, 0];
      const reported =
        known ??
        kimicError('SourceReadFailed', {args, cause: failure, subject: String((failure as Error)?.message ?? failure)});
      this.failures.set(reported.number, reported);
      error = reported.number;
      value = known?.args[0] ?? 0;
    }
    if (this.closed) return;
    try {
      this.guard(() => this.runtime.complete(request.id, error, value));
    } catch {
      // A trap closed the pump; whoever waits is told.
    }
    this.notify();
  }

  private async read(request: ReadRequest): Promise<number> {
    const bytes = await this.reads.read(request.offset, request.length, request.priority);
    if (this.closed) return 0;
    const delivered = bytes.subarray(0, request.length);
    this.runtime.bytes(request.address, delivered.length).set(delivered);
    return delivered.length;
  }

  private explain(error: KimicError): KimicError {
    const failure = this.failures.get(error.number);
    this.failures.delete(error.number);
    return failure ?? error;
  }
}
