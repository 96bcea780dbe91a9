// Runs kernels in this engine and compares them with the reference, bit by bit. `kimic verify` starts it and feeds it.
//
// stdin: messages of { u32 length, JSON of that length, then the bytes that the JSON announces }, little-endian.
//   {"module": bytes, "variant": name, "firstKernel": k}        then the module's bytes; cases up to the next module
//                                                               are about its kernels
//   {"case": expert, "kernel": k, "params": bytes, "scratch": bytes, "inputs": n, "outputs": n, "rows": n}
//                                                               then params, x f32[rows][inputs], y f32[rows][outputs]
// stdout: a JSON object a line. {"unsupported": variant} | {"invalid": variant, "firstKernel": k, "reason": text}
//   | {"mismatch": {variant, kernel, expert, rows, what, row, output, found, expected}}, then {"runs": n, "rows": n}.

const kGuard = 64; // bytes around every buffer that must stay as they are
const kFill = 0xa5;
const kShownMismatches = 20;
const memory = new WebAssembly.Memory({ initial: 1 });
const print = (value) => process.stdout.write(JSON.stringify(value) + '\n');
const alignUp = (address) => (address + 15) & ~15;

const chunks = process.stdin[Symbol.asyncIterator]();
let held = Buffer.alloc(0);
async function take(length) {
  const parts = [held];
  let bytes = held.length;
  while (bytes < length) {
    const { value, done } = await chunks.next();
    if (done) return null;
    parts.push(value);
    bytes += value.length;
  }
  const all = parts.length === 1 ? held : Buffer.concat(parts, bytes);
  held = all.subarray(length);
  return all.subarray(0, length);
}

let runs = 0;
let runRows = 0;
let mismatches = 0;

function report(mismatch) {
  if (++mismatches <= kShownMismatches) print({ mismatch });
}

/** Runs a kernel on the first `rows` rows and checks its outputs and every byte that it must not touch. */
function check(kernel, about, params, x, y, scratchBytes, outputs, rows) {
  const xLength = (x.length / about.allRows) * rows;
  const yLength = outputs * 4 * rows;
  const paramsAt = alignUp(kGuard);
  const xAt = paramsAt + params.length + kGuard;
  const yAt = xAt + xLength + kGuard;
  const scratchAt = alignUp(yAt + yLength + kGuard);
  const end = scratchAt + scratchBytes + kGuard;
  if (end > memory.buffer.byteLength) memory.grow(Math.ceil((end - memory.buffer.byteLength) / 65536));

  const bytes = Buffer.from(memory.buffer, 0, end);
  bytes.fill(kFill);
  params.copy(bytes, paramsAt);
  x.copy(bytes, xAt, 0, xLength);
  const before = Buffer.from(bytes);
  const where = { variant: about.variant, kernel: about.kernel, expert: about.expert, rows };
  try {
    kernel(paramsAt, xAt, yAt, scratchAt, rows);
  } catch (error) {
    report({ ...where, what: String(error) });
    return;
  }
  runs += 1;
  runRows += rows;
  for (let i = 0; i < yLength; i += 4) {
    const found = bytes.readUInt32LE(yAt + i);
    const expected = y.readUInt32LE(i);
    if (found !== expected) {
      const n = i / 4;
      report({ ...where, what: 'output', row: Math.floor(n / outputs), output: n % outputs, found, expected });
      return;
    }
  }
  for (const [from, to] of [[0, yAt], [yAt + yLength, scratchAt], [scratchAt + scratchBytes, end]])
    if (bytes.compare(before, from, to, from, to) !== 0) {
      report({ ...where, what: 'a byte outside of its outputs and scratch memory was written' });
      return;
    }
}

let current = null; // { variant, firstKernel, exports }, or null if the module does not run here
for (;;) {
  const length = await take(4);
  if (!length) break;
  const message = JSON.parse((await take(length.readUInt32LE(0))).toString());
  if (message.module !== undefined) {
    const module = await take(message.module);
    const { variant, firstKernel } = message;
    current = null;
    try {
      const instance = new WebAssembly.Instance(new WebAssembly.Module(module), { env: { memory } });
      current = { variant, firstKernel, exports: instance.exports };
    } catch (error) {
      // Engines without relaxed SIMD are common; the other variants run in every engine.
      if (variant === 'relaxed') print({ unsupported: variant });
      else print({ invalid: variant, firstKernel, reason: String(error) });
    }
    continue;
  }
  const { kernel, inputs, outputs, rows: allRows } = message;
  // Copies: what take() gives may be a view at an odd address of a buffer that goes away.
  const params = Buffer.from(await take(message.params));
  const x = Buffer.from(await take(inputs * allRows * 4));
  const y = Buffer.from(await take(outputs * allRows * 4));
  if (!current) continue;
  const run = current.exports[`k${kernel - current.firstKernel}`];
  const about = { variant: current.variant, kernel, expert: message.case, allRows };
  for (const rows of new Set([1, Math.min(3, allRows), allRows]))
    check(run, about, params, x, y, message.scratch, outputs, rows);
}
print({ runs, rows: runRows, mismatches });
