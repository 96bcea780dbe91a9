// Calls in both directions between two threads, with errors that stay what they are.
import {cancelled, KimicError} from './errors.js';

/** What threads have in common: Node's and the browser's. */
export interface Port {
  post(message: unknown): void;
  receive(listener: (message: unknown) => void): void;
}

/** A caught error as it crosses: instances of classes do not. */
export interface PortableError {
  number?: number;
  args?: readonly number[];
  hint?: string | undefined;
  message: string;
}
type Message =
  | {call: number; name: string; args: unknown[]}
  | {cancel: number}
  | {answer: number; value?: unknown; error?: PortableError};

/** Gets a signal that is aborted when the caller does not wait any more. */
export type Handler = (signal: AbortSignal, ...args: any[]) => unknown;

/** An array without the rest of its buffer, which a message would copy too. */
function whole(value: unknown): unknown {
  const isPart = ArrayBuffer.isView(value) && value.byteLength !== value.buffer.byteLength;
  return isPart ? (value as Uint8Array | Float32Array).slice() : value;
}

export class Channel {
  private last = 0;
  /** Why the other side is gone. */
  private failure: {error: unknown} | undefined;
  private readonly waiting = new Map<number, {resolve(value: unknown): void; reject(error: unknown): void}>();
  private readonly running = new Map<number, AbortController>();

  /** `handlers` answer the other side's calls. */
  constructor(
    private readonly port: Port,
    private readonly handlers: Record<string, Handler>
  ) {
    port.receive(message => void this.take(message as Message));
  }

  /** Calls the other side's handler with copies of `args`. */
  call<T>(name: string, args: unknown[], signal?: AbortSignal): Promise<T> {
    if (this.failure) return Promise.reject(this.failure.error);
    if (signal?.aborted) return Promise.reject(cancelled(signal));
    const id = ++this.last;
    return new Promise<T>((resolve, reject) => {
      this.port.post({call: id, name, args: args.map(whole)}); // throws if an argument cannot be sent
      const abort = () => {
        this.waiting.delete(id);
        this.port.post({cancel: id});
        reject(cancelled(signal));
      };
      signal?.addEventListener('abort', abort, {once: true});
      const settle = () => signal?.removeEventListener('abort', abort);
      this.waiting.set(id, {
        resolve: value => (settle(), resolve(value as T)),
        reject: error => (settle(), reject(error)),
      });
    });
  }

  /** How many calls have no answer yet. */
  get pending(): number {
    return this.waiting.size;
  }

  /** The other side is gone: all calls fail with `error`, later ones too. */
  fail(error: unknown): void {
    this.failure ??= {error};
    for (const {reject} of this.waiting.values()) reject(error);
    this.waiting.clear();
    for (const controller of this.running.values()) controller.abort();
  }

  private async take(message: Message): Promise<void> {
    if ('cancel' in message) {
      this.running.get(message.cancel)?.abort();
    } else if ('answer' in message) {
      const call = this.waiting.get(message.answer);
      this.waiting.delete(message.answer);
      if (message.error) call?.reject(revived(message.error));
      else call?.resolve(message.value);
    } else {
      const controller = new AbortController();
      this.running.set(message.call, controller);
      try {
        const value = whole(await this.handlers[message.name]!(controller.signal, ...message.args));
        this.port.post({answer: message.call, value});
      } catch (error) {
        this.port.post({answer: message.call, error: portable(error)});
      } finally {
        this.running.delete(message.call);
      }
    }
  }
}

export function portable(error: unknown): PortableError {
  if (!(error instanceof KimicError)) return {message: String((error as Error)?.message ?? error)};
  const {number, args, hint, message} = error;
  return {number, args, hint, message};
}

export function revived({number, args, hint, message}: PortableError): Error {
  if (number === undefined) return new Error(message);
  const error = new KimicError(number, {...(args && {args}), ...(hint !== undefined && {hint})});
  error.message = message; // with the subject
  return error;
}
