// The same checks off the main thread.
import {checkPacks} from './browserChecks.mjs';

const report = {lines: [], failures: []};
try {
  await checkPacks('worker', report);
} catch (error) {
  report.failures.push(String(error.stack ?? error));
}
postMessage(report);
