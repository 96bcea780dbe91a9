// What a pack from a server that misbehaves does: the right answer, or an error with its name and a hint, in bounded
// time. Works in Node, pages and workers; the servers are those of faults.mjs.

/**
 * [fault, the error's code or undefined for the right answer, options of open()]. Several codes where engines differ:
 * Chromium refuses bodies that are compressed against its wish, and may show headers of its cache.
 */
export const cases = [
  ['none'],
  ['busyAtFirst'],
  ['tooManyAtFirst'],
  ['tooManyForLong', 'HttpStatus'],
  ['broken', 'HttpStatus'],
  ['missing', 'HttpRefused'],
  ['forbidden', 'HttpRefused'],
  ['closes', 'SourceReadFailed'],
  ['closesAtFirst'],
  ['cutsAtFirst'],
  ['cuts', 'SourceReadFailed'],
  ['sendsLittle'],
  ['silent', 'ReadStalled'],
  ['stalls', 'ReadStalled'],
  ['stallsAtFirst'],
  ['ignoresRanges'],
  ['ignoresRangesInPieces'],
  ['ignoresRanges', 'RangeIgnored', {maxWholeBytes: 20000}],
  ['ignoresRangesInPieces', 'RangeIgnored', {maxWholeBytes: 20000}],
  ['ignoresRangesAndCuts'],
  ['ignoresRangesLater'],
  ['compressesWhole', [undefined, 'SourceReadFailed']],
  ['compressesRanges', ['BodyEncoded', 'SourceReadFailed']],
  ['rangesOfTheCompressed', ['BodyEncoded', 'SourceReadFailed']],
  ['liesAboutTheStart', 'RangeMismatch'],
  ['sendsOtherBytes', 'PackBlockHash'],
  ['sendsMore', 'RangeMismatch'],
  ['multipart', 'RangeMismatch'],
  ['withoutContentRange'],
  ['isReplaced', ['PackChanged', 'PackBlockHash']],
  ['isReplacedWithoutETag', 'PackChanged'],
  ['hasManyETags'],
  ['isShortened', 'ReadTooShort'],
  ['isEmpty', 'PackTruncated'],
  ['isAPage', 'PackMagic'],
  ['redirects'],
  ['redirectsForEver', 'SourceReadFailed'],
];

/** Errors whose sentence alone says what to do. */
const needNoHint = ['PackBlockHash', 'ReadTooShort', 'PackTruncated', 'HttpStatus', 'HttpRefused'];

const network = {retries: 2, backoffMs: 5, stallMs: 300, openBytes: 16384}; // which do not hold the whole answer
let runs = 0;

/** What differs from what is expected, or undefined. `expected` is the answer of expert 0 to 64 halves. */
export async function checkFault(kimic, base, [fault, codes, options], expected) {
  const what = fault + (options ? ` with ${JSON.stringify(options)}` : '');
  const url = `${base}/faulty/${fault}/demo.kpk?${Math.random()}-${++runs}`;
  const start = performance.now();
  let pack;
  let found;
  try {
    pack = await kimic.open(url, {allowUnsigned: true, network, ...options});
    const output = await pack.run(0, new Float32Array(64).fill(0.5));
    if (output.length !== expected.length || output.some((value, i) => value !== expected[i])) return `${what}: wrong answer`;
  } catch (error) {
    found = error;
  }
  await pack?.dispose();
  if (performance.now() - start > 8000) return `${what}: took ${Math.round(performance.now() - start)} ms`;
  const allowed = [codes].flat();
  if (!found) return allowed.includes(undefined) ? undefined : `${what}: an answer instead of ${codes}`;
  if (!(found instanceof kimic.KimicError)) return `${what}: ${found} is no KimicError`;
  if (!allowed.includes(found.code)) return `${what}: ${found.code} instead of ${codes ?? 'the right answer'}: ${found.stack}`;
  if (!found.hint && !needNoHint.includes(found.code)) return `${what}: ${found.code} without a hint`;
  return undefined;
}
