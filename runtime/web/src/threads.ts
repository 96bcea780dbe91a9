// Module workers: the web's, which Deno and Bun have too, and Node's.
import type {Port} from './channel.js';
import {nodeModule} from './node.js';

export interface Thread extends Port {
  /** Calls `listener` once, with the reason if there is one, when the thread has ended by itself. */
  ended(listener: (cause: unknown) => void): void;
  /** Whether Node's process goes on because of this thread. */
  hold(isHeld: boolean): void;
  terminate(): void;
}

/** A thread that runs pool-worker.js. */
export async function startThread(): Promise<Thread> {
  if (typeof Worker === 'function') {
    const worker = new Worker(new URL('./pool-worker.js', import.meta.url), {type: 'module'});
    return {
      post: message => worker.postMessage(message),
      receive: listener => worker.addEventListener('message', event => listener(event.data)),
      ended: listener =>
        worker.addEventListener(
          'error',
          event => {
            event.preventDefault?.();
            listener(event.message);
          },
          {once: true}
        ),
      hold: () => undefined,
      terminate: () => worker.terminate(),
    };
  }
  const threads = await nodeModule('node:worker_threads');
  const worker = new threads!.Worker(new URL('./pool-worker.js', import.meta.url));
  let last: unknown;
  worker.on('error', error => (last = error));
  return {
    post: message => worker.postMessage(message),
    receive: listener => worker.on('message', listener),
    ended: listener => worker.once('exit', () => listener(last)),
    hold: isHeld => (isHeld ? worker.ref() : worker.unref()),
    terminate: () => void worker.terminate(),
  };
}

/** In a worker: whoever started it. */
export async function parentThread(): Promise<Port> {
  const threads = typeof postMessage === 'function' ? undefined : await nodeModule('node:worker_threads');
  const parent = threads?.parentPort;
  if (!parent) {
    const self = globalThis as unknown as Worker; // the types know no worker's own scope; what is used here is alike
    return {
      post: message => self.postMessage(message),
      receive: listener => self.addEventListener('message', event => listener(event.data)),
    };
  }
  return {
    post: message => parent.postMessage(message),
    receive: listener => parent.on('message', listener),
  };
}
