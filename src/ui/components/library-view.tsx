/** What is on this device: shards, own documents, storage. Adding, pausing, resuming, deleting, and what leaves the device. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { CorpusStatus, DocumentStatus } from '../../api.ts';
import type { App, ImportView } from '../app.ts';
import { visibleLine } from '../text/display.ts';
import { formatBytes, formatCount, plural } from '../text/format.ts';
import { ConfirmButton, Notice, ProgressLine } from './controls.tsx';
import { Icon } from './icon.tsx';
import { Privacy } from './privacy.tsx';

const states: Readonly<Record<CorpusStatus['state'], string>> = { complete: 'Ready', partial: 'Paused, not searched yet', importing: 'Importing', failed: 'Not usable' };
const documentTypes: Readonly<Record<DocumentStatus['type'], string>> = { text: 'Text', markdown: 'Markdown', html: 'HTML', pdf: 'PDF' };
const accepted = '.txt,.md,.markdown,.html,.htm,.pdf,.csv,.tsv,text/plain,text/csv,text/markdown,text/html,application/pdf';

export function LibraryView({ app }: { readonly app: App }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    app.refreshStorage();
    // This view may come later than others, so it takes the focus itself.
    heading.current?.focus({ preventScroll: true });
  }, []);
  const shards = app.corpora.value.filter((corpus) => corpus.kind === 'shard');
  const hasDemo = shards.some((corpus) => corpus.sourceUrl === app.firstShard);
  const pending = [...app.imports.value.values()].filter((item) => !shards.some((corpus) => corpus.sourceUrl === item.url));
  return (
    <div class="page" data-testid="library">
      <h1 ref={heading} tabIndex={-1}>
        Library
      </h1>
      <section class="panel" aria-labelledby="shards-heading">
        <div class="section-head">
          <h2 id="shards-heading">Shards</h2>
          <p class="section-note">A shard is a ready-made collection with its word index, vectors and links.</p>
        </div>
        {shards.length === 0 && pending.length === 0 ? <p class="empty">No shard is stored on this device.</p> : null}
        <ul class="rows">
          {shards.map((corpus) => (
            <ShardRow key={corpus.id} app={app} corpus={corpus} attempt={app.imports.value.get(corpus.sourceUrl) ?? null} />
          ))}
          {pending.map((item) => (
            <PendingRow key={item.url} app={app} item={item} />
          ))}
        </ul>
        <ImportForm app={app} hasDemo={hasDemo || app.imports.value.has(app.firstShard)} />
      </section>
      <Documents app={app} />
      <StoragePanel app={app} />
      <section class="panel" aria-labelledby="leaves-heading">
        <h2 id="leaves-heading">What leaves this device</h2>
        <Privacy app={app} />
      </section>
    </div>
  );
}

function ShardRow({ app, corpus, attempt }: { readonly app: App; readonly corpus: CorpusStatus; readonly attempt: ImportView | null }) {
  const name = visibleLine(corpus.name);
  const isMine = corpus.pausable;
  const error = attempt?.error ?? corpus.error;
  const progress = attempt?.progress ?? corpus.progress;
  const facts = [
    plural(corpus.documents, 'document'),
    plural(corpus.passages, 'passage'),
    corpus.embedded === 0 ? 'no vectors' : corpus.embedded === corpus.passages ? `vectors by ${corpus.embedder ?? 'an unnamed embedder'}` : `${formatCount(corpus.embedded)} with vectors`,
    formatBytes(corpus.bytes),
    corpus.language === '' ? '' : `language ${visibleLine(corpus.language)}`,
  ].filter((fact) => fact !== '');
  return (
    <li class="library-row" data-testid="shard-row" data-state={corpus.state}>
      <div class="library-main">
        <p class="library-name">
          <bdi>{name}</bdi> <span class={`tag ${corpus.state === 'complete' ? 'tag-strong' : ''}`}>{states[corpus.state]}</span>
        </p>
        <p class="slot-facts">{facts.join(', ')}</p>
        <p class="slot-facts">
          Licence: <bdi>{visibleLine(corpus.licence) || 'not stated'}</bdi>
          {corpus.attribution === '' ? null : (
            <>
              {', by '}
              <bdi>{visibleLine(corpus.attribution)}</bdi>
            </>
          )}
        </p>
        {(corpus.state === 'importing' || isMine) && progress !== null ? <ProgressLine progress={progress} label={`Import of ${name}`} /> : null}
        {error === null || isMine ? null : <Notice tone="bad">{error.message}</Notice>}
      </div>
      <div class="library-buttons">
        {isMine ? (
          <button type="button" class="button button-plain" onClick={() => app.pauseImport(corpus.sourceUrl)}>
            Pause<span class="visually-hidden"> the import of {name}</span>
          </button>
        ) : corpus.state === 'partial' || corpus.state === 'failed' ? (
          <button type="button" class="button button-plain" onClick={() => void app.importShard(corpus.sourceUrl)}>
            Resume<span class="visually-hidden"> the import of {name}</span>
          </button>
        ) : null}
        {isMine || corpus.state === 'importing' ? null : <ConfirmButton label="Delete" what={name} onConfirm={() => app.deleteCorpus(corpus.id)} />}
      </div>
    </li>
  );
}

/** An import whose manifest is not read yet, or that failed before anything was stored. */
function PendingRow({ app, item }: { readonly app: App; readonly item: ImportView }) {
  return (
    <li class="library-row" data-testid="shard-row" data-state={item.isActive ? 'importing' : 'failed'}>
      <div class="library-main">
        <p class="library-name">
          <bdi class="address">{visibleLine(item.url)}</bdi>
        </p>
        {item.progress !== null ? <ProgressLine progress={item.progress} label="Import" /> : item.isActive ? <p class="slot-facts">Reading the manifest</p> : null}
        {item.error === null ? null : <Notice tone="bad">{item.error.message}</Notice>}
      </div>
      <div class="library-buttons">
        {item.isActive ? (
          <button type="button" class="button button-plain" onClick={() => app.pauseImport(item.url)}>
            Cancel
          </button>
        ) : (
          <>
            {item.error?.retryable === false ? null : (
              <button type="button" class="button button-plain" onClick={() => void app.importShard(item.url)}>
                Try again
              </button>
            )}
            <button type="button" class="button button-quiet" onClick={() => app.dismissImport(item.url)}>
              Dismiss
            </button>
          </>
        )}
      </div>
    </li>
  );
}

