// Bringing kernels to the engine's best compiler before they are needed.
//
// Engines start WebAssembly in a quick compiler whose code is 2 to 3 times slower, and compile functions anew in the
// background when they have been called often enough. There is no way to ask for it but calling: some hundred
// microseconds of made-up rows for each kernel in turn, a pause in which the new code can be installed, and again until
// no kernel gets faster.
import {cancelled} from './errors.js';
import type {ExpertRef, Pack} from './pack.js';

export interface WarmUpOptions {
  /** Whose kernels; experts that share a kernel warm it up together. Default: those used so far, and the router. */
  experts?: readonly ExpertRef[];
  /** The most time that it may take, ms; default 50. */
  budgetMs?: number;
  signal?: AbortSignal;
}

export interface WarmUpReport {
  /** Per kernel: nanoseconds a call with one row, at first and in the end. */
  kernels: {kernel: number; expert: number; calls: number; before: number; after: number}[];
  /** Milliseconds that it took, without loading. */
  ms: number;
}

/** A kernel gets this many calls at least: fewer do not make an engine start its best compiler. */
const leastCalls = 4000;
/** One turn of one kernel, ms: much longer than the coarsest clock of a browser, shorter than a frame. */
const turnMs = 1;

export async function warmUp(pack: Pack, experts: readonly number[], options: WarmUpOptions): Promise<WarmUpReport> {
  const {signal, budgetMs = 50} = options;
  const byKernel = new Map<number, {expert: number; input: Float32Array; out: Float32Array}>();
  for (const expert of experts) {
    const {kernel, inputs, outputs, variant} = await pack.expertInfo(expert, {...(signal && {signal})});
    if (variant !== 'generic' && !byKernel.has(kernel))
      byKernel.set(kernel, {expert, input: new Float32Array(inputs), out: new Float32Array(outputs)});
  }
  const start = performance.now();
  const tasks = [...byKernel].map(([kernel, {expert, input, out}]) => {
    return {kernel, expert, input, out, calls: 0, before: 0, best: Infinity, flat: 0};
  });
  const isWarm = (task: (typeof tasks)[number]) => task.calls >= leastCalls && task.flat >= 2;
  while (tasks.some(task => !isWarm(task)) && performance.now() - start < budgetMs) {
    for (const task of tasks) {
      if (isWarm(task)) continue;
      const {expert, input, out} = task;
      const begin = performance.now();
      let [end, calls] = [begin, 0];
      for (; end - begin < turnMs && end - start < budgetMs; end = performance.now(), calls += 50)
        for (let i = 0; i < 50; ++i) pack.runSync(expert, input, {out});
      if (!calls) break;
      const each = ((end - begin) * 1e6) / calls;
      task.flat = each > 0.95 * task.best ? task.flat + 1 : 0;
      task.best = Math.min(task.best, each);
      task.before ||= each;
      task.calls += calls;
    }
    // The pause: longer than a microtask, so that the engine can install what it has compiled.
    await new Promise(resolve => setTimeout(resolve));
    if (signal?.aborted) throw cancelled(signal);
  }
  return {
    kernels: tasks.map(({kernel, expert, calls, before, best}) => ({kernel, expert, calls, before, after: best})),
    ms: performance.now() - start,
  };
}
