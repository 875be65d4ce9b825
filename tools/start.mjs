// @ts-check
/**
 * npm start: from a fresh clone to a page in the browser, with Node as the only prerequisite. Installs, prepares the models and the demo shard, builds, serves;
 * every step is skipped when its result is there, so a repeat takes seconds. A model that no source delivers never stops the start.
 */
import { parseArgs } from 'node:util';
import { join } from 'node:path';
import { checkNode, demoShardFault, ensureBuild, ensureDependencies, importTypeScript, root } from './setup.mjs';

const usage = `npm start -- [options]
  --llm NAME     language model to prepare (default smollm2-135m; see: npm run models -- list); may be given several times
  --no-models    prepare no models; those that are there are used
  --gguf FILE    offer a GGUF file of your own in the page; may be given several times
  --shard NAME=FOLDER  serve a shard folder under shards/NAME/; may be given several times
  --port N       default 4173, the next free one where it is taken
  --host H       default 127.0.0.1 (this machine only)`;

async function main() {
  const { values } = parseArgs({
    options: {
      llm: { type: 'string', multiple: true, default: [] },
      'no-models': { type: 'boolean', default: false },
      gguf: { type: 'string', multiple: true, default: [] },
      shard: { type: 'string', multiple: true, default: [] },
      port: { type: 'string', default: '4173' },
      host: { type: 'string', default: '127.0.0.1' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return console.log(usage);
  checkNode();
  await ensureDependencies();
  const models = /** @type {typeof import('./models.ts')} */ (await importTypeScript('./models.ts'));
  const extra = await Promise.all(values.gguf.map(models.ggufModel));
  if (!values['no-models']) await prepareModels(models, values.llm);
  const fault = await demoShardFault();
  if (fault !== null) console.log(`The demo shard in public/shards/demo cannot be used: ${fault}. The page works with other shards and own documents.`);
  await ensureBuild();
  // Reads what was not verified yet now, so that the page's list of models does not wait for it.
  await models.localModels();

  const wanted = Number(values.port);
  if (!Number.isInteger(wanted) || wanted < 0 || wanted > 65535) throw new Error(`--port ${values.port} is not a port number.`);
  const { createServer } = await import('./server.mjs');
  const server = await createServer({
    dist: join(root, 'dist'),
    models: models.localModels,
    extra,
    shards: Object.fromEntries(values.shard.map((pair) => [pair.split('=', 1)[0], pair.slice(pair.indexOf('=') + 1)])),
    port: wanted,
    tries: wanted === 0 ? 0 : 50,
    host: values.host,
  });
  if (wanted !== 0 && server.port !== wanted) {
    console.log(`Port ${wanted} is taken, so the page is at ${server.port}. Browsers keep the library by address: what was imported at the other port is not seen here.`);
  }
  console.log(`\nForay is ready: ${server.url}\nStop it with Ctrl+C.`);
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.once(signal, () => void server.close().then(() => process.exit(0)));
}

/**
 * @param {typeof import('./models.ts')} models
 * @param {readonly string[]} llms
 */
async function prepareModels(models, llms) {
  const embedder = 'minilm';
  const chosen = llms.length > 0 ? llms : ['smollm2-135m'];
  const prepared = await models.prepareModels([embedder, ...chosen], { say: (line) => console.log(`Models: ${line}`) });
  for (const { id, state } of prepared) {
    if (state !== 'missing') continue;
    const effect = id === embedder ? 'searching goes by words only' : 'the page answers with marked passages instead of written answers';
    console.log(`Models: no source delivers ${id}. Until the page downloads it (it offers to) or it lies in ${models.modelsFolder()}, ${effect}.`);
  }
}

main().catch((/** @type {unknown} */ error) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
