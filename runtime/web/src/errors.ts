// Errors with a number, a kind and a sentence from the catalogue that all languages of kimic share.
import {errorKinds, errorLines, type ErrorKind} from './errors.generated.js';

export {errorKinds, type ErrorKind};

/** Name, kind and message template by number; numbers by name. */
const table = new Map<number, readonly [string, ErrorKind, string]>();
const numbers = new Map<string, number>();
/** Adds what a part that is loaded later needs. */
export function addErrors(lines: string): void {
  let last = 0;
  for (const [, step, kind, name, template] of lines.matchAll(/^(\d+)(\w)(\w+) (.*)$/gm)) {
    last += Number(step);
    table.set(last, [name!, errorKinds[kind!.charCodeAt(0) - 97]!, template!]);
    numbers.set(name!, last);
  }
}
addErrors(errorLines);

export interface KimicErrorOptions {
  /** The {0} {1} {2} of the message. */
  args?: readonly number[];
  /** What the reader can do about it. */
  hint?: string;
  /** What the host was doing when it happened: a URL, a path, an expert's name. */
  subject?: string;
  cause?: unknown;
}

/** Everything that kimic throws. `code` is the name in docs/errors.md and never changes meaning. */
export class KimicError extends Error {
  override readonly name = 'KimicError';
  readonly code: string;
  readonly number: number;
  readonly kind: ErrorKind;
  readonly args: readonly number[];
  readonly hint: string | undefined;

  constructor(number: number, options: KimicErrorOptions = {}) {
    const [code, kind, template] = table.get(number) ?? ['Unknown', 'Internal', `error ${number}`];
    const args = options.args ?? [];
    const sentence = template.replace(/\{([0-2])(:x)?\}/g, (_, index: string, hex?: string) =>
      (args[Number(index)] ?? 0).toString(hex ? 16 : 10)
    );
    const subject = options.subject ? `${options.subject}: ` : '';
    super(subject + sentence + (options.hint ? ` (${options.hint})` : ''), {cause: options.cause});
    this.code = code;
    this.number = number;
    this.kind = kind;
    this.args = args;
    this.hint = options.hint;
  }
}

/** The error with this name in the catalogue. */
export function kimicError(code: string, options?: KimicErrorOptions): KimicError {
  return new KimicError(numbers.get(code) ?? 0, options);
}

export function cancelled(signal: AbortSignal | undefined): KimicError {
  return kimicError('OperationCancelled', {cause: signal?.reason});
}
