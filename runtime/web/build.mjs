// Builds dist/: the compiled TypeScript, small and in one file for each entry and one for what some share, because a
// cold start waits for every file; the runtime's wasm beside it, and the variant with the wasm inlined.
// Usage: node build.mjs [WASM]; WASM defaults to KIMIC_RT_WASM or ../../build/wasm/kimic_rt.wasm.
import {execFileSync} from 'node:child_process';
import {existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const wasmPath = process.argv[2] ?? process.env.KIMIC_RT_WASM ?? join(here, '../../build/wasm/kimic_rt.wasm');
if (!existsSync(wasmPath)) {
  console.error(`${wasmPath} does not exist: build it with cmake --preset wasm && cmake --build --preset wasm`);
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
// channel.js and trust.js are for tests.
const {outputFiles} = await build({
  entryPoints: ['index', 'inline', 'cache', 'pool', 'pool-worker', 'channel', 'trust'].map(name => join(dist, `${name}.js`)),
  external: ['./wasm-inline.js'],
  bundle: true,
  splitting: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  outdir: dist,
  write: false,
});
removeScripts();
for (const {path, contents} of outputFiles) writeFileSync(path, contents);
const wasm = readFileSync(wasmPath);
writeFileSync(join(dist, 'kimic_rt.wasm'), wasm);
writeFileSync(
  join(dist, 'wasm-inline.js'),
  `// kimic_rt.wasm in base64.\nexport const wasmBase64 =\n  '${wasm.toString('base64')}';\n`
);
