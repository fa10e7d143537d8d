// SPDX-License-Identifier: MIT
// A Redis of the test's own, and nodes that share it.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { encode, killedAtExit, request, until } from '../clients/hub.mjs';
import { freePort } from '../clients/front.mjs';

const run = promisify(execFile);
const ID = /^\d+-\d+$/;
const STREAM = 'events';

/** A child that can be ended and started again, with the same arguments. */
class Server {
    child = null;
    stderr = '';

    constructor(program, options) {
        this.program = program;
        this.options = options;
    }

    spawn() {
        const [program, ...before] = this.program;
        const stdio = ['ignore', 'pipe', 'pipe'];
        this.child = killedAtExit(spawn(program, [...before, ...this.options], { stdio }));
        this.exited = once(this.child, 'exit').then(([code, signal]) => code ?? signal);
        this.stdout = '';
        this.child.stdout.setEncoding('utf8').on('data', (text) => { this.stdout += text; });
        this.child.stderr.setEncoding('utf8').on('data', (text) => { this.stderr += text; });
    }

    get isRunning() {
        return this.child.exitCode === null && this.child.signalCode === null;
    }

    async end(signal) {
        if (this.isRunning) {
            this.child.kill(signal);
        }
        return this.exited;
    }
}

class Redis extends Server {
    constructor(port, directory) {
        super([process.env.SSE_REDIS_SERVER], ['--port', port, '--bind', '127.0.0.1', '--dir', directory,
            '--save', '', '--appendonly', 'yes', '--appendfsync', 'always', '--loglevel', 'warning']);
        this.port = port;
        this.directory = directory;
    }

    async start() {
        this.spawn();
        await until(async () => {
            assert.ok(this.isRunning, this.stdout);
            return (await this.cli('PING').catch(() => '')) === 'PONG\n';
        }, 'Redis');
    }

    /** What redis-cli prints; rejected if Redis is not there. */
    async cli(...command) {
        const options = { maxBuffer: 1 << 28 };
        const { stdout } = await run('redis-cli', ['-p', this.port, ...command.map(String)], options);
        return stdout;
    }

    /** The events of the stream, in order: id, topic, type, data. None of their texts has a line end. */
    async events() {
        const events = [];
        const lines = (await this.cli('XRANGE', STREAM, '-', '+')).split('\n').slice(0, -1);
        for (let at = 0; at < lines.length;) {
            const event = { id: lines[at++] };
            assert.match(event.id, ID);
            for (; at < lines.length && !ID.test(lines[at]); at += 2) {
                event[lines[at]] = lines[at + 1];
            }
            events.push(event);
        }
        return events.filter(({ topic }) => topic !== undefined);
    }

    async stop() {
        await this.end('SIGTERM');
        rmSync(this.directory, { recursive: true });
    }
}

export async function startRedis() {
    const redis = new Redis(await freePort(), mkdtempSync(join(tmpdir(), 'sse-redis-')));
    await redis.start();
    return redis;
}

class Node extends Server {
    get url() {
        return `http://127.0.0.1:${this.port}/`;
    }

    async start() {
        this.spawn();
        await until(() => {
            assert.ok(this.isRunning, this.stderr);
            return this.stdout.startsWith('listening on ');
        }, 'the line that tells the address', () => this.stderr);
    }

    async stats() {
        return JSON.parse((await request(`${this.url}stats`)).text);
    }

    /** Until it has found Redis: before that it sends all clients away. */
    untilReady() {
        return until(async () => (await this.stats()).begun, 'the node to begin', () => this.stderr);
    }

    /** Whatever went wrong inside it shows now, leaks included. */
    async stop() {
        assert.equal(await this.end('SIGTERM'), 0, this.stderr);
        assert.doesNotMatch(this.stderr, /ERROR|WARNING|runtime error/);
    }

    async kill() {
        assert.equal(await this.end('SIGKILL'), 'SIGKILL', this.stderr);
    }
}

/** Starts a node on a port that it keeps. */
export async function startNode(redis, options = []) {
    const port = await freePort();
    const before = (process.env.SSE_REDIS_BEFORE ?? '').split(' ').filter(Boolean);
    const node = new Node([...before, process.env.SSE_REDIS_HUB],
        ['-p', port, '-q', redis.port, '-s', STREAM, '-t', 100, ...options].map(String));
    node.port = port;
    await node.start();
    return node;
}

export function eventsUrl(origin, topics) {
    return `${origin}events?${topics.map((topic) => `topic=${encode(topic)}`).join('&')}`;
}

/** The status, and the id if the event was accepted. */
export async function publish(origin, { topic, type = '', data = '' }) {
    const url = `${origin}publish?topic=${encode(topic)}&type=${encode(type)}`;
    const { status, text } = await request(url, { method: 'POST', body: data });
    return { status, id: status === 202 ? JSON.parse(text).id : undefined };
}
