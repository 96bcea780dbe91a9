// Routing alone, in spite of failures. Loaded only by pools: Pack's own calls route as a part of what they do.
import type {Pack} from './pack.js';

/** Calls `body`; in a pack with recovery while its router is loaded. */
export function whileRouted<T>(pack: Pack, signal: AbortSignal | undefined, body: () => Promise<T>): Promise<T> {
  return pack.recovery ? pack.recovery.withRouter(signal, body) : body();
}
