/**
 * The self-contained report as a template: one HTML text with script and styles in it and a mark where the data go. Made by the same bundler as the page; used by
 * `npm run bench -- report`, and put beside the built page so that its lab can export the same file.
 */
import { createHash } from 'node:crypto';
import preact from '@preact/preset-vite';
import { build, type Plugin } from 'vite';
import { dataMark } from '../src/ui/lab/report-data.ts';
import { root } from './setup.mjs';

const templateFile = 'lab-report.html';

export async function buildReportTemplate(): Promise<string> {
  const result = await build({
    root,
    configFile: false,
    logLevel: 'error',
    plugins: [preact({ devToolsEnabled: false })],
    publicDir: false,
    build: { write: false, target: 'es2023', cssCodeSplit: false, modulePreload: false, lib: { entry: 'src/ui/lab/report-page.tsx', formats: ['iife'], name: 'forayReport', fileName: 'report', cssFileName: 'report' } },
    define: { 'process.env.NODE_ENV': '"production"' },
  });
  const outputs = (Array.isArray(result) ? result : [result]).flatMap((item) => ('output' in item ? item.output : []));
  // `</script>` inside a string of the script would end the element.
  const script = outputs.flatMap((file) => (file.type === 'chunk' ? [file.code] : [])).join('\n').replace(/<\/(script)/gi, '<\\/$1');
  const styles = outputs.flatMap((file) => (file.type === 'asset' && file.fileName.endsWith('.css') ? [String(file.source)] : [])).join('\n');
  const hash = createHash('sha256').update(script).digest('base64');
  // Nothing is fetched and no other script runs, whatever the data say.
  const policy = `default-src 'none'; script-src 'sha256-${hash}'; style-src 'unsafe-inline'; img-src data:`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Foray: benchmark report</title>
<style>${styles}</style>
</head>
<body class="report-page">
<main><h1>Benchmark report</h1><div id="report"></div></main>
<script type="application/json" id="data">${dataMark}</script>
<script>${script}</script>
</body>
</html>
`;
}

/** Emits the template beside the built page. */
export function reportTemplate(): Plugin {
  return {
    name: 'foray-report-template',
    apply: 'build',
    async generateBundle() {
      this.emitFile({ type: 'asset', fileName: templateFile, source: await buildReportTemplate() });
    },
  };
}
