// Where benchmarks run: this Node process, headless Chromium, and child processes.
import {spawn} from 'node:child_process';
import {createRequire} from 'node:module';
import {dirname, join} from 'node:path';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {serve} from './server.mjs';
import {path} from './nodeEnv.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const chromiumFlags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--enable-blink-features=ForceEagerMeasureMemory'];

export async function openChromium() {
  const {chromium} = createRequire(join(here, '../../runtime/web/package.json'))('playwright-core');
  const browser = await chromium.launch({executablePath: '/usr/bin/chromium', headless: true, args: chromiumFlags});
  const server = await serve({bench: here, work: path('work'), dist: path('dist'), peers: path('peers')});
  return {
    name: `Chromium ${browser.version().split('.')[0]}`,
    browser,
    server,
    close: async () => (await browser.close(), server.close()),
  };
}

/** A page whose functions are called by `call(name, ...arguments)`, as methods of its `host`. */
export async function openPage(chromium, query = '') {
  const context = await chromium.browser.newContext();
  const page = await context.newPage();
  await page.goto(`${chromium.server.url}/bench/page.html${query}`);
  return {
    page,
    async call(name, ...args) {
      await page.waitForFunction(() => globalThis.host);
      return page.evaluate(([method, values]) => globalThis.host[method](...values), [name, args]);
    },
    close: () => context.close(),
  };
}

/** A process that answers each line with a line: `ask(line)`. */
export function openSampler(command, args, env = {}) {
  const child = spawn(command, args, {stdio: ['pipe', 'pipe', 'inherit'], env: {...process.env, ...env}});
  const waiting = [];
  createInterface({input: child.stdout}).on('line', line => waiting.shift()?.resolve(line));
  const fail = what => waiting.splice(0).forEach(one => one.reject(new Error(`${command} ${args.join(' ')}: ${what}`)));
  child.on('error', fail);
  child.on('exit', code => fail(`exit code ${code}`));
  return {
    ask: line =>
      new Promise((resolve, reject) => {
        if (child.exitCode !== null) return reject(new Error(`${command}: exit code ${child.exitCode}`));
        waiting.push({resolve, reject});
        child.stdin.write(`${line}\n`);
      }),
    close: () => child.stdin.end(),
  };
}
