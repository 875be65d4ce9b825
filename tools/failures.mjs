// @ts-check
/**
 * What failed in a test run, in one line each, from the runners' JSON reports: the last thing that `npm test` prints before its count, since of a long log often only
 * the end is seen. Pure; lines are plain text (no colours) and at most `widest` characters.
 */

/** A failed stage or test, with what is said about it in lines of their own below. @typedef {{ title: string; details: readonly string[] }} Failure */

/** Findings named of a stage that failed. */
const mostFindings = 5;
/** Failures named of a run. */
const mostFailures = 60;
const widest = 240;

/**
 * The section with its heading; none where nothing failed.
 * @param {readonly Failure[]} failures
 * @returns {string[]}
 */
export function failureLines(failures) {
  if (failures.length === 0) return [];
  const more = failures.length - mostFailures;
  return [
    '== failures',
    ...failures.slice(0, mostFailures).flatMap(({ title, details }) => [oneLine(title), ...details.map((detail) => `    ${oneLine(detail)}`)]),
    ...(more > 0 ? [`… and ${more} more`] : []),
  ];
}

/**
 * @param {string} stage
 * @param {readonly string[]} findings All of them; the first few are named.
 * @returns {Failure}
 */
export function stageFailure(stage, findings) {
  const more = findings.length - mostFindings;
  return { title: stage, details: [...findings.slice(0, mostFindings), ...(more > 0 ? [`… and ${more} more`] : [])] };
}

/**
 * @param {unknown} report Of eslint's JSON formatter.
 * @param {string} root Folder that file names are told from.
 * @returns {string[]} `file:line:column rule: message`.
 */
export function lintFindings(report, root) {
  if (!Array.isArray(report)) return [];
  return report.flatMap((/** @type {any} */ file) =>
    listOf(file?.messages).map((message) => `${within(file?.filePath, root)}:${message?.line ?? 0}:${message?.column ?? 0} ${message?.ruleId ?? 'error'}: ${firstLine(message?.message)}`),
  );
}

/**
 * @param {string} output Of tsc, not pretty.
 * @returns {string[]}
 */
export function typeErrors(output) {
  return output.split(/\r?\n/).filter((line) => /\berror TS\d+:/.test(line));
}

/**
 * @param {unknown} report Of vitest's JSON reporter.
 * @param {number} code The runner's exit code.
 * @param {string} root
 * @returns {Failure[]}
 */
export function vitestFailures(report, code, root) {
  const suites = listOf(/** @type {any} */ (report)?.testResults);
  const failures = suites.flatMap((suite) => {
    const file = within(suite?.name, root);
    const failed = listOf(suite?.assertionResults).filter((test) => test?.status === 'failed');
    if (failed.length === 0) return suite?.status === 'failed' ? [{ title: `${file} › could not be loaded`, details: [firstLine(suite?.message)] }] : [];
    return failed.map((test) => ({ title: [file, ...listOf(test?.ancestorTitles), test?.title].join(' › '), details: [firstLine(listOf(test?.failureMessages)[0])] }));
  });
  return failures.length === 0 && code !== 0 ? [outside('unit tests', code)] : failures;
}

/**
 * @param {unknown} report Of Playwright's JSON reporter.
 * @param {number} code The runner's exit code.
 * @param {string} root
 * @param {boolean} ran False where the tests were only listed.
 * @returns {Failure[]}
 */
export function playwrightFailures(report, code, root, ran = true) {
  const whole = /** @type {any} */ (report);
  const folder = typeof whole?.config?.rootDir === 'string' ? whole.config.rootDir : root;
  /** @type {Failure[]} */
  const failures = [];
  const visit = (/** @type {any} */ suite, /** @type {readonly string[]} */ above) => {
    for (const inner of listOf(suite?.suites)) visit(inner, [...above, inner?.title]);
    for (const spec of listOf(suite?.specs)) {
      for (const test of listOf(spec?.tests)) {
        if (!ran || test?.status === 'skipped' || test?.status === 'expected') continue;
        const error = listOf(test?.results).flatMap((result) => [result?.error, ...listOf(result?.errors)]).find((one) => typeof one?.message === 'string');
        const file = typeof spec?.file === 'string' ? within(`${folder}/${spec.file}`, root) : '';
        failures.push({ title: [file, ...above, spec?.title].filter((part) => part !== '').join(' › '), details: [firstLine(error?.message ?? `status ${String(test?.status)}`)] });
      }
    }
  };
  // The outermost suites are the files.
  for (const suite of listOf(whole?.suites)) visit(suite, []);
  if (failures.length > 0) return failures;
  const errors = listOf(whole?.errors).map((error) => ({ title: 'browser tests › outside every test', details: [firstLine(error?.message)] }));
  return errors.length === 0 && code !== 0 ? [outside('browser tests', code)] : errors;
}

/**
 * @param {string} stage
 * @param {number} code
 * @returns {Failure}
 */
function outside(stage, code) {
  return { title: stage, details: [`no test failed, but the runner ended with code ${code}: see its output above`] };
}

/** @param {unknown} value @returns {any[]} */
const listOf = (value) => (Array.isArray(value) ? value : []);

/** @param {unknown} path @param {string} root */
function within(path, root) {
  const text = typeof path === 'string' ? path.replaceAll('\\', '/') : '';
  const base = `${root.replaceAll('\\', '/')}/`;
  return text.startsWith(base) ? text.slice(base.length) : text;
}

/** The first line that says something. @param {unknown} text */
function firstLine(text) {
  return typeof text === 'string' ? (plain(text).split('\n').find((line) => line.trim() !== '') ?? '').trim() : '';
}

/** @param {string} text */
function oneLine(text) {
  const line = plain(text).replace(/\s+/g, ' ').trim();
  return line.length > widest ? `${line.slice(0, widest - 1)}…` : line;
}

/** Without terminal colours and other control characters. @param {string} text */
function plain(text) {
  return text.replace(/\u001b\[[0-9;]*[A-Za-z]/g, '').replace(/[\u0000-\u0009\u000b-\u001f\u007f]/g, ' ');
}
