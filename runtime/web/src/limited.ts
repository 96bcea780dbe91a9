// A limit on the reads under way, for sources that several packs share. Loaded only by pools.
import {untilAborted, type ByteSource} from './source.js';

/** A source with at most `concurrency` reads at a time; the others wait for their turn. */
export class LimitedSource implements ByteSource {
  private active = 0;
  private readonly queue: (() => void)[] = [];
  constructor(
    private readonly source: ByteSource,
    private readonly concurrency: number
  ) {}
  get openBytes(): number {
    return this.source.openBytes ?? 0;
  }
  async read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    await this.turn(signal);
    try {
      return await untilAborted(this.source.read(offset, length, signal), signal);
    } finally {
      this.pass();
    }
  }
  explain(error: Error): Error {
    return this.source.explain?.(error) ?? error;
  }
  async close(): Promise<void> {
    await this.source.close?.();
  }

  private async turn(signal: AbortSignal | undefined): Promise<void> {
    if (this.active < this.concurrency) {
      ++this.active;
      return;
    }
    let go = (): void => undefined;
    const turn = new Promise<void>(resolve => this.queue.push((go = resolve)));
    try {
      await untilAborted(turn, signal);
    } catch (error) {
      const at = this.queue.indexOf(go);
      if (at < 0)
        this.pass(); // it came in the same moment
      else this.queue.splice(at, 1);
      throw error;
    }
  }
  private pass(): void {
    const next = this.queue.shift();
    if (next) next();
    else --this.active;
  }
}
