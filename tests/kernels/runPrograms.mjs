// node runPrograms.mjs PROGRAMS: what EmitPrograms.cpp wrote gives the results that its interpreter found.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';

const programs = JSON.parse(await readFile(process.argv[2], 'utf8'));
assert.ok(programs.length > 0);
for (const program of programs) {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const module = new Uint8Array(program.module);
  const { instance } = await WebAssembly.instantiate(module, { env: { memory } });
  const result = instance.exports.f(...program.arguments) >>> 0;
  const words = Array.from(new Uint32Array(memory.buffer, 0, program.memory.length));
  assert.deepEqual({ result, words }, { result: program.result, words: program.memory }, `program ${program.seed}`);
}
console.log(`${programs.length} programs give the interpreter's results`);
