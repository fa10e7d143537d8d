// SPDX-License-Identifier: MIT
// Tests for nginx only: reload and quit while streams are open, compression, refused publishes.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { describe, test } from 'node:test';
import { until } from '../clients/hub.mjs';
import { DeafClient } from './frames.mjs';
import { buildsOf, childrenOf, missing, startHost } from './host.mjs';
import { hosts } from './list.mjs';
import { Stream } from './stream.mjs';

const PEER_GONE = 5;
const OVERFLOW = 7;
const SHUTDOWN = 10;
const HOUR_MS = 3600000;
const BODY_SIZE_MAX = 1 << 20;

const entries = hosts.filter(({ server }) => server === 'nginx');
const [plain] = entries;
const withHttp2 = entries.find(({ http2, tls }) => http2 && !tls);

async function start(t, entry, options) {
    const host = await startHost(entry, buildsOf(entry)[0], options);
    t.after(() => host.remove());
    return host;
}

/** nginx logs refused requests, and bodies that go to a file. Anything more serious is an error of the module. */
async function endWell(host) {
    host.terminate();
    await host.untilExit();
    assert.doesNotMatch(host.stderr, /\[(crit|alert|emerg)\]/);
}

async function assertFinal(stream) {
    await stream.untilEnd();
    assert.equal(stream.ended, 'end');
    assert.equal(stream.events.at(-1).type, 'final');
    const [retry, ...more] = stream.parser.retries;
    assert.ok(retry >= 500 && retry <= 2000, `retry ${retry}`);
    assert.deepEqual(more, []);
}

/** Reloads, and waits until the old worker has exited. */
async function reload(host) {
    const old = host.pid;
    host.child.kill('SIGHUP');
    await until(() => host.pid !== old, 'the old worker to exit', () => host.stderr.slice(-500));
    await until(() => childrenOf(host.child.pid).length === 1, 'one worker');
}

/** A request that is sent unchanged, on its own connection. */
async function ask(t, host, text) {
    const socket = net.connect(host.port, '127.0.0.1');
    t.after(() => socket.destroy());
    socket.on('error', () => {});
    await once(socket, 'connect');
    socket.write(text);
    return socket;
}

function testReload(entry) {
    test('a reload ends the streams with a final event, and clients reconnect to the new worker', async (t) => {
        const host = await start(t, entry);
        const streams = [];
        for (let count = 0; count < 20; count += 1) {
            streams.push(await Stream.open(host, 'reload'));
        }
        await host.publish('reload', 'before');
        for (const stream of streams) {
            await stream.untilEvents(1);
        }
        await reload(host);
        await Promise.all(streams.map(assertFinal));
        assert.deepEqual(host.endings, Array(20).fill(SHUTDOWN));
        const lastEventId = streams[0].events[0].id;
        const resumed = await Stream.open(host, 'reload', { lastEventId });
        await host.publish('reload', 'after');
        // The new worker has its own history.
        const events = await resumed.untilEvents(2);
        assert.deepEqual(events.map(({ type }) => type), ['gap', 'message']);
        assert.equal(events[1].data, 'after');
        await reload(host);
        await assertFinal(resumed);
        await endWell(host);
    });
}

function testQuit(entry) {
    test('a client that reads nothing does not delay a worker that quits', async (t) => {
        const host = await start(t, entry);
        const stalled = await Stream.open(host, 'stall', { alone: true });
        const reader = await Stream.open(host, 'stall');
        stalled.stopReading();
        // More than all buffers on the way together, and less than would end the stream.
        const text = 'x'.repeat(65536);
        for (let count = 1; count <= 12; count += 1) {
            await host.publish('stall', text);
            await reader.untilEvents(count);
        }
        host.terminate();
        await assertFinal(reader);
        await host.untilExit();
    });

    test('a slow client receives everything before a worker exits', async (t) => {
        // A part of it must wait for the next second.
        const host = await start(t, entry, { more: 'limit_rate 300k;' });
        const stream = await Stream.open(host, 'behind');
        const texts = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(100000));
        for (const text of texts) {
            await host.publish('behind', text);
        }
        host.terminate();
        await assertFinal(stream);
        assert.deepEqual(stream.data, [...texts, '']);
        await host.untilExit();
    });

    test('a stop aborts the streams, and leaves nothing behind', async (t) => {
        const host = await start(t, entry);
        const streams = [];
        for (let count = 0; count < 5; count += 1) {
            streams.push(await Stream.open(host, 'stop'));
        }
        host.child.kill('SIGTERM');
        for (const stream of streams) {
            await stream.untilEnd();
            assert.notEqual(stream.ended, 'end');
        }
        await host.untilExit();
    });
}

