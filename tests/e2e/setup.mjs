// Where the tests find what they test: the folder of packs and vectors, and the built package.
import {readFile} from 'node:fs/promises';
import {dirname, join} from 'node:path';
import {fileURLToPath, pathToFileURL} from 'node:url';

export const here = dirname(fileURLToPath(import.meta.url));
export const repository = join(here, '../..');
/** demo.kpk, random.kpk, sigmoid.kpk, product-keys.kpk, planned.kpk and their vectors, *.json, and fallback.kpk, scale.kpk,
 * million.kpk: made by the ctest entries e2e.pack.* and e2e.vectors.*. */
export const packs = process.env.KIMIC_E2E_PACKS ?? join(repository, 'build/release/tests/e2e/packs');
export const dist = process.env.KIMIC_WEB_DIST ?? join(repository, 'runtime/web/dist');
/** vectors.bin of emit-kernel-vectors. */
export const kernelVectors = process.env.KIMIC_KERNEL_VECTORS ?? join(repository, 'build/release/tests/kernels/vectors');

export const importKimic = (file = 'index.js') => import(pathToFileURL(join(dist, file)).href);
export const packPath = name => join(packs, `${name}.kpk`);
export const vectorsOf = async name => JSON.parse(await readFile(join(packs, `${name}.json`), 'utf8'));
