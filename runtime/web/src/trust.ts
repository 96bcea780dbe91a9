// Whom a pack must come from before anything of it is used.
import {kimicError} from './errors.js';

export interface TrustOptions {
  /** `sha256-` and the pack's digest, as `kimic inspect` shows it (hexadecimal) or in base64. No other pack opens. */
  integrity?: string;
  /**
   * Ed25519 public keys of 32 bytes, in hexadecimal or base64. A pack opens if one of them has signed it (`kimic sign`)
   * and no signature of one of them is wrong.
   */
  trustedKeys?: readonly string[];
  /** Opens packs from other origins although nothing vouches for them. */
  allowUnsigned?: boolean;
}

/** The 32 bytes that an option names in hexadecimal or base64; OptionMalformed. */
function bytesOf(text: string, option: string): Uint8Array<ArrayBuffer> {
  if (/^[0-9a-f]{64}$/i.test(text)) return Uint8Array.from(text.match(/../g)!, pair => parseInt(pair, 16));
  if (/^[A-Za-z0-9+/]{43}=$/.test(text)) return Uint8Array.from(atob(text), character => character.charCodeAt(0));
  throw kimicError('OptionMalformed', {subject: option, hint: 'expected 32 bytes in hexadecimal or base64'});
}

export function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('');
}

/** Checks the options, and later what the first bytes of a pack say against them. */
export class Trust {
  readonly digest: Uint8Array | undefined;
  private readonly keys: Uint8Array<ArrayBuffer>[] | undefined;

  constructor(private readonly options: TrustOptions) {
    const {integrity, trustedKeys} = options;
    if (integrity !== undefined) this.digest = bytesOf(/^sha256-(.*)$/.exec(integrity)?.[1] ?? '', 'integrity');
    this.keys = trustedKeys?.map(key => bytesOf(key, 'trustedKeys'));
  }

  /** PackNotVouchedFor unless an option, or the origin of the address, says whose pack it is. */
  requireVoucher(url: string): void {
    if (this.options.allowUnsigned || this.digest || this.keys || !isForeign(url)) return;
    throw kimicError('PackNotVouchedFor', {
      subject: url,
      hint:
        'a pack is code: pass integrity or trustedKeys, ' +
        'or allowUnsigned if whoever runs that server may run code here',
    });
  }

  /**
   * Verifies the signatures in the first bytes of a pack (pack-v1, "Signatures") against the trusted keys, if there are
   * such. SignatureMissing, SignatureWrong, SignatureUncheckable.
   */
  async requireSignature(first: Uint8Array, digest: string): Promise<void> {
    if (!this.keys) return;
    await (await import('./signatures.js')).requireSignature(this.keys, first, bytesOf(digest, ''));
  }
}

/** Whether an address belongs to another origin than this page or worker. Without a page, every server does. */
function isForeign(url: string): boolean {
  const {location} = globalThis as {location?: Location};
  try {
    const {origin, protocol} = new URL(url, location?.href);
    return protocol !== 'blob:' && protocol !== 'data:' && origin !== location?.origin;
  } catch {
    return true;
  }
}
