// SPDX-License-Identifier: MIT
// The same tests for every server: what clients receive, and what is left when they have disconnected.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { launchBrowser, listen } from '../clients/chromium.mjs';
import { until } from '../clients/hub.mjs';
import { eventSources, openCurl, openWithFetch } from '../clients/sources.mjs';
import { buildsOf, missing, startHost } from './host.mjs';
import { fetch as fetchHttp2 } from './http2.mjs';
import { hosts } from './list.mjs';
import { Stream } from './stream.mjs';

const PEER_GONE = 5;
const OVERFLOW = 7;
const SHUTDOWN = 10;
const HOSTS_AT_A_TIME = 2;
const HOUR_MS = 3600000;

/* Data, and the expected data where they differ. */
const texts = [
    ['a line'], [''], ['one\ntwo\nthree'], ['a\r\nb\rc\n', 'a\nb\nc\n'], ['\n\n'], [' : data: x\n\nevent: y'],
    ['Grüße, Ωμέγα, 豆, שלום, a\u2028b\u{1f600}\u{10ffff}\0'], ['x'.repeat(65536)], ['0123456\n'.repeat(8192)],
    ['é\u{1f600}'.repeat(11000)], ['the last'],
];
const sent = texts.map(([text]) => text);
const expected = texts.map(([text, other = text]) => other);

const numbers = (count, from = 0) => Array.from({ length: count }, (_, index) => String(from + index));

let browser = null;
before(async () => {
    browser = process.env.SSE_CHROMIUM ? await launchBrowser() : null;
});
after(() => browser?.close());

async function openAll(host, topics, options) {
    const streams = topics.map((topic) => new Stream(host, topic, options));
    for (const stream of streams) {
        await stream.untilOpen();
        assert.equal(stream.status, 200);
    }
    return streams;
}

async function closeAll(host, streams) {
    const count = host.endings.length + streams.length;
    streams.forEach((stream) => stream.close());
    await host.untilEndings(count);
}

function untilDescriptors(host, count) {
    return until(() => host.descriptors() <= count, `${count} descriptors`, () => `of ${host.descriptors()}`);
}

function openEventSource(host, url) {
    if (host.http2) {
        return openWithFetch((input, init) => fetchHttp2(input, { ...init, ca: host.ca }), url);
    }
    return eventSources[0].open(url, [], { connect: { ca: host.ca } });
}

/** A client that reads `step` events on each connection, disconnects, and reconnects for the others. */
async function comeAndGo(host, topic, first, last, step) {
    const received = [...first.events];
    let stream = first;
    let breaks = 0;
    while (received.at(-1).data !== last) {
        const count = stream === first ? received.length : 0;
        await until(() => stream.events.length >= count + step || stream.data.at(-1) === last || stream.ended,
            'more events', () => `after ${received.length}`);
        assert.equal(stream.ended, null);
        received.push(...stream.events.slice(count, count + step));
        const { id } = received.at(-1);
        stream.close();
        if (received.at(-1).data !== last) {
            breaks += 1;
            stream = await Stream.open(host, topic, { lastEventId: id });
        }
    }
    return { data: received.map(({ data }) => data), breaks };
}

/** Opens a stream that stops reading, and publishes until it has ended. Another reader of the topic receives
 *  everything. */
async function overflow(host, reader) {
    const text = 'x'.repeat(65536);
    const stalled = await Stream.open(host, 'stall', { alone: true });
    const before = host.endings.length;
    stalled.stopReading();
    // The buffers of the system and of the server take some megabytes. The queue takes one, or four while the
    // thread that writes is busy.
    for (let count = 1; count <= 300 && host.endings.length === before; count += 1) {
        await host.publish('stall', text);
        await reader.untilEvents(count);
    }
    await host.untilEndings(before + 1);
    const [reason, ...more] = host.endings.slice(before);
    // A thread that is blocked in a write reports the end only when the server ends the write.
    assert.ok(reason === OVERFLOW || (host.blocking && reason === PEER_GONE), `reason ${reason}`);
    assert.deepEqual(more, []);
    assert.ok(reader.data.every((data) => data === text));
    return stalled;
}

