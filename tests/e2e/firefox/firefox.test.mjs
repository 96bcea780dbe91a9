// Firefox needs no driver: it is started with the page's address, and the page posts its report.
import {spawn} from 'node:child_process';
import {mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import test from 'node:test';
import {runBrowser} from '../browser.mjs';

test('Firefox computes the reference\'s bits', t =>
  runBrowser(t, async url => {
    const profile = await mkdtemp(join(tmpdir(), 'kimic-firefox-'));
    const quiet = {
      'browser.shell.checkDefaultBrowser': false,
      'browser.aboutwelcome.enabled': false,
      'datareporting.policy.dataSubmissionEnabled': false,
      'datareporting.policy.firstRunURL': '',
      'toolkit.telemetry.enabled': false,
      'app.normandy.enabled': false,
      'network.captive-portal-service.enabled': false,
      'network.connectivity-service.enabled': false,
      'services.settings.server': 'http://127.0.0.1:9',
      'extensions.update.enabled': false,
      'browser.safebrowsing.malware.enabled': false,
      'browser.safebrowsing.phishing.enabled': false,
    };
    const lines = Object.entries(quiet).map(([key, value]) => `user_pref(${JSON.stringify(key)}, ${JSON.stringify(value)});`);
    await writeFile(join(profile, 'user.js'), lines.join('\n'));
    const browser = spawn(process.env.KIMIC_FIREFOX ?? 'firefox-esr',
      ['--headless', '--no-remote', '--profile', profile, url], {stdio: 'ignore', env: {...process.env, HOME: profile}});
    const ended = new Promise(resolve => browser.on('close', resolve));
    return async () => {
      browser.kill();
      await ended;
      await rm(profile, {recursive: true, force: true, maxRetries: 5, retryDelay: 200});
    };
  }));
