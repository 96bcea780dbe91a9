// The runtime's module itself, and hosts that do not let it do what it wants.
import assert from 'node:assert/strict';
import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import test, {after, before} from 'node:test';
import {brotliCompressSync} from 'node:zlib';
import {serve} from '../server.mjs';
import {dist, importKimic, packPath, packs, repository} from '../setup.mjs';

const {open} = await importKimic();
const wasmPath = join(dist, 'kimic_rt.wasm');
const wasm = await readFile(wasmPath);
const parts = await readFile(join(dist, 'kimic_parts.wasm'));
const row = new Float32Array(64).fill(0.25);
let server;
before(async () => (server = await serve({packs, dist, page: {body: '<!doctype html>', type: 'text/html'}})));
after(() => server.close());

test('the module imports nothing', () => {
  assert.deepEqual(WebAssembly.Module.imports(new WebAssembly.Module(wasm)), []);
});

test('the parts are a module that shares memory and stack', t => {
  const imports = WebAssembly.Module.imports(new WebAssembly.Module(parts));
  assert.deepEqual(imports.map(({module, name, kind}) => `${module}.${name} ${kind}`), ['env.__stack_pointer global', 'env.memory memory']);
  t.diagnostic(`kimic_parts.wasm: ${parts.length} bytes, ${brotliCompressSync(parts).length} with brotli`);
});

test('a generic evaluator that is not served is an error with a hint, and is asked for again', async () => {
  const pack = await open(packPath('demo'), {engine: 'generic', partsWasm: `${server.url}/dist/other.wasm`});
  for (let turn = 0; turn < 2; ++turn)
    await assert.rejects(pack.run(0, row), {code: 'RuntimeNotFound', hint: /partsWasm/});
});

test('the module exports the functions of the C API', async () => {
  const headers = ['Runtime', 'Plan', 'History', 'Cache'].map(name => readFile(join(repository, `runtime/include/kimic/${name}.h`), 'utf8'));
  const header = (await Promise.all(headers)).join('\n');
  const declared = new Set([...header.matchAll(/^\w[\w ]*[ *](kimic_\w+)\(/gm)].map(match => match[1]));
  const exported = WebAssembly.Module.exports(new WebAssembly.Module(wasm)).map(entry => entry.name);
  assert.deepEqual(exported.filter(name => name.startsWith('kimic_')).sort(), [...declared].sort());
  assert.ok(exported.includes('memory') && exported.includes('__indirect_function_table'));
});

test('the module has at most 40 KiB', t => {
  t.diagnostic(`kimic_rt.wasm: ${wasm.length} bytes, ${brotliCompressSync(wasm).length} with brotli`);
  assert.ok(wasm.length <= 40960, `${wasm.length} bytes`);
});

test('the module can be given in every form', async () => {
  const forms = [wasmPath, new URL(`file://${wasmPath}`), wasm, wasm.buffer.slice(wasm.byteOffset, wasm.byteOffset + wasm.length),
    new WebAssembly.Module(wasm), `${server.url}/dist/kimic_rt.wasm`, await fetch(`${server.url}/dist/kimic_rt.wasm`)];
  for (const form of forms) {
    const pack = await open(packPath('demo'), {wasm: form});
    assert.equal((await pack.run(0, row)).length, 10);
    await pack.dispose();
  }
});

test('a module that is not served is an error with a hint', async () => {
  await assert.rejects(open(packPath('demo'), {wasm: `${server.url}/dist/other.wasm`}), error => {
    assert.equal(error.code, 'RuntimeNotFound');
    assert.match(error.message, /other\.wasm/);
    assert.match(error.hint, /kimic\/inline/);
    return true;
  });
  await assert.rejects(open(packPath('demo'), {wasm: `${server.url}/page`}), {code: 'RuntimeNotFound', hint: /HTML/});
});

// As on hosts that forbid compiling at run time: only ready modules may be instantiated.
async function withoutCompiling(body) {
  const {compile, instantiate} = WebAssembly;
  WebAssembly.compile = async () => {
    throw new WebAssembly.CompileError('Wasm code generation disallowed by embedder');
  };
  WebAssembly.instantiate = async (source, imports) => {
    if (source instanceof WebAssembly.Module) return instantiate(source, imports);
    return WebAssembly.compile(source);
  };
  try {
    await body();
  } finally {
    Object.assign(WebAssembly, {compile, instantiate});
  }
}

test('where kernels may not be compiled they run generically, unless that was refused', async () => {
  const module = new WebAssembly.Module(wasm);
  const partsWasm = new WebAssembly.Module(parts);
  const expected = await (await open(packPath('demo'), {wasm: module})).run(0, row);
  await withoutCompiling(async () => {
    const pack = await open(packPath('demo'), {wasm: module, partsWasm});
    assert.deepEqual(await pack.run(0, row), expected);
    assert.equal((await pack.expertInfo(0)).variant, 'generic');
    assert.equal(pack.stats.linkedKernels, 0);
    const strict = await open(packPath('demo'), {wasm: module, engine: 'compiled'});
    await assert.rejects(strict.run(0, row), {code: 'LinkFailed', kind: 'Unsupported'});
    await assert.rejects(open(packPath('demo'), {wasm}), {code: 'WasmUnavailable'});
    const without = await open(packPath('demo'), {wasm: module, partsWasm: parts});
    await assert.rejects(without.run(0, row), {code: 'WasmUnavailable'});
  });
});

test('simd128 is chosen by asking the engine', async () => {
  const pack = await open(packPath('demo'));
  assert.equal((await pack.expertInfo(0)).variant, 'simd128');
  const {validate} = WebAssembly;
  WebAssembly.validate = () => false;
  try {
    const scalar = await open(packPath('demo'));
    assert.equal((await scalar.expertInfo(0)).variant, 'scalar');
    await assert.rejects(open(packPath('demo'), {variant: 'simd128'}), {code: 'VariantUnavailable'});
  } finally {
    WebAssembly.validate = validate;
  }
});

test('what a page downloads is small', async t => {
  // Everything that index.js imports, and the module.
  const files = new Set(['index.js']);
  for (const file of files)
    for (const [, name] of (await readFile(join(dist, file), 'utf8')).matchAll(/(?:from|import)\s*"\.\/([\w.-]+)"/g))
      files.add(name);
  const script = Buffer.concat(await Promise.all([...files].map(file => readFile(join(dist, file)))));
  const sizes = [script, wasm].map(bytes => brotliCompressSync(bytes).length);
  t.diagnostic(`${files.size} scripts: ${script.length} bytes, ${sizes[0]} with brotli; with the module: ${sizes[0] + sizes[1]}`);
  assert.ok(files.size <= 6, 'a cold start waits for every file');
  assert.ok(script.length > 30_000, 'imports were not followed');
  assert.ok(sizes[0] + sizes[1] <= 32 * 1024);
});
