// Routing in JavaScript around runtimes that have none: the best experts by the router's outputs, merged by softmax.
// `router` and `experts` are runners of one row each: {set(x), run() -> outputs, now or later}.
export function mixtureOf(rows, {topK, temperature}, router, experts) {
  async function one(x) {
    router.set(x);
    const logits = await router.run();
    const chosen = [];
    for (let k = 0; k < topK; k++) {
      let best = -1;
      for (let i = 0; i < logits.length; i++)
        if (!chosen.includes(i) && (best < 0 || logits[i] > logits[best])) best = i;
      chosen.push(best);
    }
    const shares = chosen.map(i => Math.exp((logits[i] - logits[chosen[0]]) / temperature));
    const sum = shares.reduce((a, b) => a + b);
    let output;
    for (let k = 0; k < topK; k++) {
      experts[chosen[k]].set(x);
      const y = await experts[chosen[k]].run();
      output ??= new Float32Array(y.length);
      const share = shares[k] / sum;
      for (let n = 0; n < y.length; n++) output[n] += share * y[n];
    }
    return {chosen, output};
  }
  return {
    run: r => one(rows[r]),
    async loop(calls) {
      for (let i = 0; i < calls; i++) await one(rows[i % rows.length]);
    },
  };
}

/** openMixture for a peer that opens networks one by one: `openOne(network)` returns a runner of one row. */
export async function openMixture(rows, env, openOne) {
  const experts = [];
  for (let i = 0; i < env.mixture.experts; i++) experts.push(await openOne(`expert${String(i).padStart(2, '0')}`, env.mixture.sizes));
  return mixtureOf(rows, env.mixture, await openOne('router', env.mixture.router), experts);
}
