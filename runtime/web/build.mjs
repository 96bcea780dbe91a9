// Builds dist/: the compiled TypeScript, made small file by file, the runtime's wasm beside it, and the variant with the
// wasm inlined.
// Usage: node build.mjs [WASM]; WASM defaults to KIMIC_RT_WASM or ../../build/wasm/kimic_rt.wasm.
import {execFileSync} from 'node:child_process';
import {existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const wasmPath = process.argv[2] ?? process.env.KIMIC_RT_WASM ?? join(here, '../../build/wasm/kimic_rt.wasm');
if (!existsSync(wasmPath)) {
  console.error(`${wasmPath} does not exist: build it with cmake --preset wasm && cmake --build --preset wasm`);
  process.exit(1);
}
const dist = process.env.KIMIC_WEB_DIST ?? join(here, 'dist');
execFileSync(process.execPath, [join(here, 'node_modules/typescript/bin/tsc'), '-p', here, '--outDir', dist], {
  stdio: 'inherit',
});
const {transformSync} = await import('esbuild');
for (const file of readdirSync(dist).filter(name => name.endsWith('.js'))) {
  const code = readFileSync(join(dist, file), 'utf8');
  writeFileSync(join(dist, file), transformSync(code, {minify: true, format: 'esm', target: 'es2022'}).code);
}
const wasm = readFileSync(wasmPath);
mkdirSync(dist, {recursive: true});
writeFileSync(join(dist, 'kimic_rt.wasm'), wasm);
writeFileSync(
  join(dist, 'wasm-inline.js'),
  `// kimic_rt.wasm in base64.\nexport const wasmBase64 =\n  '${wasm.toString('base64')}';\n`
);
