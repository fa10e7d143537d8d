// SPDX-License-Identifier: MIT
// Tests for Apache only: its restarts and stops, its threads, compression, HTTP/2, and requests that the handlers
// refuse.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import { describe, test } from 'node:test';
import { until } from '../clients/hub.mjs';
import { MODULES } from './apache.mjs';
import { buildsOf, childrenOf, missing, startHost } from './host.mjs';
import { hosts } from './list.mjs';
import { ask } from './raw.mjs';
import { Stream } from './stream.mjs';

const DISCONNECTED = 5;
const SHUTDOWN = 10;
const HOUR_MS = 3600000;
const LARGE = 'x'.repeat(65536);

async function start(t, entry, build, options) {
    const host = await startHost(entry, build, options);
    t.after(() => host.remove());
    return host;
}

async function openAll(host, topics) {
    const streams = await Promise.all(topics.map((topic) => Stream.open(host, topic)));
    streams.forEach(({ status }) => assert.equal(status, 200));
    return streams;
}

async function assertFinal(stream) {
    await stream.untilEnd();
    assert.equal(stream.ended, 'end');
    assert.equal(stream.events.at(-1).type, 'final');
    const [retry, ...more] = stream.parser.retries;
    assert.ok(retry >= 500 && retry <= 2000, `retry ${retry}`);
    assert.deepEqual(more, []);
}

/** A client that reads nothing, until its stream has ended. During that time a thread of Apache was in a write. */
async function stall(host, topic, reader) {
    const stalled = await Stream.open(host, topic);
    stalled.stopReading();
    const before = host.endings.length;
    for (let count = 0; count < 300 && host.endings.length === before; count += 1) {
        const received = reader.events.length;
        await host.publish(topic, LARGE);
        await reader.untilEvents(received + 1);
    }
    await host.untilEndings(before + 1);
    return stalled;
}

const smallSockets = { more: 'SendBufferSize 65536' };

/** A client that reads nothing and whose queue is not full. A thread is in a write. */
async function openStalled(host, reader) {
    const stalled = await Stream.open(host, 'a', { alone: true });
    stalled.stopReading();
    // More than the sockets accept, and less than its queue holds.
    for (let count = 1; count <= 12; count += 1) {
        await host.publish('a', LARGE);
        await reader.untilEvents(count);
    }
    return stalled;
}

/** During a restart, Apache ignores signals. */
async function restart(host) {
    const old = host.pid;
    const running = () => host.stderr.split('resuming normal operations').length;
    const before = running();
    host.child.kill('SIGUSR1');
    await until(() => running() > before && !childrenOf(host.child.pid).includes(old),
        `another process than ${old}`);
}

