// What the router made of every expert. Loaded only when it is asked for.
import type {Choice, Explanation, Reason, Runtime} from './runtime.js';

const reasons: readonly Reason[] = ['chosen', 'outranked', 'below-threshold', 'router-abstained'];
/** sizeof(KimicExplanation). */
export const explanationBytes = 24;

/** Runtime.route() that explains; `at` has room for all experts. */
export function explain(runtime: Runtime, x: number, count: number, choices: number, at: number): Choice[] {
  runtime.check(runtime.invoke('kimic_explain', x, count, choices, runtime.passage.address, at));
  return runtime.choicesAt(choices);
}

export function explanationsAt(runtime: Runtime, at: number, experts: number): Explanation[] {
  const {view} = runtime.passage;
  return Array.from({length: experts}, (_, expert) => {
    const begin = at + expert * explanationBytes;
    const numbers = runtime.floats(begin, 4) as unknown as [number, number, number, number];
    const [logit, score, selection, threshold] = numbers;
    return {expert, logit, score, selection, threshold, reason: reasons[view.getUint32(begin + 16, true)]!};
  });
}
