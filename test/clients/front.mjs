// SPDX-License-Identifier: MIT
// Starts nginx, haproxy, lighttpd and inetd in front of a server. Each has a directory that is removed at its end.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { makeCertificate } from './certificate.mjs';
import { killedAtExit, until } from './hub.mjs';

// Below the ports that the system gives to outgoing connections, which might take a port that was found free.
const PORT_MIN = 12000;
const PORT_MAX = 32000;
let lastPort = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN));

function isFree(port) {
    return new Promise((resolve) => {
        const server = net.createServer();
        server.on('error', () => resolve(false));
        server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });
}

/** Returns a port on which nothing listens, another one at each call. */
export async function freePort() {
    for (;;) {
        lastPort = lastPort < PORT_MAX ? lastPort + 1 : PORT_MIN;
        const port = lastPort;
        if (await isFree(port)) {
            return port;
        }
    }
}

/** Whether a program listens on a port, found out without connecting. */
export function isListening(port) {
    const address = `:${port.toString(16).toUpperCase().padStart(4, '0')} `;
    return ['tcp', 'tcp6'].some((table) => readFileSync(`/proc/net/${table}`, 'latin1').split('\n')
        .some((line) => line.split(/ +/)[4] === '0A' && `${line.split(/ +/)[2]} `.endsWith(address)));
}

/** Starts a program with a configuration file, and waits until it listens. With `tls` it gets a certificate. */
export async function start(program, makeOptions, makeConfiguration, { tls = false } = {}) {
    const directory = mkdtempSync(join(tmpdir(), 'sse-front-'));
    const port = await freePort();
    const file = join(directory, 'front.conf');
    const certificate = tls ? makeCertificate(directory) : null;
    let log = '';
    writeFileSync(file, makeConfiguration(port, directory, certificate));
    const stdio = ['ignore', 'ignore', 'pipe'];
    const child = killedAtExit(spawn(program, makeOptions(file, directory, port), { stdio }));
    const exited = once(child, 'exit');
    child.stderr.setEncoding('utf8').on('data', (text) => { log += text; });
    await until(() => {
        assert.equal(child.exitCode, null, log);
        return isListening(port);
    }, program, () => log);
    return {
        port,
        tls,
        url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}/`,
        /** The certificate to trust, with TLS. */
        caFile: certificate?.file,
        ca: certificate && readFileSync(certificate.file),
        log: () => log,
        errors: () => log.split('\n').filter((line) => /\[(error|crit|alert|emerg)\]/i.test(line)),
        async stop() {
            child.kill('SIGTERM');
            await exited;
            rmSync(directory, { recursive: true });
        },
    };
}

/** nginx with one location, whose content is `location`. `server` is added to its server block, `http` to its http
 *  block. With `tls` it speaks HTTP/2. */
export function startNginx(location, { http = '', server = '', tls = false } = {}) {
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
    const secure = (certificate) => (tls
        ? `ssl_certificate ${certificate.file}; ssl_certificate_key ${certificate.keyFile};` : '');
    const configuration = (port, directory, certificate) => `${process.getuid() === 0 ? 'user root;' : ''}
daemon off;
pid nginx.pid;
error_log stderr notice;
events { worker_connections 2048; }
http {
    access_log off;
    ${temporary.map((name) => `${name}_temp_path ${name};`).join('\n    ')}
    ${http}
    server {
        listen 127.0.0.1:${port}${tls ? ' ssl http2' : ''};
        ${secure(certificate)}
        ${server}
        location / {
            ${location}
        }
    }
}
`;
    const options = (file, directory) => ['-p', directory, '-c', file, '-e', 'stderr'];
    return start(process.env.SSE_NGINX ?? 'nginx', options, configuration, { tls });
}

/** haproxy with Debian's configuration, which `more` extends or changes. With `tls` it speaks HTTP/2. `away` is the
 *  response without a server. */
export function startHaproxy(upstream, { more = '', tls = false, away = null } = {}) {
    const configuration = (port, directory, certificate) => {
        const awayFile = join(directory, 'away.http');
        if (away !== null) {
            writeFileSync(awayFile, away);
        }
        return `
defaults
    mode http
    option dontlognull
    timeout connect 5000
    timeout client 50000
    timeout server 50000
listen front
    bind 127.0.0.1:${port} ${tls ? `ssl crt ${certificate.bothFile} alpn h2,http/1.1` : ''}
    ${more}
    ${away === null ? '' : [502, 503, 504].map((status) => `errorfile ${status} ${awayFile}`).join('\n    ')}
    server hub 127.0.0.1:${upstream}
`;
    };
    return start('haproxy', (file) => ['-db', '-f', file], configuration, { tls });
}

/** lighttpd with some of its modules, which `more` configures. `streams` false: with its default buffering. */
export function startLighttpd(modules, more, { streams = true } = {}) {
    const configuration = (port, directory) => `
server.document-root = "${directory}"
server.bind = "127.0.0.1"
server.port = ${port}
server.max-connections = 2048
server.max-fds = 4608
server.upload-dirs = ( "${directory}" )
server.modules = ( ${modules.map((name) => `"mod_${name}"`).join(', ')} )
${streams ? 'server.stream-response-body = 2' : ''}
${more}
`;
    return start('lighttpd', (file) => ['-D', '-f', file], configuration);
}

/** An inetd that starts a program for each connection. */
export function startInetd(program) {
    const configuration = (port) => (
        `127.0.0.1:${port} stream tcp nowait ${userInfo().username} ${program} ${program}\n`);
    return start('inetd', (file) => ['-i', '-E', '-R', '0', file], configuration);
}
