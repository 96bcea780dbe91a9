// What a browser runs: every pack on every engine, in the page and in a worker, the compiler's kernel vectors, large
// packs, servers that misbehave, the browser's own caches, and threads.
// Posts {user agent, lines, failures} to the server that it came from.
import {checkCaches, checkKernels, checkPacks, checkPool, checkScales, checkServers} from './browserChecks.mjs';

const report = {agent: navigator.userAgent, lines: [], failures: [], isIsolated: globalThis.crossOriginIsolated};
try {
  await checkPacks('page', report);
  await checkKernels(report);
  await checkScales(report);
  await checkServers(report);
  await checkCaches(report);
  await checkPool(report);
  const worker = new Worker('worker.mjs', {type: 'module'});
  const answer = await new Promise((resolve, reject) => {
    worker.onmessage = event => resolve(event.data);
    worker.onerror = event => reject(new Error(`worker: ${event.message}`));
  });
  report.lines.push(...answer.lines);
  report.failures.push(...answer.failures);
} catch (error) {
  report.failures.push(String(error.stack ?? error));
}
await fetch('/result', {method: 'POST', body: JSON.stringify(report)});
