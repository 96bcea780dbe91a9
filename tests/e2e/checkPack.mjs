// Runs all experts and routes of a pack in this engine and compares every bit with vectors of the native reference.
// Works in pages, workers and Node.

function decode(hex) {
  const bits = new Uint32Array(hex.length / 8);
  for (let i = 0; i < bits.length; ++i) bits[i] = parseInt(hex.slice(8 * i, 8 * i + 8), 16);
  return new Float32Array(bits.buffer);
}

/** NaNs have one sign and payload in the reference and any in an engine; everything else is compared by its bits. */
function difference(found, expected) {
  if (found.length !== expected.length) return `${found.length} numbers instead of ${expected.length}`;
  for (let i = 0; i < found.length; ++i)
    if (!Object.is(found[i], expected[i])) return `number ${i} is ${found[i]}, expected ${expected[i]}`;
  return undefined;
}

/**
 * `kimic` is the package, `vectors` what pack-vectors wrote. Checks run(), runSync(), route() with its explanations and
 * runRouted(), and that the variant that `options` asks for is the one that runs. Returns {experts, rows, numbers,
 * routes, variant, failures}.
 */
export async function checkPack(kimic, source, vectors, options) {
  const pack = await kimic.open(source, options);
  const result = {experts: 0, rows: 0, numbers: 0, routes: 0, variant: '', failures: []};
  const expect = (what, found, expected) => {
    const problem = difference(found, expected);
    result.numbers += expected.length;
    if (problem && result.failures.length < 20) result.failures.push(`${what}: ${problem}`);
  };
  const wanted = options.engine === 'generic' ? 'generic' : options.variant;
  for (const {expert, inputs, outputs, rows, x, y} of vectors.experts) {
    const input = decode(x);
    expect(`expert ${expert}`, await pack.run(expert, input), decode(y));
    expect(`expert ${expert} at once`, pack.runSync(expert, input), decode(y));
    const facts = await pack.expertInfo(expert);
    if (facts.inputs !== inputs || facts.outputs !== outputs)
      result.failures.push(`expert ${expert} is ${facts.inputs}-${facts.outputs}, expected ${inputs}-${outputs}`);
    if (wanted && facts.variant !== wanted) result.failures.push(`expert ${expert} runs ${facts.variant}, not ${wanted}`);
    result.variant = facts.variant;
    ++result.experts;
    result.rows += rows;
  }
  for (const [i, {k, x, choices, scores, explanations, y}] of vectors.routes.entries()) {
    const run = await pack.runRouted(decode(x), {k});
    const explained = (await pack.route(decode(x), {k, explain: true})).explanations;
    expect(`choices of route ${i}`, run.choices.map(c => c.expert), choices.map(c => c.expert));
    for (const key of ['score', 'weight'])
      expect(`${key} of route ${i}`, Float32Array.from(run.choices, c => c[key]), decode(choices.map(c => c[key]).join('')));
    expect(`scores of route ${i}`, run.scores, decode(scores));
    for (const key of ['logit', 'score', 'selection', 'threshold'])
      expect(`${key} in explanation ${i}`, Float32Array.from(explained, e => e[key]), decode(explanations[key]));
    const reasons = explanations.reason.map(n => ['chosen', 'outranked', 'below-threshold', 'router-abstained'][n]);
    expect(`reasons in explanation ${i}`, explained.map(e => e.reason), reasons);
    expect(`output of route ${i}`, run.output, decode(y));
    ++result.routes;
  }
  await pack.dispose();
  return result;
}

/** The ways in which an engine can run a pack. */
export const engines = [
  {engine: 'generic'},
  {engine: 'compiled', variant: 'scalar'},
  {engine: 'compiled', variant: 'simd128'},
];

export function describe(name, result) {
  return `${name}, ${result.variant}: ${result.experts} experts, ${result.rows} rows, ${result.routes} routes, ` +
    `${result.numbers} numbers compared, ${result.failures.length} differ`;
}