function defineTests(entry, build) {
    const it = { host: null };
    const atRest = {};

    before(async () => {
        it.host = await startHost(entry, build);
        // Descriptors of the first request may stay open.
        await closeAll(it.host, await openAll(it.host, ['warm', 'warm']));
        await it.host.publish('warm', 'x');
        atRest.descriptors = it.host.descriptors();
    });
    after(() => it.host?.remove());

    test('events are exact and in order', async (t) => {
        const { host } = it;
        const topic = 'events & ü';
        const curl = openCurl(host.events(topic), host.curlOptions);
        const source = openEventSource(host, host.events(topic));
        const stream = await Stream.open(host, topic);
        t.after(() => [curl, source].forEach((client) => client.close()));
        await curl.untilOpen();
        await source.untilOpen();
        for (const text of sent) {
            await host.publish('another topic', 'not for us');
            await host.publish(topic, text);
        }
        for (const client of [stream, curl, source]) {
            const events = await client.untilEvents(sent.length);
            assert.deepEqual(events.map(({ data }) => data), expected);
            assert.ok(events.every(({ type }) => type === 'message'));
            assert.equal(new Set(events.map(({ id }) => id)).size, sent.length);
            assert.ok(events.every(({ id }) => id !== ''));
        }
        assert.deepEqual([curl.errors, source.errors, source.opens], [[], [], 1]);
        assert.match(curl.head, host.http2 ? /^HTTP\/2 200/ : /^HTTP\/1\.1 200 /);
        assert.match(curl.head, /^content-type: text\/event-stream\r?$/im);
        assert.match(curl.head, /^cache-control: no-cache, no-transform\r?$/im);
        assert.doesNotMatch(curl.head, /^content-length:/im);
        await closeAll(host, [stream, curl, source]);
    });

    // Browsers do not speak HTTP/2 without TLS.
    if (build === buildsOf(entry)[0] && (!entry.http2 || entry.tls)) {
        test('events in Chromium', { skip: !process.env.SSE_CHROMIUM && 'there is no Chromium' }, async (t) => {
            const { host } = it;
            const context = await browser.newContext({ ignoreHTTPSErrors: host.tls });
            t.after(() => context.close());
            const page = await context.newPage();
            const blank = { contentType: 'text/html', body: '<!DOCTYPE html><link rel="icon" href="data:,">' };
            await page.route('**/blank', (route) => route.fulfill(blank));
            await page.goto(`${host.origin}blank`);
            await listen(page, host.events('browser'));
            const untilLogged = (count) => until(async () => {
                const log = await page.evaluate(() => window.log);
                return log.length >= count && log;
            }, `entry number ${count}`);
            await untilLogged(1);
            for (const text of sent) {
                await host.publish('browser', text);
            }
            const [opened, ...events] = await untilLogged(1 + sent.length);
            assert.equal(opened, 'open');
            assert.deepEqual(events.map((entry) => entry.replace(/^[^ ]+: /, '')), expected);
            const count = host.endings.length;
            await page.close();
            await host.untilEndings(count + 1);
        });
    }

    test('a stream is open before an event is sent, and a disconnect is noticed without a heartbeat', async (t) => {
        const host = await startHost(entry, build, { heartbeatMs: HOUR_MS });
        t.after(() => host.remove());
        const stream = await Stream.open(host, 'quiet');
        await until(() => stream.heartbeats === 1, 'the first byte');
        assert.deepEqual([stream.status, stream.ended], [200, null]);
        stream.close();
        if (!entry.blocking) {
            await host.untilEndings(1);
            assert.deepEqual(host.endings, [PEER_GONE]);
        }
    });

    test('a client over the cap is told when to reconnect, and nothing else', async (t) => {
        const host = await startHost(entry, build, { streamsMax: 2 });
        t.after(() => host.remove());
        const [first, second] = await openAll(host, ['one', 'two']);
        const refused = await host.request('events?topic=three');
        assert.deepEqual([refused.status, refused.headers['content-type']], [200, 'text/event-stream']);
        // The head of a stream, if one was sent before, would be here.
        const [, retry] = refused.text.match(/^retry: ([0-9]+)\n\n$/) ?? assert.fail(refused.text);
        assert.ok(retry >= 2000 && retry <= 10000, `retry ${retry}`);
        assert.equal((await host.request('events?topic=')).status, 400);
        assert.deepEqual(host.endings, []);
        await closeAll(host, [first]);
        const third = await Stream.open(host, 'three');
        await host.publish('three', 'x');
        await third.untilEvents(1);
        assert.equal(second.ended, null);
        await closeAll(host, [second, third]);
    });

    test('bad requests are refused', async () => {
        const { host } = it;
        const { misreads = [] } = entry;
        const refusals = [
            ['GET', 'events', /^400$/], ['GET', 'events?topic=', /^400$/], ['GET', 'nothing', /^404$/],
            ['GET', '', /^404$/], ['DELETE', 'publish?topic=a', /^40[45]$/],
            ['POST', 'events?topic=a', /^40[45]$/],
            ['POST', 'publish', /^400$/], ['POST', 'publish?topic=a', /^400$/, Buffer.from([0xff])],
            ['GET', `events?topic=${'x'.repeat(1025)}`, /^400$/],
            ['POST', `publish?topic=${'x'.repeat(1025)}`, /^400$/],
        ];
        // A server that checks these requests itself may answer otherwise, or not at all.
        const refused = /^(400|403|ECONNRESET)$/;
        for (const topic of ['%00', 'a%00b', '%', '%zz', '%ff'].filter((text) => !misreads.includes(text))) {
            refusals.push(['GET', `events?topic=${topic}`, refused], ['POST', `publish?topic=${topic}`, refused]);
        }
        for (const [method, target, expectedStatus, body = method === 'POST' ? 'x' : undefined] of refusals) {
            const answer = await host.request(target, { method, body }).catch(({ code }) => ({ status: code }));
            assert.match(String(answer.status), expectedStatus, `${method} ${target.slice(0, 40)}`);
        }
    });

    if (!entry.http2) {
        test('a client that asks for a WebSocket is answered in HTTP, or not at all', async () => {
            const { host } = it;
            const count = host.endings.length;
            const headers = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13',
                'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' };
            const { get } = host.tls ? https : http;
            const asking = get(host.events('socket'), { headers, agent: false, ca: host.ca });
            const answer = await new Promise((resolve) => {
                asking.on('response', ({ statusCode }) => resolve(String(statusCode)));
                asking.on('upgrade', ({ statusCode }, socket) => {
                    socket.destroy();
                    resolve(String(statusCode));
                });
                asking.on('error', ({ code }) => resolve(code));
            });
            asking.destroy();
            assert.match(answer, /^(200|101|ECONNRESET)$/);
            if (answer !== '101') {
                await host.untilEndings(count + 1);
            }
        });
    }

    test('Last-Event-ID', async (t) => {
        const { host } = it;
        const topic = 'replay';
        const witness = await Stream.open(host, topic);
        for (const text of numbers(5)) {
            await host.publish(topic, text);
        }
        const [, second] = await witness.untilEvents(5);
        const resumed = await Stream.open(host, topic, { lastEventId: second.id });
        const unknown = await Stream.open(host, topic, { lastEventId: 'never given' });
        const file = join(host.directory, 'headers');
        writeFileSync(file, Buffer.from('Last-Event-ID: \xff\xfe\n', 'latin1'));
        const malformed = openCurl(host.events(topic), [...host.curlOptions, '-H', `@${file}`]);
        t.after(() => malformed.close());
        await malformed.untilOpen();
        await host.publish(topic, '5');
        await resumed.untilEvents(4);
        assert.deepEqual(resumed.data, numbers(4, 2));
        assert.deepEqual(resumed.events.slice(0, 3), witness.events.slice(2, 5));
        // An id that no event can have is an unknown id.
        for (const client of [unknown, malformed]) {
            const events = await client.untilEvents(2);
            assert.deepEqual(events.map(({ type }) => type), ['gap', 'message']);
            assert.equal(events.at(-1).data, '5');
        }
        await closeAll(host, [witness, resumed, unknown, malformed]);
    });

    test('two hundred streams', async () => {
        const { host } = it;
        const topics = numbers(100).map((number) => `own ${number}`);
        const own = await openAll(host, topics);
        const shared = await openAll(host, topics.map(() => 'shared'));
        for (const [index, topic] of topics.entries()) {
            await host.publish(topic, `to ${index}`);
            if (index % 20 === 0) {
                await host.publish('shared', String(index / 20));
            }
        }
        for (const [index, stream] of own.entries()) {
            await stream.untilEvents(1);
            assert.deepEqual(stream.data, [`to ${index}`]);
        }
        for (const stream of shared) {
            await stream.untilEvents(5);
            assert.deepEqual(stream.data, numbers(5));
        }
        assert.ok([...own, ...shared].every(({ ended }) => ended === null));
        await closeAll(host, [...own, ...shared]);
        await untilDescriptors(host, atRest.descriptors);
    });

    test('fifty clients reconnect again and again, and lose nothing', async () => {
        const { host } = it;
        const count = 40;
        const before = host.endings.length;
        const streams = await openAll(host, Array(50).fill('busy'));
        await host.publish('busy', '0');
        for (const stream of streams) {
            await stream.untilEvents(1);
        }
        const clients = streams.map((stream, index) => (
            comeAndGo(host, 'busy', stream, String(count - 1), 6 + index % 9)));
        const publishing = (async () => {
            for (const number of numbers(count - 1, 1)) {
                await host.publish('busy', number);
            }
        })();
        const results = await Promise.all(clients);
        await publishing;
        results.forEach(({ data }) => assert.deepEqual(data, numbers(count)));
        const breaks = results.reduce((sum, one) => sum + one.breaks, 0);
        assert.ok(breaks >= 50, `only ${breaks} came back`);
        await host.untilEndings(before + streams.length + breaks);
        await untilDescriptors(host, atRest.descriptors);
    });

    test('a disconnect is noticed, although no event is published', async () => {
        const { host } = it;
        const witness = await Stream.open(host, 'witness');
        const count = host.endings.length;
        for (const way of ['close', 'kill']) {
            const stream = way === 'close' ? await Stream.open(host, 'silent')
                : openCurl(host.events('silent'), host.curlOptions);
            await stream.untilOpen();
            const heartbeats = witness.heartbeats;
            const seen = host.endings.length;
            stream.close();
            await host.untilEndings(seen + 1);
            // At once, or by the second write. A proxy needs two writes of its own. The rest is for a busy machine.
            assert.ok(witness.heartbeats - heartbeats <= 20, `${witness.heartbeats - heartbeats} heartbeats`);
            assert.equal(host.endings.at(-1), PEER_GONE);
        }
        assert.equal(host.endings.length, count + 2);
        await closeAll(host, [witness]);
    });

    test('a client that stops reading ends, and the others miss nothing', async () => {
        const { host } = it;
        const reader = await Stream.open(host, 'stall');
        const stalled = await overflow(host, reader);
        stalled.close();
        await closeAll(host, [reader]);
        await untilDescriptors(host, atRest.descriptors);
    });

    test('idle streams cost nothing', async (t) => {
        const { host } = it;
        const streams = await openAll(host, numbers(20));
        streams[1].sendMore();
        const heard = streams[0].heartbeats;
        const [ticks, start] = [host.ticks(), performance.now()];
        await until(() => streams[0].heartbeats >= heard + 8, 'eight heartbeats');
        const [used, ms] = [host.ticks() - ticks, performance.now() - start];
        t.diagnostic(`${used} ticks in ${ms.toFixed(0)} ms`);
        // A loop that never sleeps would use most of a processor: a hundred ticks a second.
        assert.ok(used <= 10 + ms / 100, `${used} ticks in ${ms.toFixed(0)} ms`);
        await closeAll(host, streams);
        await untilDescriptors(host, atRest.descriptors);
    });

    test('SIGTERM ends every stream with a final event, and leaves nothing', async (t) => {
        const { host } = it;
        const reader = await Stream.open(host, 'stall');
        // Its stream has ended, but it keeps its connection open.
        await overflow(host, reader);
        const before = host.endings.length;
        const streams = [reader, ...await openAll(host, numbers(49).map((number) => `last ${number % 5}`))];
        const silent = net.connect(host.port, '127.0.0.1');
        t.after(() => silent.destroy());
        await once(silent.on('error', () => {}), 'connect');
        host.terminate();
        for (const stream of streams) {
            await stream.untilEnd();
            assert.equal(stream.ended, 'end');
            stream.parser.end();
            assert.deepEqual([stream.events.at(-1).type, stream.data.at(-1)], ['final', '']);
            const [retry, ...more] = stream.parser.retries;
            assert.ok(retry >= 500 && retry <= 2000, `retry ${retry}`);
            assert.deepEqual(more, []);
        }
        await host.untilExit();
        assert.deepEqual(host.endings.slice(before), Array(50).fill(SHUTDOWN));
    });
}

describe('hosts', { concurrency: HOSTS_AT_A_TIME }, () => {
    for (const entry of hosts) {
        const reason = missing(entry);
        for (const build of buildsOf(entry)) {
            const name = `${entry.name}, ${build}`;
            if (reason) {
                test(name, { skip: reason }, () => {});
            } else {
                describe(name, { concurrency: 1 }, () => defineTests(entry, build));
            }
        }
    }
});