function defineLife(entry, build) {
    test('a graceful restart: a final event, then a new process that serves', async (t) => {
        const host = await start(t, entry, build);
        const streams = await openAll(host, ['a', 'a', 'b']);
        await host.publish('a', 'before');
        await streams[0].untilEvents(1);
        const { id } = streams[0].events[0];
        await Promise.all([restart(host), ...streams.map(assertFinal)]);
        assert.deepEqual(host.endings, [SHUTDOWN, SHUTDOWN, SHUTDOWN]);
        // The new process does not know the ids of the old one, and reports a gap.
        const back = await Stream.open(host, 'a', { lastEventId: id });
        await host.publish('a', 'after');
        await back.untilEvents(2);
        assert.deepEqual(back.events.map(({ type }) => type), ['gap', 'message']);
        assert.equal(back.data[1], 'after');
        host.terminate();
        await host.untilExit();
    });

    test('restarts while clients connect and events are published', async (t) => {
        const host = await start(t, entry, build);
        let over = false;
        let opened = 0;
        const clients = Array.from({ length: 8 }, async (_, index) => {
            let finals = 0;
            while (!over) {
                const stream = await Stream.open(host, `topic ${index % 2}`);
                opened += 1;
                await until(() => over || stream.ended !== null, 'a restart');
                finals += stream.events.at(-1)?.type === 'final' ? 1 : 0;
                stream.close();
            }
            return finals;
        });
        for (let count = 1; count <= 3; count += 1) {
            await until(async () => {
                await host.publish('topic 0', 'x');
                return opened >= count * 8;
            }, 'the clients');
            await restart(host);
        }
        over = true;
        const finals = (await Promise.all(clients)).reduce((sum, count) => sum + count, 0);
        assert.ok(finals >= 16, `${finals} final events`);
        host.terminate();
        await host.untilExit();
    });

    test('a stop that is not graceful aborts streams, and leaves no process', async (t) => {
        const host = await start(t, entry, build, smallSockets);
        const streams = await openAll(host, ['a', 'a', 'b']);
        const stalled = await openStalled(host, streams[0]);
        host.child.kill('SIGTERM');
        for (const stream of streams) {
            await stream.untilEnd();
            assert.notEqual(stream.ended, 'end');
        }
        await host.untilExit();
        // A thread of mod_http2 that is in a write does not return, and is not waited for.
        const least = streams.length + (entry.http2 ? 0 : 1);
        assert.ok(host.endings.length >= least, `${host.endings.length} of ${least}`);
        assert.doesNotMatch(host.stderr, /exit signal/);
        stalled.close();
    });

    test('a graceful stop with a client that reads nothing', async (t) => {
        const host = await start(t, entry, build, smallSockets);
        const reader = await Stream.open(host, 'a');
        const stalled = await openStalled(host, reader);
        host.terminate();
        await assertFinal(reader);
        await host.untilExit();
        stalled.close();
    });

    test('a disconnect is noticed without a heartbeat', async (t) => {
        const host = await start(t, entry, build, { heartbeatMs: HOUR_MS });
        const streams = await openAll(host, Array(20).fill('a'));
        streams.forEach((stream) => stream.close());
        await host.untilEndings(streams.length);
        assert.deepEqual(host.endings, Array(20).fill(DISCONNECTED));
    });
}

function defineThreads(entry, build) {
    test('streams leave threads to other requests, and stalled clients release theirs', async (t) => {
        const more = 'ThreadsPerChild 4\nMaxRequestWorkers 4';
        const host = await start(t, entry, build, { streamsMax: 2, more });
        const reader = await Stream.open(host, 'a');
        for (let count = 0; count < 5; count += 1) {
            const stalled = await stall(host, 'a', reader);
            assert.equal(stalled.ended, null);
            t.after(() => stalled.close());
        }
        const second = await Stream.open(host, 'a');
        const refused = await host.request('events?topic=a');
        assert.deepEqual([refused.status, refused.headers['retry-after']], [200, '10']);
        assert.match(refused.text, /^retry: \d+\n\n$/);
        await host.publish('a', 'y');
        await second.untilEvents(1);
    });

    for (const [text, complaint] of [
        ['SseStreams 300', /SseStreams 300 leaves no thread of ThreadsPerChild 300/],
        ['MaxRequestWorkers 600', /reaches the streams of one process, and MaxRequestWorkers allows 2/],
    ]) {
        test(`the log says so: ${text}`, async (t) => {
            const host = await startHost(entry, build, { more: text })
                .catch(({ message }) => ({ stderr: message }));
            t.after(() => host.remove?.());
            assert.match(host.stderr, complaint);
        });
    }
}

/** A response, as it arrives. */
async function openRaw(t, url, headers) {
    const request = http.get(url, { headers, agent: false });
    t.after(() => request.destroy());
    const [response] = await once(request, 'response');
    const chunks = [];
    response.on('data', (chunk) => chunks.push(chunk)).on('error', () => {});
    return { headers: response.headers, untilText: (text) => (
        until(() => Buffer.concat(chunks).includes(text), text.slice(0, 100))) };
}

const brotli = `LoadModule brotli_module ${MODULES}/mod_brotli.so
SetOutputFilter BROTLI_COMPRESS;DEFLATE`;