function testCompression(entry) {
    test('a stream is not compressed, other answers are', async (t) => {
        const host = await start(t, entry);
        const headers = { 'accept-encoding': 'gzip' };
        const other = await host.request('nothing', { headers });
        assert.equal(other.headers['content-encoding'], 'gzip');
        const stream = new Stream(host, 'gzip', { headers });
        await stream.untilOpen();
        assert.equal(stream.headers['content-encoding'], 'identity');
        await host.publish('gzip', 'legible');
        await stream.untilEvents(1);
        assert.deepEqual(stream.data, ['legible']);
        stream.close();
        await host.untilEndings(1);
    });
}

function testPublishes(entry) {
    test('publishes that are refused, and those that just fit', async (t) => {
        const host = await start(t, entry, { more: `client_max_body_size ${2 * BODY_SIZE_MAX};` });
        const stream = await Stream.open(host, 'a');
        const publish = (options) => host.request('publish?topic=a', { method: 'POST', body: 'x', ...options });
        const foreign = 'https://foreign.example';
        const own = new URL(host.origin);
        const others = [foreign, 'null', `${own.protocol}//${own.hostname}:1`, `${foreign}?://${own.host}x`];
        for (const origin of others) {
            assert.equal((await publish({ headers: { origin } })).status, 403, origin);
        }
        const refused = await publish({ method: 'PUT' });
        assert.deepEqual([refused.status, refused.headers.allow], [405, 'POST']);
        const events = await host.request('events?topic=a', { method: 'DELETE' });
        assert.deepEqual([events.status, events.headers.allow], [405, 'GET, HEAD']);
        // More than the location accepts, then more than a stream may have queued. Neither ends the stream.
        for (const size of [2 * BODY_SIZE_MAX + 1, BODY_SIZE_MAX]) {
            const { status } = await publish({ body: 'x'.repeat(size) }).catch(({ code }) => ({ status: code }));
            assert.ok([413, 'EPIPE', 'ECONNRESET'].includes(status), `${size}: ${status}`);
        }
        const whole = 'y'.repeat(BODY_SIZE_MAX - 100);
        assert.equal((await publish({ body: whole })).status, 202);
        assert.equal((await publish({ headers: { origin: own.origin } })).status, 202);
        await stream.untilEvents(2);
        assert.deepEqual(stream.data, [whole, 'x']);
        assert.deepEqual(host.endings, []);
        stream.close();
        await host.untilEndings(1);
        await endWell(host);
    });
}

function testRequests(entry) {
    test('a stream has all the topics that are named, each event once', async (t) => {
        const host = await start(t, entry);
        const stream = new Stream(host, 'one', { more: '&topic=two&topic=one&other=x' });
        await stream.untilOpen();
        for (const topic of ['one', 'two', 'three', 'one']) {
            await host.publish(topic, `to ${topic}`);
        }
        await stream.untilEvents(3);
        assert.deepEqual(stream.data, ['to one', 'to two', 'to one']);
        const many = Array(17).fill('&topic=x').join('');
        assert.equal((await host.request(`events?${many.slice(1)}`)).status, 400);
        stream.close();
        await host.untilEndings(1);
    });

    test('HEAD returns the head of a stream, and opens none', async (t) => {
        const host = await start(t, entry);
        const { status, headers, text } = await host.request('events?topic=a', { method: 'HEAD' });
        assert.deepEqual([status, headers['content-type'], text], [200, 'text/event-stream', '']);
        await endWell(host);
        assert.deepEqual(host.endings, []);
    });
}

