// Whom a pack must come from before anything of it is used.
import {kimicError} from './errors.js';

export interface TrustOptions {
  /** `sha256-` and the pack's digest, as `kimic inspect` shows it (hexadecimal) or in base64. No other pack opens. */
  integrity?: string;
  /** Opens packs from other origins although nothing vouches for them. */
  allowUnsigned?: boolean;
}

/** The 32 bytes that an option names in hexadecimal or base64; OptionMalformed. */
function digestOf(text: string, option: string): Uint8Array {
  const fail = () => kimicError('OptionMalformed', {subject: option, hint: 'expected 32 bytes in hexadecimal or base64'});
  if (/^[0-9a-f]{64}$/i.test(text)) return Uint8Array.from(text.match(/../g)!, pair => parseInt(pair, 16));
  if (!/^[A-Za-z0-9+/]{43}=$/.test(text)) throw fail();
  return Uint8Array.from(atob(text), character => character.charCodeAt(0));
}

export function pinnedDigest({integrity}: TrustOptions): Uint8Array | undefined {
  if (integrity === undefined) return undefined;
  const match = /^sha256-(.*)$/.exec(integrity);
  return digestOf(match?.[1] ?? '', 'integrity');
}

export function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('');
}

/** Whether an address belongs to another origin than this page or worker. Without a page, every server does. */
export function isForeign(url: string): boolean {
  const {location} = globalThis as {location?: Location};
  try {
    const {origin, protocol} = new URL(url, location?.href);
    return protocol !== 'blob:' && protocol !== 'data:' && origin !== location?.origin;
  } catch {
    return true;
  }
}

/** PackNotVouchedFor unless an option, or the origin of the address, says whose pack it is. */
export function requireVoucher(url: string, options: TrustOptions): void {
  if (options.allowUnsigned || options.integrity || !isForeign(url)) return;
  throw kimicError('PackNotVouchedFor', {
    subject: url,
    hint: 'a pack is code: pass integrity, or allowUnsigned if whoever runs that server may run code here',
  });
}
