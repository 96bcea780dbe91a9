// node runVectors.mjs VECTORS: checkVectors in Node; both variants must run.
import { readFile } from 'node:fs/promises';
import { checkVectors } from './checkVectors.mjs';

const result = await checkVectors(new Uint8Array(await readFile(process.argv[2])));
for (const { variant, kernels, rows, outputs } of result.variants)
  console.log(`${variant}: ${kernels} kernels, ${rows} rows, ${outputs} outputs compared`);
for (const failure of result.failures) console.error(failure);
if (result.failures.length > 0 || result.variants.length !== 2) process.exit(1);
