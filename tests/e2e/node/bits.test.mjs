// The same bits in every engine of Node as in the native reference.
import assert from 'node:assert/strict';
import test from 'node:test';
import {checkPack, describe, engines} from '../checkPack.mjs';
import {importKimic, packPath, vectorsOf} from '../setup.mjs';

const kimic = await importKimic();
for (const name of ['demo', 'random', 'sigmoid', 'product-keys', 'planned'])
  for (const options of engines)
    test(`${name} computes the reference's bits: ${options.variant ?? options.engine}`, async t => {
      const result = await checkPack(kimic, packPath(name), await vectorsOf(name), options);
      t.diagnostic(describe(name, result));
      assert.deepEqual(result.failures, []);
      assert.ok(result.experts >= 9 && result.routes === 24);
    });

for (const engine of ['auto', 'generic'])
  test(`the inlined build computes the reference's bits: ${engine}`, async () => {
    const result = await checkPack(await importKimic('inline.js'), packPath('demo'), await vectorsOf('demo'), {engine});
    assert.deepEqual(result.failures, []);
  });
