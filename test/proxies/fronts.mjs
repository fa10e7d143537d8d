// SPDX-License-Identifier: MIT
// The fronts in the guide's table, as an operator would configure them. Each is started in front of a port. `tls`:
// it speaks HTTP/2 with TLS. `compresses`: it compresses what it may. `late`: it notices a disconnect only when
// there is something to send.
import { startHaproxy, startNginx } from '../clients/front.mjs';
import {
    startApache, startCaddy, startLighttpdProxy, startNghttpx, startVarnish, VARNISH_PIPE,
} from './servers.mjs';

const pass = (port) => `proxy_pass http://127.0.0.1:${port};`;
const NO_DELAY = 'option abortonclose\n    option http-no-delay';
const TYPES = 'compression type text/event-stream application/json';
const GZIP = 'gzip on; gzip_types text/event-stream application/json; gzip_proxied any; gzip_min_length 0;';

function startNginxWithKeepalive(port) {
    return startNginx('proxy_pass http://hub; proxy_http_version 1.1; proxy_set_header Connection ""; '
        + 'proxy_set_header Host $http_host;',
        { http: `upstream hub { server 127.0.0.1:${port}; keepalive 8; }` });
}

export const fronts = [
    { name: 'nginx', start: (port) => startNginx(pass(port)) },
    { name: 'nginx, HTTP/2 and TLS', tls: true, start: (port) => startNginx(pass(port), { tls: true }) },
    { name: 'nginx, keepalive upstream', start: startNginxWithKeepalive },
    { name: 'nginx, gzip', compresses: true, start: (port) => startNginx(pass(port), { http: GZIP }) },
    {
        name: 'nginx, proxy_buffering off',
        start: (port) => startNginx(`${pass(port)} proxy_ignore_headers X-Accel-Buffering; proxy_buffering off;`),
    },
    { name: 'haproxy', late: true, start: (port) => startHaproxy(port) },
    { name: 'haproxy, http-no-delay and abortonclose', start: (port) => startHaproxy(port, { more: NO_DELAY }) },
    {
        name: 'haproxy, HTTP/2 and TLS',
        tls: true,
        start: (port) => startHaproxy(port, { more: 'option abortonclose', tls: true }),
    },
    {
        name: 'haproxy, http-buffer-request',
        start: (port) => startHaproxy(port, { more: `${NO_DELAY}\n    option http-buffer-request` }),
    },
    {
        name: 'haproxy, compression',
        compresses: true,
        start: (port) => startHaproxy(port, {
            more: `${NO_DELAY}\n    compression algo gzip\n    ${TYPES}`,
        }),
    },
    { name: 'Caddy', start: (port) => startCaddy(port) },
    { name: 'Caddy, HTTP/2 and TLS', tls: true, start: (port) => startCaddy(port, { tls: true }) },
    {
        name: 'Caddy, encode gzip',
        compresses: true,
        start: (port) => startCaddy(port, { more: 'encode {\n gzip\n minimum_length 1\n }' }),
    },
    {
        name: 'Caddy, flush_interval -1',
        late: true,
        start: (port) => startCaddy(port, { proxy: 'flush_interval -1' }),
    },
    { name: 'Apache', late: true, start: (port) => startApache(port) },
    { name: 'Apache, HTTP/2 and TLS', late: true, tls: true, start: (port) => startApache(port, { tls: true }) },
    {
        name: 'Apache, mod_deflate by type',
        late: true,
        compresses: true,
        start: (port) => startApache(port, {
            modules: ['filter', 'deflate'], more: 'AddOutputFilterByType DEFLATE application/json',
        }),
    },
    { name: 'lighttpd, stream-response-body', late: true, start: (port) => startLighttpdProxy(port) },
    { name: 'Varnish', late: true, start: (port) => startVarnish(port) },
    { name: 'Varnish, pipe', start: (port) => startVarnish(port, { vcl: VARNISH_PIPE }) },
    { name: 'nghttpx', start: (port) => startNghttpx(port) },
    { name: 'nghttpx, HTTP/2 and TLS', tls: true, start: (port) => startNghttpx(port, { tls: true }) },
];

/* Replaces the error of a missing hub by a stream that ends at once, so that an EventSource reconnects. */

export const AWAY_RETRY_MS = 20;
const AWAY_BODY = `retry: ${AWAY_RETRY_MS}\n\n`;

export function startNginxWithAway(port) {
    return startNginx(`${pass(port)} error_page 502 503 504 =200 @away;`, {
        server: `location @away {
            default_type text/event-stream;
            add_header Cache-Control no-store;
            return 200 ${JSON.stringify(AWAY_BODY)};
        }`,
    });
}

/** Without `retries` haproxy would try for three seconds, and a hub may be back by then. */
export function startHaproxyWithAway(port) {
    return startHaproxy(port, {
        more: 'retries 0',
        away: 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n'
            + `Content-Length: ${AWAY_BODY.length}\r\n\r\n${AWAY_BODY}`,
    });
}

export function startCaddyWithAway(port) {
    return startCaddy(port, {
        more: `handle_errors {
        header Content-Type text/event-stream
        header Cache-Control no-store
        respond "${AWAY_BODY}" 200
    }`,
    });
}

export function startVarnishWithAway(port) {
    return startVarnish(port, {
        vcl: `sub vcl_backend_error {
    set beresp.status = 200;
    set beresp.http.Content-Type = "text/event-stream";
    set beresp.http.Cache-Control = "no-store";
    synthetic({"${AWAY_BODY}"});
    return (deliver);
}`,
    });
}
