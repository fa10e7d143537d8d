// SPDX-License-Identifier: MIT
// A test's own Redis, and nodes that share it.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { encode, killedAtExit, request, until } from '../clients/hub.mjs';
import { freePort } from '../clients/front.mjs';
import { openCurl } from '../clients/sources.mjs';

const run = promisify(execFile);
/** Redis' format. The id of an event also has the mark of its entry at the end. */
const ID = /^\d+-\d+$/;
export const STREAM = 'events';
const EXIT_MS = 30000;
const COMMAND_MS = 30000;

/** A child process that can be ended and started again with the same arguments. */
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

    /** Returns how it ended: with SIGKILL, if it takes too long. */
    async end(signal) {
        if (this.isRunning) {
            // A test that failed may have left it stopped. With SIGCONT right behind it, SIGTERM was lost at times.
            this.child.kill('SIGCONT');
            this.child.kill(signal);
        }
        const timer = setTimeout(() => this.child.kill('SIGKILL'), EXIT_MS);
        const ending = await this.exited;
        clearTimeout(timer);
        return ending;
    }
}

class Redis extends Server {
    constructor(port, directory) {
        super([process.env.SSE_REDIS_SERVER], ['--port', port, '--bind', '127.0.0.1', '--dir', directory,
            '--save', '', '--appendonly', 'yes', '--appendfsync', 'always', '--loglevel', 'warning',
            '--repl-diskless-sync-delay', '0']);
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

    /** Returns what redis-cli prints. Rejects if Redis does not answer. */
    async cli(...command) {
        const options = { maxBuffer: 1 << 28, timeout: COMMAND_MS };
        const { stdout } = await run('redis-cli', ['-p', this.port, ...command.map(String)], options);
        return stdout;
    }

    /** The events of the stream, in order: id, topic, type, data. No text contains a line end. */
    async events() {
        const events = [];
        const text = await this.cli('XRANGE', STREAM, '-', '+');
        const lines = text === '\n' ? [] : text.split('\n').slice(0, -1);
        for (let at = 0; at < lines.length;) {
            const event = { id: lines[at++] };
            assert.match(event.id, ID);
            for (; at < lines.length && !ID.test(lines[at]); at += 2) {
                event[lines[at]] = lines[at + 1];
            }
            event.id += `-${event.mark}`;
            events.push(event);
        }
        return events.filter(({ topic }) => topic !== undefined);
    }

    /** Adds an entry like a node, with an id that the test chooses. Returns the event. */
    async add(id, topic, data) {
        const mark = Math.floor(Math.random() * 0xffffffff).toString(16).padStart(8, '1');
        await this.cli('XADD', STREAM, id, 'mark', mark, 'topic', topic, 'data', data);
        return { id: `${id}-${mark}`, topic, data };
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

/** Passes bytes on, in order. While `isHeld`, it keeps them. */
class Pipe {
    #kept = [];

    constructor(from, to, isHeld) {
        this.to = to;
        this.isHeld = isHeld;
        from.on('data', (chunk) => this.#take(() => to.write(chunk)));
        from.on('close', () => this.#take(() => to.end()));
        from.on('error', () => {});
    }

    #take(step) {
        this.#kept.push(step);
        this.flush();
    }

    flush() {
        while (!this.isHeld() && this.#kept.length > 0) {
            this.#kept.shift()();
        }
    }
}

/** A relay in front of Redis. It can be slow like a network, or change its address like a name. */
class Proxy {
    #pipes = new Set();
    #clients = new Set();
    /** What is kept back: `requests`, `replies`, `entries` (the replies to a node's reader) or null. */
    #held = null;

    constructor(target) {
        this.target = target;
        this.server = net.createServer((client) => this.#connect(client));
    }

    #connect(client) {
        const upstream = net.connect(this.target, '127.0.0.1');
        let reads = false;
        client.on('data', (chunk) => { reads ||= chunk.includes('XREAD'); });
        this.#clients.add(client);
        client.on('close', () => this.#clients.delete(client));
        this.#pipes.add(new Pipe(client, upstream, () => this.#held === 'requests'));
        const holdsReplies = () => this.#held === 'replies' || (this.#held === 'entries' && reads);
        this.#pipes.add(new Pipe(upstream, client, holdsReplies));
    }

    hold(what) {
        this.#held = what;
        this.#pipes.forEach((pipe) => pipe.flush());
    }

    /** Breaks every connection. New ones go to another port. */
    turnTo(target) {
        this.target = target;
        this.#clients.forEach((client) => client.destroy());
    }

    async start() {
        this.port = await freePort();
        this.server.listen(this.port, '127.0.0.1');
        await once(this.server, 'listening');
        return this;
    }

    stop() {
        this.hold(null);
        this.#clients.forEach((client) => client.destroy());
        this.server.close();
    }
}

export function startProxy(target) {
    return new Proxy(target).start();
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

    /** Waits until the node has found Redis. Before that it refuses all clients. */
    untilReady() {
        return until(async () => (await this.stats()).begun, 'the node to begin', () => this.stderr);
    }

    /** Checks for errors inside it, with leaks. */
    async stop() {
        const ending = await this.end('SIGTERM');
        assert.equal(ending, 0, `it ended with ${ending}: ${this.stderr}`);
        assert.doesNotMatch(this.stderr, /ERROR|WARNING|runtime error/);
    }

    async kill() {
        assert.equal(await this.end('SIGKILL'), 'SIGKILL', this.stderr);
    }
}

/** Starts a node on a port that it keeps. `command` runs it, for example a shell that sets limits. */
export async function startNode(redis, options = [], before = []) {
    const port = await freePort();
    const always = (process.env.SSE_REDIS_BEFORE ?? '').split(' ').filter(Boolean);
    const node = new Node([...before, ...always, process.env.SSE_REDIS_HUB],
        ['-p', port, '-q', redis.port, '-s', STREAM, '-t', 100, ...options].map(String));
    node.port = port;
    await node.start();
    return node;
}

export function eventsUrl(origin, topics) {
    return `${origin}events?${topics.map((topic) => `topic=${encode(topic)}`).join('&')}`;
}

/** Returns the status, and the id if the event was accepted. With a key, the event is stored once. */
export async function publish(origin, { topic, type = '', data = '' }, key = undefined) {
    const url = `${origin}publish?topic=${encode(topic)}&type=${encode(type)}`;
    const headers = key === undefined ? {} : { 'Idempotency-Key': key };
    const { status, text } = await request(url, { method: 'POST', headers, body: data });
    // A proxy in front may answer instead of the node.
    const { id, error } = text.startsWith('{') ? JSON.parse(text) : {};
    return { status, id, error };
}

/** Publishes an event that must be accepted, and returns it. */
export async function accepted(origin, event) {
    const { status, id } = await publish(origin, event);
    assert.equal(status, 202);
    return { ...event, id };
}

/** Publishes numbered events and returns them. */
export async function acceptedMany(origin, topic, count) {
    const events = [];
    for (let number = 0; number < count; ++number) {
        events.push(await accepted(origin, { topic, data: `${topic} ${number}` }));
    }
    return events;
}

/** A Redis for one test. */
export async function redisFor(t) {
    const server = await startRedis();
    t.after(() => server.stop());
    return server;
}

/** A node for one test. */
export async function nodeFor(t, server, options = [], before = []) {
    const node = await startNode(server, options, before);
    await node.untilReady();
    t.after(() => node.stop());
    return node;
}

export async function proxyFor(t, target) {
    const proxy = await startProxy(target);
    t.after(() => proxy.stop());
    return proxy;
}

/** A client that reconnects with an id, to any node. */
export async function comeBack(t, node, topics, id) {
    const stream = openCurl(eventsUrl(node.url, topics), ['-H', `Last-Event-ID: ${id}`]);
    t.after(() => stream.close());
    await stream.untilOpen();
    return stream;
}

export const dataOf = (events) => events.map(({ data }) => data);
export const idsOf = (events) => events.map(({ id }) => id);
