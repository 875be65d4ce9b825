// @ts-check
/**
 * The response headers of every server that serves Foray: isolation (COOP/COEP) and the content security policy. One place for the dev server, `npm start`,
 * the tests, the meta element of the build and the service worker. Plain JavaScript, so that `npm start` can load it before anything is installed.
 */

/** Hosts that models and shards are downloaded from; nothing is sent to them but the request for a file. */
const downloadHosts = ['https://huggingface.co', 'https://*.huggingface.co', 'https://*.hf.co', 'https://raw.githubusercontent.com'];

/** The person's own model server on this machine. */
const ownServers = ['http://localhost:*', 'http://127.0.0.1:*'];

/** An origin as a policy may name it: scheme, host (the first label may be `*`), port. */
const originPattern = /^(?:https?|wss?):\/\/(?:\*\.)?[a-z0-9.-]+(?::(?:\d+|\*))?$/i;

/**
 * More origins that the page may connect to, from the environment variable FORAY_CONNECT (separated by spaces or commas). Throws where one is not an origin:
 * a stray `;` would end the directive.
 * @param {string | undefined} value
 * @returns {string[]}
 */
export function extraConnect(value = process.env['FORAY_CONNECT']) {
  const origins = (value ?? '').split(/[\s,]+/).filter((origin) => origin !== '');
  for (const origin of origins) {
    if (!originPattern.test(origin)) throw new Error(`FORAY_CONNECT: ${JSON.stringify(origin)} is not an origin such as https://models.example.org`);
  }
  return origins;
}

/**
 * @param {{ meta?: boolean; dev?: boolean; connect?: readonly string[] }} [options] `meta`: for a meta element; `dev`: allow what the dev server injects.
 * @returns {string}
 */
export function contentSecurityPolicy({ meta = false, dev = false, connect = extraConnect() } = {}) {
  const directives = [
    "default-src 'none'",
    `script-src 'self' 'wasm-unsafe-eval'${dev ? " 'unsafe-inline'" : ''}`,
    "worker-src 'self' blob:",
    `style-src 'self'${dev ? " 'unsafe-inline'" : ''}`,
    "img-src 'self' data:",
    "font-src 'self'",
    `connect-src ${["'self'", ...downloadHosts, ...ownServers, ...connect, ...(dev ? ['ws:'] : [])].join(' ')}`,
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
  ];
  // A meta element may not carry frame-ancestors (CSP 3 §4.2.5).
  if (!meta) directives.push("frame-ancestors 'none'");
  return directives.join('; ');
}

/**
 * @param {{ dev?: boolean; connect?: readonly string[] }} [options]
 * @returns {Record<string, string>}
 */
export function securityHeaders({ dev = false, connect = extraConnect() } = {}) {
  return {
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Embedder-Policy': 'require-corp',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Content-Security-Policy': contentSecurityPolicy({ dev, connect }),
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
  };
}
