// Builds dist/: the compiled TypeScript, small and in one file for each entry and one for what some share, because a
// cold start waits for every file; the .wasm files beside it, and the variant with them inlined.
// Usage: node build.mjs [FOLDER]; the folder of the .wasm files defaults to KIMIC_WASM_DIR or ../../build/wasm.
import {execFileSync} from 'node:child_process';
import {existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const folder = process.argv[2] ?? process.env.KIMIC_WASM_DIR ?? join(here, '../../build/wasm');
// Module, and the script that has it inlined.
const modules = [
  ['kimic_rt', 'wasm-inline'],
  ['kimic_parts', 'parts-inline'],
];
for (const [name] of modules)
  if (!existsSync(join(folder, `${name}.wasm`))) {
    console.error(`${folder} has no ${name}.wasm: build it with cmake --preset wasm && cmake --build --preset wasm`);
    process.exit(1);
  }
const dist = process.env.KIMIC_WEB_DIST ?? join(here, 'dist');
mkdirSync(dist, {recursive: true});
const removeScripts = () => {
  for (const file of readdirSync(dist).filter(name => name.endsWith('.js'))) rmSync(join(dist, file));
};
removeScripts(); // chunks of another build
execFileSync(process.execPath, [join(here, 'node_modules/typescript/bin/tsc'), '-p', here, '--outDir', dist], {
  stdio: 'inherit',
});
const {build} = await import('esbuild');
const bundle = (names, splitting) =>
  build({
    entryPoints: names.map(name => join(dist, `${name}.js`)),
    external: modules.map(([, script]) => `./${script}.js`),
    bundle: true,
    splitting,
    minify: true,
    format: 'esm',
    target: 'es2022',
    outdir: dist,
    write: false,
  });
const entries = ['index', 'inline', 'cache', 'pool', 'pool-worker'];
// Read when they are wanted. Named, because a chunk's name has a hash, which does not compress.
const laterEntries = ['explain', 'history', 'parts', 'plan', 'recovery', 'signatures', 'warmup'];
const bundles = [await bundle([...entries, ...laterEntries], true)];
for (const name of ['channel', 'trust']) bundles.push(await bundle([name], false)); // for tests
removeScripts();
for (const {path, contents} of bundles.flatMap(({outputFiles}) => outputFiles)) writeFileSync(path, contents);
for (const [name, script] of modules) {
  const wasm = readFileSync(join(folder, `${name}.wasm`));
  writeFileSync(join(dist, `${name}.wasm`), wasm);
  writeFileSync(
    join(dist, `${script}.js`),
    `// ${name}.wasm in base64.\nexport const wasmBase64 =\n  '${wasm.toString('base64')}';\n`
  );
}
