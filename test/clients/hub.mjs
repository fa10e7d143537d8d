// SPDX-License-Identifier: MIT
// Starts hubs and the other examples, sends requests to them, and waits.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { watch } from './hang.mjs';

const DEADLINE_MS = 30000;
const POLL_MS = 2;
/** Longer than anybody's answer takes. */
const ANSWER_MS = 60000;

/** Waits until a condition returns something true, and returns that. */
export async function until(condition, what, describe = () => '') {
    const end = performance.now() + DEADLINE_MS;
    for (;;) {
        const value = await condition();
        if (value) {
            return value;
        }
        if (performance.now() > end) {
            throw new Error(`waited in vain for ${what} ${describe()}`);
        }
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
}

/** Percent-encodes every byte except letters and digits, of a string or of a Buffer. */
export function encode(text) {
    return [...Buffer.from(text)].map((byte) => {
        const character = String.fromCharCode(byte);
        return /[a-zA-Z0-9]/.test(character) ? character : `%${byte.toString(16).padStart(2, '0')}`;
    }).join('');
}

/** Makes a query of the parameters that are present, with its question mark unless it is empty. */
function encodeQuery(parameters) {
    const pairs = Object.entries(parameters).filter(([, value]) => value !== undefined)
        .map(([name, value]) => `${name}=${encode(typeof value === 'number' ? String(value) : value)}`);
    return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
}

/** Makes one request on its own connection. With TLS, `ca` is the certificate to trust. */
export function request(url, { method = 'GET', headers = {}, body, ca } = {}) {
    const { request: send } = url.startsWith('https:') ? https : http;
    return new Promise((resolve, reject) => {
        const outgoing = send(url, { method, headers, agent: false, ca }, (response) => {
            const chunks = [];
            response.on('data', (chunk) => chunks.push(chunk));
            response.on('error', reject);
            response.on('end', () => resolve({
                status: response.statusCode,
                headers: response.headers,
                text: Buffer.concat(chunks).toString(),
            }));
        });
        outgoing.setTimeout(ANSWER_MS, () => {
            outgoing.destroy(new Error(`nothing came for ${ANSWER_MS} ms in answer to ${method} ${url}`));
        });
        outgoing.on('error', reject);
        outgoing.end(body);
    });
}

async function requestJson(url, options) {
    const { status, text } = await request(url, options);
    return { status, ...JSON.parse(text) };
}

const children = [];
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));

/** Ends the child if the tests end early. Returns it. */
export function killedAtExit(child) {
    children.push(child);
    watch(child);
    return child;
}

const REPORT = new RegExp('^shutdown: (?<clients>\\d+) clients, (?<completed>\\d+) completed, (?<cut>\\d+) cut, '
    + '(?<bytesLeft>\\d+) bytes left, (?<duration>\\d+) ms$', 'm');

class Server {
    constructor(child) {
        this.child = child;
        this.pid = child.pid;
        this.stdout = '';
        this.stderr = '';
        child.stdout.setEncoding('utf8').on('data', (text) => { this.stdout += text; });
        child.stderr.setEncoding('utf8').on('data', (text) => { this.stderr += text; });
        this.exited = new Promise((resolve) => {
            child.on('close', (code, signal) => resolve(code ?? signal));
        });
    }

    async listen() {
        const [, url] = await until(() => {
            assert.equal(this.child.exitCode, null, `the server ended: ${this.stderr}`);
            return this.stdout.match(/^listening on (http:\S+)\n/);
        }, 'the line that tells the address', () => this.stdout + this.stderr);
        this.url = url;
        this.port = Number(new URL(url).port);
    }

    descriptors() {
        return readdirSync(`/proc/${this.pid}/fd`).length;
    }

    /** Ends it as an operator would, and checks for errors inside it, with leaks. */
    async stop() {
        if (this.child.exitCode === null && this.child.signalCode === null) {
            this.child.kill('SIGTERM');
        }
        await this.untilExit();
    }

    async untilExit() {
        const timer = setTimeout(() => this.child.kill('SIGKILL'), DEADLINE_MS);
        const code = await this.exited;
        clearTimeout(timer);
        assert.equal(this.stderr, '', 'the server complained');
        assert.equal(code, 0, 'the server did not end well');
    }

    /** Kills it, as if its machine had died. */
    async kill() {
        this.child.kill('SIGKILL');
        await this.exited;
    }
}

class Hub extends Server {
    /** The address of a stream. `origin` may be that of a proxy. */
    events(topics, origin = this.url) {
        const query = [topics].flat().map((topic) => `topic=${encode(topic)}`).join('&');
        return `${origin}events${query && `?${query}`}`;
    }

    /** Publishes. A string is sent as UTF-8, a Buffer unchanged. Returns the answer and its status. */
    publish({ topic, type, id, retry, key, data = '' }, headers = {}) {
        const query = encodeQuery({ topic, type, id, retry, key });
        return requestJson(`${this.url}publish${query}`, { method: 'POST', headers, body: data });
    }

    /** Publishes during a client's reconnection time, so that the client misses the event. */
    publishUntilHeard(event) {
        return until(async () => {
            const { receivers } = await this.publish(event);
            return receivers > 0;
        }, 'a subscriber');
    }

    complete(topic) {
        return requestJson(`${this.url}complete${encodeQuery({ topic })}`, { method: 'POST' });
    }

    stats() {
        return requestJson(`${this.url}stats`);
    }

    /** The existing topics, by their names. */
    async topics() {
        const { topics } = await requestJson(`${this.url}topics`);
        return Object.fromEntries(topics.map(({ topic, ...counts }) => [topic, counts]));
    }

    /** The numbers in its report about its streams at its end. */
    get report() {
        const match = this.stdout.match(REPORT);
        assert.ok(match, `no report in ${JSON.stringify(this.stdout)}`);
        return Object.fromEntries(Object.entries(match.groups).map(([name, digits]) => [name, Number(digits)]));
    }
}

/** Starts a hub on a free port or a given one. `command` runs it, for example a shell that sets limits. */
export async function startHub(options = [], { before = [], stdin = 'ignore', port = 0 } = {}) {
    const [program, ...rest] = [...before, process.env.SSE_HUB, '--listen', `127.0.0.1:${port}`, ...options];
    const hub = new Hub(killedAtExit(spawn(program, rest, { stdio: [stdin, 'pipe', 'pipe'] })));
    await hub.listen();
    return hub;
}

/** Starts one of the numbered examples. `command` is as in startHub. */
export async function startExample(name, options, { before = [], stdin = 'ignore' } = {}) {
    const [program, ...rest] = [...before, join(process.env.SSE_EXAMPLES, name), ...options];
    const server = new Server(killedAtExit(spawn(program, rest, { stdio: [stdin, 'pipe', 'pipe'] })));
    await server.listen();
    return server;
}