function defineHandlers(entry, build) {
    for (const [encoding, more] of [['gzip', ''], ['br', brotli]]) {
        test(`${encoding} is on, and does not delay events`, async (t) => {
            const host = await start(t, entry, build, { more, heartbeatMs: HOUR_MS });
            const accept = { 'accept-encoding': encoding };
            // This shows that compression is on.
            const other = await openRaw(t, `${host.origin}page.txt`, accept);
            assert.equal(other.headers['content-encoding'], encoding);
            const { headers, untilText } = await openRaw(t, host.events('a'), accept);
            for (const text of ['short', LARGE]) {
                await host.publish('a', text);
                await untilText(`data: ${text}\n`);
            }
            assert.equal(headers['content-encoding'], 'identity');
        });
    }

    test('a virtual host is known by its names', async (t) => {
        const names = 'ServerName one.example\nServerAlias two.example';
        const host = await start(t, entry, build, { more: `<VirtualHost *>\n${names}\n</VirtualHost>` });
        for (const [name, status] of [['one.example', 202], ['TWO.example', 202], ['three.example', 403]]) {
            const headers = { Host: name, Origin: `http://${name}` };
            const answer = await ask(host, { method: 'POST', target: 'publish?topic=a', headers, body: 'x' });
            assert.equal(answer.status, status, name);
        }
    });

    test('several topics', async (t) => {
        const host = await start(t, entry, build);
        const numbers = (count) => Array.from({ length: count }, (_, index) => index);
        const query = (count) => numbers(count).map((number) => `topic=${number}`).join('&');
        const { untilText } = await openRaw(t, `${host.origin}events?${query(16)}`);
        await host.publish('0', 'first');
        await host.publish('15', 'last');
        await untilText('data: first\n');
        await untilText('data: last\n');
        assert.equal((await host.request(`events?${query(17)}`)).status, 400);
    });
}

function defineHttp2(entry, build) {
    test('a stream ends when its client closes it, and the other one continues', async (t) => {
        const host = await start(t, entry, build, { heartbeatMs: HOUR_MS });
        const [first, second] = [await Stream.open(host, 'a'), await Stream.open(host, 'a')];
        first.close();
        await host.untilEndings(1);
        assert.deepEqual(host.endings, [DISCONNECTED]);
        await host.publish('a', 'x');
        await second.untilEvents(1);
    });

    test('a connection has six streams, the seventh waits, and each close lowers the limit', async (t) => {
        const host = await start(t, entry, build);
        const session = http2.connect(host.origin);
        t.after(() => session.destroy());
        const open = () => {
            const stream = session.request({ ':path': '/events?topic=a' });
            const state = { stream, status: null, heartbeats: 0 };
            stream.on('response', (headers) => { state.status = headers[':status']; });
            stream.on('data', (chunk) => { state.heartbeats += chunk.toString() === ':\n' ? 1 : 0; });
            return state;
        };
        const states = Array.from({ length: 6 }, open);
        await until(() => states.every(({ status }) => status === 200), 'six streams');
        const seventh = open();
        const heard = states[0].heartbeats;
        await until(() => states[0].heartbeats >= heard + 5, 'five heartbeats');
        assert.equal(seventh.status, null);
        const close = (count) => states.splice(0, count).forEach(({ stream }) => (
            stream.close(http2.constants.NGHTTP2_CANCEL)));
        close(1);
        await host.untilEndings(1);
        const after = states[0].heartbeats;
        await until(() => states[0].heartbeats >= after + 5, 'five heartbeats more');
        assert.equal(seventh.status, null);
        close(4);
        await until(() => seventh.status === 200, 'the seventh');
    });
}

describe('Apache', { concurrency: 2 }, () => {
    for (const entry of hosts.filter(({ mpm }) => mpm)) {
        const skip = missing(entry);
        for (const build of buildsOf(entry)) {
            describe(`${entry.name}, ${build}`, { concurrency: 1, skip }, () => {
                defineLife(entry, build);
                if (entry.http2) {
                    defineHttp2(entry, build);
                } else if (!entry.tls) {
                    defineThreads(entry, build);
                    defineHandlers(entry, build);
                }
            });
        }
    }
});
