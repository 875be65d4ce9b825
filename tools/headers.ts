/** The response headers of every server that serves Foray: isolation (COOP/COEP) and the content security policy. One place for all of them. */

/** Hosts that models and shards are downloaded from; nothing is sent to them but the request for a file. */
export const downloadHosts = ['https://huggingface.co', 'https://*.huggingface.co', 'https://*.hf.co', 'https://raw.githubusercontent.com'] as const;

/** The person's own model server on this machine. Other origins are added at build time through FORAY_CONNECT. */
const ownServers = ['http://localhost:*', 'http://127.0.0.1:*'] as const;

export function contentSecurityPolicy(options: { meta?: boolean; dev?: boolean; extraConnect?: readonly string[] } = {}): string {
  const connect = ["'self'", ...downloadHosts, ...ownServers, ...(options.extraConnect ?? []), ...(options.dev === true ? ['ws:'] : [])];
  const directives = [
    "default-src 'none'",
    `script-src 'self' 'wasm-unsafe-eval'${options.dev === true ? " 'unsafe-inline'" : ''}`,
    "worker-src 'self' blob:",
    `style-src 'self'${options.dev === true ? " 'unsafe-inline'" : ''}`,
    "img-src 'self' data:",
    "font-src 'self'",
    `connect-src ${connect.join(' ')}`,
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
  ];
  // A meta element may not carry frame-ancestors (CSP 3 §4.2.5).
  if (options.meta !== true) directives.push("frame-ancestors 'none'");
  return directives.join('; ');
}

export function securityHeaders(options: { document?: boolean; dev?: boolean } = {}): Record<string, string> {
  return {
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Embedder-Policy': 'require-corp',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Content-Security-Policy': contentSecurityPolicy({ dev: options.dev === true }),
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
  };
}
