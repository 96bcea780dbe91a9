// Signatures of packs (pack-v1, "Signatures"). Loaded only by packs that are opened with trusted keys.
import {addErrors, kimicError} from './errors.js';
import {partsErrorLines} from './errorsOfParts.generated.js';

addErrors(partsErrorLines);

/**
 * Verifies the signatures in the first bytes of a pack of this digest against keys.
 * SignatureMissing, SignatureWrong, SignatureUncheckable.
 */
export async function requireSignature(
  keys: readonly Uint8Array<ArrayBuffer>[],
  first: Uint8Array,
  digest: Uint8Array
): Promise<void> {
  const message = new Uint8Array([...new TextEncoder().encode('kimic-pack-v1\0'), ...digest]);
  let [used, good] = [0, 0];
  for (let slot = 0; slot < 4; ++slot) {
    const at = 256 + 96 * slot;
    const signer = first.subarray(at, at + 32);
    const key = keys.find(key => key.every((byte, i) => byte === signer[i]));
    if (signer.some(byte => byte)) ++used;
    if (!key) continue;
    if (!(await verify(key, first.slice(at + 32, at + 96), message)))
      throw kimicError('SignatureWrong', {args: [slot]});
    ++good;
  }
  if (!good) throw kimicError('SignatureMissing', {args: [used]});
}

async function verify(key: BufferSource, signature: BufferSource, message: BufferSource): Promise<boolean> {
  try {
    const {subtle} = await webCrypto();
    const imported = await subtle.importKey('raw', key, 'Ed25519', false, ['verify']);
    return await subtle.verify('Ed25519', imported, signature, message);
  } catch (cause) {
    const hint = 'it needs https or localhost, and a browser with Ed25519; or pass integrity';
    throw kimicError('SignatureUncheckable', {cause, hint});
  }
}

/** Node 18 has it in a module only. */
async function webCrypto(): Promise<Crypto> {
  const name = 'node:crypto';
  return globalThis.crypto ?? (await import(name)).webcrypto;
}