/* Requests that need HTTP/1.1, or no TLS. */
function testConnections() {
    test('a disconnect before the beginning of the stream is noticed at once', async (t) => {
        const host = await start(t, plain, { heartbeatMs: HOUR_MS });
        const socket = await ask(t, host, 'GET /events?topic=a HTTP/1.1\r\nHost: localhost\r\n\r\n');
        socket.end();
        await host.untilEndings(1);
        assert.deepEqual(host.endings, [PEER_GONE]);
    });

    test('a request for a stream may have a body', async (t) => {
        const host = await start(t, plain);
        const head = 'GET /events?topic=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\n';
        const socket = await ask(t, host, `${head}abc`);
        let answer = '';
        socket.on('data', (data) => { answer += data; });
        await until(() => answer.includes('\r\n\r\n'), 'the head', () => answer);
        socket.write('def');
        await host.publish('a', 'to a');
        await until(() => answer.includes('data: to a\n'), 'an event', () => answer);
        socket.destroy();
        await host.untilEndings(1);
        await endWell(host);
    });

    test('HTTP/1.0 receives a stream without chunks, up to the end of the connection', async (t) => {
        const host = await start(t, plain);
        const socket = await ask(t, host, 'GET /events?topic=a HTTP/1.0\r\n\r\n');
        let answer = '';
        socket.on('data', (data) => { answer += data; });
        await until(() => answer.includes('\r\n\r\n'), 'the head', () => answer);
        await host.publish('a', 'to a');
        host.terminate();
        await once(socket, 'close');
        const body = /\r\n\r\n:\ndata: to a\nid: [^\n]+\n\n(?::\n)*event: final\ndata: \n\nretry: \d+\n\n$/;
        assert.match(answer, body);
        assert.doesNotMatch(answer, /transfer-encoding/i);
        await host.untilExit();
    });

    test('a connection serves requests before and after a stream', async (t) => {
        const host = await start(t, plain, { streamsMax: 1 });
        const first = await Stream.open(host, 'a');
        const request = 'GET /events?topic=a HTTP/1.1\r\nHost: localhost\r\n\r\n';
        const socket = await ask(t, host, request + request);
        let answer = '';
        socket.on('data', (data) => { answer += data; });
        await until(() => answer.split('HTTP/1.1 200').length === 3, 'two refusals', () => answer);
        first.close();
        await host.untilEndings(1);
        socket.write(request);
        await until(() => answer.split('HTTP/1.1 200').length === 4, 'a stream', () => answer);
        await host.publish('a', 'to a');
        await until(() => answer.includes('data: to a\n'), 'an event', () => answer);
        socket.destroy();
        await host.untilEndings(2);
        await endWell(host);
    });

    test('limit_rate only slows a stream down', async (t) => {
        const host = await start(t, plain, { more: 'limit_rate 200k;' });
        const stream = await Stream.open(host, 'slow');
        const texts = Array.from({ length: 10 }, (_, index) => String(index).repeat(20000));
        for (const text of texts) {
            await host.publish('slow', text);
        }
        await stream.untilEvents(10);
        assert.deepEqual(stream.data, texts);
        stream.close();
        await host.untilEndings(1);
        await endWell(host);
    });

    test('the connection of a client that overflows is aborted', async (t) => {
        const host = await start(t, plain);
        const stream = await Stream.open(host, 'full');
        stream.stopReading();
        const text = 'x'.repeat(500000);
        await until(async () => {
            await host.publish('full', text);
            return host.endings.length > 0;
        }, 'its end');
        assert.deepEqual(host.endings, [OVERFLOW]);
        stream.goOnReading();
        await stream.untilEnd();
        assert.notEqual(stream.ended, 'end');
    });

    test('frames of HTTP/2 that outlive their stream keep its events in memory', async (t) => {
        // No history retains them.
        const host = await start(t, withHttp2, { more: 'sse_history 0;' });
        const deaf = new DeafClient(host.port, '/events?topic=deaf');
        t.after(() => deaf.close());
        const text = 'x'.repeat(65536);
        await until(async () => {
            await host.publish('deaf', text);
            return host.endings.length > 0;
        }, 'its end');
        assert.deepEqual(host.endings, [OVERFLOW]);
        deaf.listen();
        await until(() => deaf.isReset, 'the reset', () => deaf.body.length);
        // Where publishing takes long there are heartbeats between the events.
        assert.match(deaf.body, /^:\n(?:data: x{65536}\n\n|:\n)+(?:data: x*)?$/);
        await endWell(host);
    });

    test('nginx warns of several workers', async (t) => {
        const host = await start(t, plain);
        assert.doesNotMatch(host.stderr, /\[warn\]/);
        const several = await start(t, { ...plain, workers: 2 });
        const warning = /\[warn\].* set worker_processes to 1/;
        await until(() => warning.test(several.stderr), 'the warning', () => several.stderr);
    });
}

const reason = missing(plain);

describe('nginx', { concurrency: 2, skip: reason }, () => {
    for (const entry of entries) {
        describe(entry.name, { concurrency: 1 }, () => {
            testReload(entry);
            testQuit(entry);
            testCompression(entry);
            testPublishes(entry);
            testRequests(entry);
        });
    }
    describe('connections', { concurrency: 1 }, testConnections);
});
