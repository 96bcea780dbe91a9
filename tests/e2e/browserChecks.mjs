// The checks of page.mjs and worker.mjs; paths are those that browser.mjs serves.
import * as kimic from '/dist/index.js';
import {checkVectors} from '/kernels/checkVectors.mjs';
import {checkPack, describe, engines} from '/e2e/checkPack.mjs';

export async function checkPacks(where, report) {
  for (const name of ['demo', 'random']) {
    const vectors = await (await fetch(`/packs/${name}.json`)).json();
    for (const options of engines) {
      const result = await checkPack(kimic, `/packs/${name}.kpk`, vectors, options);
      report.lines.push(`${where}: ${describe(name, result)}`);
      report.failures.push(...result.failures.map(failure => `${where}: ${name}: ${failure}`));
      if (result.experts === 0) report.failures.push(`${where}: ${name} ran nothing`);
    }
  }
}

export async function checkKernels(report) {
  const result = await checkVectors(new Uint8Array(await (await fetch('/vectors/vectors.bin')).arrayBuffer()));
  for (const {variant, kernels, rows, outputs} of result.variants)
    report.lines.push(`kernel vectors, ${variant}: ${kernels} kernels, ${rows} rows, ${outputs} outputs compared`);
  report.failures.push(...result.failures);
  if (result.variants.length !== 2) report.failures.push(`kernel vectors ran ${result.variants.length} variants, not 2`);
}
