// node lz4.mjs [node] [chromium]: how fast the runtime's LZ4 decoder is as WebAssembly, in GB of output a second, the
// best of 31 runs over 1 MiB. The decoder is compiled with the runtime's flags.
import {execFileSync} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {openChromium} from './engines.mjs';

const engines = process.argv.length > 2 ? process.argv.slice(2) : ['node', 'chromium'];
if (!engines.every(engine => engine === 'node' || engine === 'chromium')) {
  console.error('usage: node lz4.mjs [node] [chromium]');
  process.exit(2);
}
const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../..');
const folder = mkdtempSync(join(tmpdir(), 'kimic-lz4-'));
const flags = ['-Oz', '-flto', '-finline-functions', '-fno-exceptions', '-fno-rtti', '-mbulk-memory', '-msign-ext',
  '-mnontrapping-fptoint', '-std=c++20', `-I${root}`, '-sSTANDALONE_WASM=1', '--no-entry', '-sINITIAL_MEMORY=16777216'];
execFileSync('em++', [...flags, join(here, 'native/Lz4Decode.cpp'), join(root, 'formats/pack/Lz4Block.cpp'),
  '-o', join(folder, 'lz4.wasm')], {env: {...process.env, NODE_PATH: '/usr/share/nodejs'}});
const wasm = readFileSync(join(folder, 'lz4.wasm'));
rmSync(folder, {recursive: true});

/** As packs have it: by liblz4's HC at level 9. */
function compress(raw) {
  const script = `import ctypes, sys
raw = sys.stdin.buffer.read()
out = ctypes.create_string_buffer(2 * len(raw) + 64)
size = ctypes.CDLL("liblz4.so.1").LZ4_compress_HC(raw, out, len(raw), len(out), 9)
sys.stdout.buffer.write(out.raw[:size])`;
  return new Uint8Array(execFileSync('python3', ['-c', script], {input: raw, maxBuffer: 8 << 20}));
}

let state = 1;
const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
const size = 1 << 20;
/** Weights of which so many are zero, the smallest ones, and, four by four, the smallest groups. */
const pruned = (share, group) => {
  const values = Float64Array.from({length: size}, normal);
  const weight = i => Math.hypot(...values.subarray(i - (i % group), i - (i % group) + group));
  const weights = Float64Array.from(values, (_, i) => weight(i));
  const limit = weights.slice().sort()[Math.floor(share * size)];
  return Uint8Array.from(values, (value, i) => (weights[i] < limit ? 0 : Math.round(value * 36)));
};
const inputs = {
  'pruned 75 %': pruned(0.75, 1),
  'pruned 90 %': pruned(0.9, 1),
  'pruned 75 % in fours': pruned(0.75, 4),
  'kernels': Uint8Array.from({length: size}, (() => {
    const wordOf = () => Array.from({length: 8 + Math.floor(random() * 56)}, () => random() * 256);
    const words = Array.from({length: 200}, wordOf);
    let word = [], at = 0;
    return () => (at === word.length && ([word, at] = [words[Math.floor(random() * 200)], 0]), word[at++]);
  })()),
};

/** Runs in the engine. */
async function measure(wasm, stored, raw) {
  const {instance} = await WebAssembly.instantiate(Uint8Array.from(wasm), {
    wasi_snapshot_preview1: new Proxy({}, {get: () => () => 0}),
    env: new Proxy({}, {get: () => () => 0}),
  });
  const {memory, buffer, decode, _initialize} = instance.exports;
  _initialize?.();
  const at = buffer();
  new Uint8Array(memory.buffer).set(stored, at);
  const times = [];
  for (let i = 0; i < 231; ++i) {
    const start = performance.now();
    if (decode(stored.length, raw.length) !== 1) throw new Error('the block is not decoded');
    if (i >= 200) times.push(performance.now() - start);
  }
  const output = new Uint8Array(memory.buffer, at + (2 << 20), raw.length);
  if (output.some((byte, i) => byte !== raw[i])) throw new Error('the output is another one');
  return raw.length / Math.min(...times) / 1e6;
}

const chromium = engines.includes('chromium') ? await openChromium() : undefined;
const page = await chromium?.browser.newPage();
const text = bytes => `Uint8Array.from(atob('${Buffer.from(bytes).toString('base64')}'), c => c.charCodeAt(0))`;
for (const [name, raw] of Object.entries(inputs)) {
  const stored = compress(raw);
  for (const engine of engines) {
    const isHere = engine === 'node';
    const speed = await (isHere ? measure(wasm, stored, raw)
                                : page.evaluate(`(${measure})(${text(wasm)}, ${text(stored)}, ${text(raw)})`));
    const share = ((100 * stored.length) / raw.length).toFixed(1);
    console.log(`${engine.padEnd(9)} ${name.padEnd(21)} ${share.padStart(5)} %  ${speed.toFixed(2)} GB/s`);
  }
}
await chromium?.close();