function ImportForm({ app, hasDemo }: { readonly app: App; readonly hasDemo: boolean }) {
  const [address, setAddress] = useState('');
  return (
    <form
      class="inline-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (address.trim() === '') return;
        void app.importShard(address);
        setAddress('');
      }}
    >
      {hasDemo ? null : (
        <button type="button" class="button button-primary" onClick={() => void app.importShard(app.firstShard)}>
          Import the demo shard
        </button>
      )}
      <label class="field-label" for="shard-address">
        Address of a shard’s folder
      </label>
      <div class="row">
        <input
          id="shard-address"
          class="field"
          type="text"
          inputMode="url"
          autocomplete="off"
          spellcheck={false}
          placeholder="https://example.org/shards/name/"
          maxLength={2000}
          value={address}
          onInput={(event) => setAddress(event.currentTarget.value)}
        />
        <button type="submit" class="button button-plain" disabled={address.trim() === ''}>
          Import
        </button>
      </div>
    </form>
  );
}

function Documents({ app }: { readonly app: App }) {
  const [isOver, setOver] = useState(false);
  const picker = useRef<HTMLInputElement>(null);
  const documents = app.documents.value;
  const adding = app.adding.value;
  return (
    <section class="panel" aria-labelledby="documents-heading">
      <div class="section-head">
        <h2 id="documents-heading">Your documents</h2>
        <p class="section-note">Read and searched on this device only.</p>
      </div>
      <div
        class={`drop ${isOver ? 'drop-over' : ''}`}
        data-testid="drop-zone"
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={(event) => {
          event.preventDefault();
          setOver(false);
          void app.addDocuments([...(event.dataTransfer?.files ?? [])]);
        }}
      >
        <Icon name="file" />
        <p>Drop .txt, .md, .html, .pdf or .csv files here</p>
        <input
          ref={picker}
          id="document-files"
          class="visually-hidden"
          type="file"
          multiple
          accept={accepted}
          tabIndex={-1}
          aria-label="Files to add"
          onChange={(event) => {
            void app.addDocuments([...(event.currentTarget.files ?? [])]);
            event.currentTarget.value = '';
          }}
        />
        <button type="button" class="button button-plain" disabled={adding.isActive} onClick={() => picker.current?.click()}>
          Choose files
        </button>
      </div>
      <PasteForm app={app} disabled={adding.isActive} />
      {adding.isActive ? (
        <div class="row row-grow">
          {adding.progress === null ? <p class="working">Reading</p> : <ProgressLine progress={adding.progress} label="Adding documents" />}
          <button type="button" class="button button-plain" onClick={app.stopAdding}>
            Cancel
          </button>
        </div>
      ) : null}
      {adding.failures.length === 0 ? null : (
        <Notice tone="bad" onDismiss={app.dismissFailures}>
          <ul>
            {adding.failures.map((failure, index) => (
              <li key={index}>{visibleLine(failure.message)}</li>
            ))}
          </ul>
        </Notice>
      )}
      <ul class="rows">
        {documents.map((document) => (
          <DocumentRow key={document.id} app={app} document={document} hasEmbedder={app.models.value.some((row) => row.role === 'embedder' && row.state === 'ready')} />
        ))}
      </ul>
    </section>
  );
}

