// SPDX-License-Identifier: MIT
// nginx and lighttpd in front of something, each in a directory of its own, which goes with it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { killedAtExit, until } from './hub.mjs';

// Below those that the system gives to outgoing connections, which might take a port that was found free.
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

/** A port on which nothing listens, another one at each call. */
export async function freePort() {
    for (;;) {
        lastPort = lastPort < PORT_MAX ? lastPort + 1 : PORT_MIN;
        const port = lastPort;
        if (await isFree(port)) {
            return port;
        }
    }
}

/** Whether somebody listens on a port, without connecting to it. */
export function isListening(port) {
    const address = `:${port.toString(16).toUpperCase().padStart(4, '0')} `;
    return ['tcp', 'tcp6'].some((table) => readFileSync(`/proc/net/${table}`, 'latin1').split('\n')
        .some((line) => line.split(/ +/)[4] === '0A' && `${line.split(/ +/)[2]} `.endsWith(address)));
}

/** Starts a program that takes a configuration file, and waits until it listens. */
async function start(program, makeOptions, makeConfiguration) {
    const directory = mkdtempSync(join(tmpdir(), 'sse-front-'));
    const port = await freePort();
    const file = join(directory, 'front.conf');
    let log = '';
    writeFileSync(file, makeConfiguration(port, directory));
    const stdio = ['ignore', 'ignore', 'pipe'];
    const child = killedAtExit(spawn(program, makeOptions(file, directory), { stdio }));
    const exited = once(child, 'exit');
    child.stderr.setEncoding('utf8').on('data', (text) => { log += text; });
    await until(() => {
        assert.equal(child.exitCode, null, log);
        return isListening(port);
    }, program, () => log);
    return {
        port,
        url: `http://127.0.0.1:${port}/`,
        log: () => log,
        errors: () => log.split('\n').filter((line) => /\[(error|crit|alert|emerg)\]/.test(line)),
        async stop() {
            child.kill('SIGTERM');
            await exited;
            rmSync(directory, { recursive: true });
        },
    };
}

/** nginx with one location, which is `location`; `more` is for all of HTTP. */
export function startNginx(location, more = '') {
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
    const configuration = (port) => `${process.getuid() === 0 ? 'user root;' : ''}
daemon off;
pid nginx.pid;
error_log stderr notice;
events { worker_connections 2048; }
http {
    access_log off;
    ${temporary.map((name) => `${name}_temp_path ${name};`).join('\n    ')}
    ${more}
    server {
        listen 127.0.0.1:${port};
        location / {
            ${location}
        }
    }
}
`;
    const options = (file, directory) => ['-p', directory, '-c', file, '-e', 'stderr'];
    return start(process.env.SSE_NGINX ?? 'nginx', options, configuration);
}

/** lighttpd that streams what a FastCGI server answers. */
export function startLighttpd(upstream) {
    const configuration = (port, directory) => `
server.document-root = "${directory}"
server.bind = "127.0.0.1"
server.port = ${port}
server.max-connections = 2048
server.max-fds = 4608
server.upload-dirs = ( "${directory}" )
server.modules = ( "mod_fastcgi" )
server.stream-response-body = 2
fastcgi.server = ( "/" => (( "host" => "127.0.0.1", "port" => ${upstream},
    "check-local" => "disable", "fix-root-scriptname" => "enable" )) )
`;
    return start('lighttpd', (file) => ['-D', '-f', file], configuration);
}
