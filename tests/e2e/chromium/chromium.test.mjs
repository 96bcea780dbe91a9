import {createRequire} from 'node:module';
import {join} from 'node:path';
import test from 'node:test';
import {runBrowser} from '../browser.mjs';
import {repository} from '../setup.mjs';

const require = createRequire(join(repository, 'runtime/web/package.json'));
const {chromium} = require('playwright-core');

test('Chromium computes the reference\'s bits', t =>
  runBrowser(t, async url => {
    const browser = await chromium.launch({
      executablePath: process.env.KIMIC_CHROMIUM ?? '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
        '--disable-component-update', '--disable-sync'],
    });
    const page = await browser.newPage();
    for (const event of ['pageerror', 'console'])
      page.on(event, what => t.diagnostic(`${event}: ${what.message ?? what.text()}`));
    await page.goto(url);
    return () => browser.close();
  }));
