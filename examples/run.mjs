// Runs every expert of a pack in Node beside its float original, then the router over mixed rows.
//
// Usage: node run.mjs PACK MANIFEST KIMIC   (KIMIC: the kimic tool, which evaluates the originals as FANN does)
import {execFileSync} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {open} from '../runtime/web/dist/index.js';

const [packPath, manifestPath, kimic] = process.argv.slice(2);
const folder = dirname(manifestPath);
const manifest = JSON.parse(readFileSync(manifestPath, 'utf8'));

/** Reads FANN training data: `rows inputs outputs`, then the numbers of each row. */
function readData(path) {
  const [rows, inputs, outputs, ...numbers] = readFileSync(join(folder, path), 'utf8').trim().split(/\s+/).map(Number);
  const row = index => numbers.slice(index * (inputs + outputs), (index + 1) * (inputs + outputs));
  return {
    rows,
    inputs: Array.from({length: rows}, (_, index) => row(index).slice(0, inputs)),
    targets: Array.from({length: rows}, (_, index) => row(index).slice(inputs)),
  };
}

function evaluateOriginal(expert) {
  const network = join(folder, expert.network);
  // fann_run ignores scaling parameters; compiled experts apply them.
  const scale = /^scale_included=1/m.test(readFileSync(network, 'utf8')) ? ['--scale'] : [];
  const data = join(folder, expert.test);
  const text = execFileSync(kimic, ['eval', network, '--data', data, '--json', ...scale], {maxBuffer: 1 << 28});
  return JSON.parse(text).outputs;
}

const argmax = values => values.indexOf(Math.max(...values));
const rowsOf = (values, width) => Array.from({length: values.length / width}, (_, r) => [...values.slice(r * width, (r + 1) * width)]);

/** Classification: percent of rows whose largest output is the target's. Regression: error relative to the variance. */
function score(expert, outputs, targets) {
  if (expert.task === 'classification')
    return `${((100 * outputs.filter((row, r) => argmax(row) === argmax(targets[r])).length) / outputs.length).toFixed(2)} %`;
  let error = 0;
  let variance = 0;
  for (let n = 0; n < targets[0].length; ++n) {
    const mean = targets.reduce((sum, row) => sum + row[n], 0) / targets.length;
    outputs.forEach((row, r) => (error += (row[n] - targets[r][n]) ** 2));
    targets.forEach(row => (variance += (row[n] - mean) ** 2));
  }
  return `NMSE ${(error / variance).toFixed(5)}`;
}

const pack = await open(packPath);
console.log('expert               kernel    test rows  float          compiled       largest difference');
for (const expert of manifest.experts) {
  const data = readData(expert.test);
  const original = evaluateOriginal(expert);
  const {outputs: width, variant} = await pack.expertInfo(expert.id);
  const compiled = rowsOf(await pack.run(expert.id, Float32Array.from(data.inputs.flat())), width);
  const difference = Math.max(...compiled.flatMap((row, r) => row.map((value, n) => Math.abs(value - original[r][n]))));
  console.log(
    expert.id.padEnd(21) + variant.padEnd(10) + String(data.rows).padEnd(11) +
      score(expert, original, data.targets).padEnd(15) + score(expert, compiled, data.targets).padEnd(15) + difference.toExponential(1)
  );
}

const first = manifest.experts[0];
const data = readData(first.test);
console.log(`\n${first.id}, first test row (float, then compiled):`);
console.log(evaluateOriginal(first)[0].map(value => value.toFixed(5)).join(' '));
console.log([...(await pack.run(first.id, Float32Array.from(data.inputs[0])))].map(value => value.toFixed(5)).join(' '));

// The yardstick's test rows are the mixed rows of the router's, with the digits as targets.
const mixed = readData(manifest.experts.find(expert => expert.id === 'digits-generalist').test);
for (const k of [1, 2]) {
  let right = 0;
  for (let r = 0; r < mixed.rows; ++r) {
    const {output} = await pack.runRouted(Float32Array.from(mixed.inputs[r]), {k});
    right += argmax([...output]) === argmax(mixed.targets[r]);
  }
  console.log(`${k === 1 ? '\n' : ''}routed, top ${k}: ${((100 * right) / mixed.rows).toFixed(2)} % of ${mixed.rows} mixed digits`);
}
const {linkedKernels, residentBytes, residentExperts} = pack.stats;
console.log(`${residentExperts} experts resident in ${residentBytes} bytes, ${linkedKernels} kernels linked`);
await pack.dispose();
