// SPDX-License-Identifier: MIT
// nginx with the module of examples/hosts/nginx. host.mjs starts and ends it.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const TEMPORARY = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];

function makeConfiguration(host) {
    const { program, port, http2, tls, certificate, heartbeatMs, streamsMax, more, workers = 1 } = host;
    // A worker needs some descriptors in addition to those of its connections.
    const connections = host.descriptorsMax ? host.descriptorsMax - 40 : 2048;
    return `${process.getuid() === 0 ? 'user root;' : ''}
load_module ${program};
daemon off;
worker_processes ${workers};
pid nginx.pid;
error_log stderr info;
events { worker_connections ${connections}; }
http {
    access_log off;
    ${TEMPORARY.map((name) => `${name}_temp_path ${name};`).join('\n    ')}
    # As if an administrator compressed everything.
    gzip on;
    gzip_types *;
    gzip_min_length 1;
    # A client that says nothing must not delay the end.
    client_header_timeout 10s;
    client_body_timeout 10s;
    keepalive_requests 100000;
    sse_heartbeat ${heartbeatMs}ms;
    ${streamsMax ? `sse_streams ${streamsMax};` : ''}
    ${more}
    server {
        listen 127.0.0.1:${port}${workers > 1 ? ' reuseport' : ''}${tls ? ' ssl' : ''}${http2 ? ' http2' : ''};
        ${tls ? `ssl_certificate ${certificate.file}; ssl_certificate_key ${certificate.keyFile};` : ''}
        server_name ${['127.0.0.1', ...host.names].join(' ')};
        location = /events { sse; }
        location = /publish { sse_publish; }
        location / { return 404; }
    }
}
`;
}

export const nginx = {
    module: 'nginx/ngx_http_sse_module.so',
    quit: 'SIGQUIT',
    command(host) {
        const file = join(host.directory, 'nginx.conf');
        writeFileSync(file, makeConfiguration(host));
        // nginx is built without the sanitizer, which must be loaded before everything else.
        const sanitized = ['env', `LD_PRELOAD=${process.env.SSE_ASAN_RUNTIME}`];
        return [...sanitized, 'nginx', '-p', host.directory, '-c', file, '-e', 'stderr'];
    },
};
