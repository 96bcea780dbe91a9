// Lets a browser open page.html and waits for its report. Content security policy: 'self' and 'wasm-unsafe-eval' only.
import assert from 'node:assert/strict';
import {join} from 'node:path';
import {serve} from './server.mjs';
import {dist, here, kernelVectors, packs, repository} from './setup.mjs';

/** `visit(url)` makes the browser load a page and returns what closes it. */
export async function runBrowser(t, visit) {
  const server = await serve({dist, packs, vectors: kernelVectors, e2e: here, kernels: join(repository, 'tests/kernels')});
  let close;
  try {
    close = await visit(`${server.url}/e2e/page.html`);
    let timer;
    const late = new Promise((_, reject) => {
      const asked = () => server.requests.map(request => request.path).slice(-5).join(' ');
      timer = setTimeout(() => reject(new Error(`no report after two minutes; last requests: ${asked()}`)), 120_000);
    });
    const report = JSON.parse(await Promise.race([server.posted(), late]));
    clearTimeout(timer);
    t.diagnostic(report.agent);
    for (const line of report.lines) t.diagnostic(line);
    assert.deepEqual(report.failures, []);
    // Five packs on three engines in page and worker, two variants of kernels, two large packs
    // and their kernels, the servers, two caches, the pool.
    assert.equal(report.lines.length, 39);
    assert.equal(report.isIsolated, false); // nothing needs cross-origin isolation
  } finally {
    await close?.();
    await server.close();
  }
}