/** Text from anywhere: a page that cannot be saved, notes, the results of another search. */
function PasteForm({ app, disabled }: { readonly app: App; readonly disabled: boolean }) {
  const [title, setTitle] = useState('');
  const [text, setText] = useState('');
  return (
    <details class="more">
      <summary>Paste text</summary>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          const name = title.trim().replace(/[\\/:]/g, ' ') || 'Pasted text';
          void app.addDocuments([new File([text], `${name}.txt`, { type: 'text/plain' })]).then(() => {
            // What could not be added stays in the form.
            if (app.adding.value.failures.length > 0) return;
            setTitle('');
            setText('');
          });
        }}
      >
        <label class="field-label" for="paste-title">
          Title
        </label>
        <input id="paste-title" class="field" type="text" dir="auto" autocomplete="off" maxLength={200} value={title} onInput={(event) => setTitle(event.currentTarget.value)} />
        <label class="field-label" for="paste-text">
          Text
        </label>
        <textarea id="paste-text" class="field" rows={6} dir="auto" value={text} onInput={(event) => setText(event.currentTarget.value)} />
        <div class="row">
          <button type="submit" class="button button-plain" disabled={disabled || text.trim() === ''}>
            Add the text
          </button>
        </div>
      </form>
    </details>
  );
}

function DocumentRow({ app, document, hasEmbedder }: { readonly app: App; readonly document: DocumentStatus; readonly hasEmbedder: boolean }) {
  const name = visibleLine(document.name);
  const facts = [documentTypes[document.type], formatBytes(document.bytes), ...(document.pages === null ? [] : [plural(document.pages, 'page')]), plural(document.passages, 'passage')];
  const isWhole = document.embedded >= document.passages;
  const share = document.passages === 0 ? 1 : document.embedded / document.passages;
  return (
    <li class="library-row" data-testid="document-row" data-embedded={isWhole ? 'all' : 'partly'}>
      <div class="library-main">
        <p class="library-name">
          <bdi>{name}</bdi>
        </p>
        <p class="slot-facts">{facts.join(', ')}</p>
        <p class="slot-facts">
          {isWhole
            ? 'Searched by words and meaning'
            : hasEmbedder
              ? `Searched by words; ${Math.floor(share * 100)} % ready for search by meaning`
              : document.embedded === 0
                ? 'Searched by words. Load an embedding model to search it by meaning'
                : `Searched by words; ${Math.floor(share * 100)} % by meaning, waiting for an embedding model`}
        </p>
        {isWhole || !hasEmbedder ? null : <progress class="thin" aria-label={`Vectors of ${name}`} value={share} max={1} />}
      </div>
      <div class="library-buttons">
        <ConfirmButton label="Delete" what={name} onConfirm={() => app.deleteDocument(document.id)} />
      </div>
    </li>
  );
}

function StoragePanel({ app }: { readonly app: App }) {
  const storage = app.storage.value;
  const stored = app.models.value.filter((row) => row.source === 'stored');
  return (
    <section class="panel" aria-labelledby="storage-heading">
      <h2 id="storage-heading">Storage</h2>
      {storage === null ? (
        <p class="empty">Asking the browser</p>
      ) : (
        <>
          {storage.available ? null : <Notice tone="warn">The browser allows no storage here. The library lasts until this page is closed.</Notice>}
          {storage.usedBytes === null ? (
            <p>The browser does not tell how much is used.</p>
          ) : (
            <>
              {storage.quotaBytes === null ? null : <meter aria-label="Storage used" min={0} max={1} value={Math.min(1, storage.usedBytes / Math.max(1, storage.quotaBytes))} />}
              <p class="figures">
                {formatBytes(storage.usedBytes)} used{storage.quotaBytes === null ? '' : ` of about ${formatBytes(storage.quotaBytes)} that the browser may give`}
              </p>
            </>
          )}
          <div class="row">
            {storage.persisted ? (
              <p>The browser has agreed to keep the library.</p>
            ) : (
              <>
                <button type="button" class="button button-plain" disabled={!storage.available} onClick={app.persist}>
                  Ask the browser to keep it
                </button>
                <p class="section-note">
                  {app.persistRefused.value
                    ? 'The browser did not agree. Installing the page or adding a bookmark may change its mind.'
                    : 'Until then it may clear the library when the disk is nearly full, or after some time without a visit.'}
                </p>
              </>
            )}
          </div>
        </>
      )}
      {stored.length === 0 ? null : (
        <>
          <h3>Stored models</h3>
          <ul class="rows">
            {stored.map((row) => (
              <li key={row.id} class="library-row">
                <div class="library-main">
                  <p class="library-name">
                    <bdi>{visibleLine(row.label)}</bdi>
                    {row.state === 'ready' ? <span class="tag tag-strong">in use</span> : null}
                  </p>
                  <p class="slot-facts">
                    {formatBytes(row.sizeBytes)}, licence: {visibleLine(row.licence)}
                  </p>
                </div>
                <div class="library-buttons">
                  <ConfirmButton label="Delete" what={visibleLine(row.label)} onConfirm={() => app.removeModel(row.id)} />
                </div>
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}
