// SPDX-License-Identifier: MIT
// The numbered examples: the smallest program, and servers with a loop thread, with their own poll or epoll loop,
// and with one thread for each connection.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { request, startExample, until } from './hub.mjs';
import { Peer } from './peer.mjs';
import { curlSources, eventSources, fetchSource, openFor } from './sources.mjs';
import { readChunks, StrictParser } from './wire.mjs';

const DESCRIPTORS = 24;
const SPAWN_MS = 20000;
/** With all at a time, this process would be late with requests, for which the examples wait five seconds. */
const TESTS_AT_A_TIME = 8;
/** The largest event that the toy server accepts. */
const LARGE = 'x'.repeat(3800);
const ID = '0000000000000000-0000000000000000';
const FINAL_EVENT = 'event: restart\ndata: back soon\n\n';

/** `chunked`: to clients of HTTP/1.1. `noticesAlone`: it notices a disconnect at once, otherwise only when a send
 *  fails. */
const [loopThread, pollLoop, threads, epoll] = [
    { name: '02_loop_thread', events: 'alarms?user=7', target: 'alarms?user=7', type: 'alarm',
        chunked: true, history: true, noticesAlone: true, capacity: 500 },
    { name: '03_own_poll_loop', events: 'events', target: 'publish', type: 'message',
        chunked: false, history: false, noticesAlone: true, capacity: 250 },
    { name: '04_thread_per_connection', events: 'events', target: 'publish', type: 'message',
        chunked: true, history: true, noticesAlone: false, capacity: 250 },
    { name: '06_epoll', events: 'events', target: 'publish', type: 'message',
        chunked: false, history: false, noticesAlone: true, capacity: 250 },
];

async function start(t, example, port = 0, how = {}) {
    const server = await startExample(example.name, [String(port)], how);
    t.after(() => server.stop());
    return Object.assign(server, { example, idle: server.descriptors() });
}

/** Returns how many streams received it. */
async function publish(server, body, target = server.example.target) {
    const { status, text } = await request(server.url + target, { method: 'POST', body });
    assert.equal(status, 202, text);
    assert.match(text, /^sent to \d+\n$/);
    return Number(text.slice('sent to '.length));
}

const get = (target, version = '1.1', headers = '') =>
    `GET /${target} HTTP/${version}\r\nHost: localhost\r\n${headers}\r\n`;

async function openPeer(t, server, bytes = get(server.example.events)) {
    const peer = await Peer.connect(server.port);
    t.after(() => peer.close());
    peer.send(bytes);
    await peer.untilReceived('retry: 2000\n');
    return peer;
}

/** The exact bytes of a stream after these events; with a `retry`, up to its end. */
function expected({ type, chunked, history }, texts, { retry, version = '1.1' } = {}) {
    const inChunks = chunked && version === '1.1';
    const frame = (text) => (inChunks ? `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n` : text);
    const name = type === 'message' ? '' : `event: ${type}\n`;
    const id = history ? `id: ${ID}\n` : '';
    const end = retry ? [FINAL_EVENT, `retry: ${retry}\n\n`] : [];
    const messages = ['retry: 2000\n', ...texts.map((text) => `${name}data: ${text}\n${id}\n`), ...end];
    return `HTTP/${chunked ? version : '1.1'} 200 OK\r\nContent-Type: text/event-stream\r\n`
        + 'Cache-Control: no-cache, no-transform\r\nContent-Encoding: identity\r\nX-Accel-Buffering: no\r\n'
        + `${inChunks ? 'Transfer-Encoding: chunked\r\n' : ''}${chunked ? 'Connection: close\r\n' : ''}\r\n`
        + `${messages.map(frame).join('')}${inChunks && retry ? '0\r\n\r\n' : ''}`;
}

const withoutIds = (text) => text.replaceAll(/[0-9a-f]{16}-[0-9a-f]{16}/g, ID);

/** The retry at the end of a stream. */
function lastRetry({ text }) {
    const retry = Number(text.match(/\nretry: (\d+)\n\n(\r\n0\r\n\r\n)?$/)?.[1]);
    assert.ok(retry >= 500 && retry <= 3000, text);
    return retry;
}

/** The events of a stream that has ended. */
function eventsOf({ received }, { chunked }) {
    const parser = new StrictParser();
    const body = received.subarray(received.indexOf('\r\n\r\n') + 4);
    (chunked ? readChunks(body) : [body]).forEach((bytes) => parser.feed(bytes));
    parser.end();
    return parser.events;
}

function untilDescriptors(server, count) {
    return until(() => server.descriptors() === count, `${count} descriptors`, () => `${server.descriptors()}`);
}

/** The descriptors below the program's limit. Inherited ones may be above it. */
function allowedDescriptors(server) {
    return readdirSync(`/proc/${server.pid}/fd`).filter((name) => Number(name) < DESCRIPTORS).length;
}

function run({ name }, options, how = {}) {
    const program = join(process.env.SSE_EXAMPLES, name);
    const { status, stdout, stderr } = spawnSync(program, options, { encoding: 'utf8', timeout: SPAWN_MS, ...how });
    return [status, stdout, stderr];
}

async function answerTo(server, bytes) {
    const peer = await Peer.connect(server.port);
    peer.send(bytes);
    await peer.untilEnd();
    peer.close();
    return peer.status;
}

function testClients(example) {
    test(`${example.name}: every client receives what is published`, async (t) => {
        const server = await start(t, example);
        const sources = [...eventSources, fetchSource, curlSources[0]];
        const streams = await Promise.all(
            sources.map((source) => openFor(t, source, server.url + example.events, ['alarm'])));
        assert.equal(await publish(server, 'one\r\ntwo\rthree\n\n grüße'), sources.length);
        assert.equal(await publish(server, ''), sources.length);
        for (const stream of streams) {
            const events = await stream.untilEvents(2);
            assert.deepEqual(events.map(({ type, data }) => [type, data]),
                [[example.type, 'one\ntwo\nthree\n\n grüße'], [example.type, '']]);
            assert.ok(events.every(({ id }) => withoutIds(id) === (example.history ? ID : '')));
            stream.close();
        }
    });

    test(`${example.name}: a client reconnects to a server that was restarted`, async (t) => {
        const first = await startExample(example.name, ['0']);
        const stream = await openFor(t, eventSources[0], `${first.url}${example.events}`, ['alarm', 'restart']);
        await first.stop();
        const second = await start(t, example, first.port);
        await stream.untilOpen(2);
        assert.equal(await publish(second, 'again'), 1);
        const events = await stream.untilEvents(2);
        assert.deepEqual(events.map(({ type, data }) => [type, data]),
            [['restart', 'back soon'], [example.type, 'again']]);
    });
}

function testFraming(example) {
    for (const signal of ['SIGTERM', 'SIGINT']) {
        test(`${example.name}: streams have the exact bytes, and ${signal} ends them`, async (t) => {
            const server = await start(t, example);
            const early = await openPeer(t, server);
            const old = await openPeer(t, server, get(example.events, '1.0'));
            await publish(server, 'one');
            const late = await openPeer(t, server);
            await publish(server, 'two');
            server.child.kill(signal);
            await server.untilExit();
            await Promise.all([early, old, late].map((peer) => peer.untilEnd()));
            assert.deepEqual([early, old, late].map(({ error }) => error), [null, null, null]);
            const [retry, retryOfOld, retryOfLate] = [early, old, late].map(lastRetry);
            assert.equal(withoutIds(early.text), expected(example, ['one', 'two'], { retry }));
            assert.equal(withoutIds(old.text),
                expected(example, ['one', 'two'], { retry: retryOfOld, version: '1.0' }));
            assert.equal(withoutIds(late.text), expected(example, ['two'], { retry: retryOfLate }));
        });
    }

    test(`${example.name}: an incomplete request does not delay the end, and is not served`, async (t) => {
        const server = await start(t, example);
        const [silent, half] = [await Peer.connect(server.port), await Peer.connect(server.port)];
        t.after(() => [silent, half].forEach((peer) => peer.close()));
        half.send(get(example.events).slice(0, -2));
        await until(() => server.descriptors() === server.idle + 2, 'both to be accepted');
        await server.stop();
        await Promise.all([silent, half].map((peer) => peer.untilEnd()));
        assert.deepEqual([silent, half].map(({ status }) => status), [408, 408]);
    });
}

function testDepartures(example) {
    test(`${example.name}: streams end exactly when their clients disconnect, at any moment`, async (t) => {
        const server = await start(t, example);
        for (const leave of ['close', 'reset']) {
            for (const bytes of ['', 'GET', get(example.events), get(example.events).repeat(3)]) {
                const peer = await Peer.connect(server.port);
                peer.send(bytes);
                peer[leave]();
            }
            (await openPeer(t, server))[leave]();
        }
        const stays = await openPeer(t, server);
        await until(async () => {
            const alone = server.descriptors() === server.idle + 1;
            if (!alone && !example.noticesAlone) {
                await publish(server, 'who is there?');
            }
            return alone;
        }, 'one connection', () => `${server.descriptors()} descriptors, ${server.idle} at rest`);
        assert.equal(await publish(server, 'you'), 1);
        await stays.untilReceived('data: you\n');
    });

    // The loop would write with the next heartbeat even if nobody woke it. Then three events would take longer.
    test(`${example.name}: a half-closed client still receives`, { timeout: 30000 }, async (t) => {
        const server = await start(t, example);
        const peer = await openPeer(t, server);
        peer.endSending();
        for (const text of ['one', 'two', 'three']) {
            assert.equal(await publish(server, text), 1);
            await peer.untilReceived(`data: ${text}\n`);
        }
    });

    test(`${example.name}: a client that sends without end still receives`, async (t) => {
        const server = await start(t, example);
        const peer = await openPeer(t, server);
        peer.send(Buffer.alloc(1000000, 'x'));
        assert.equal(await publish(server, 'one'), 1);
        await peer.untilReceived('data: one\n');
    });

    test(`${example.name}: without a free descriptor it waits for one`, async (t) => {
        const before = ['sh', '-c', `ulimit -n ${DESCRIPTORS} && exec "$@"`, 'sh'];
        const server = await start(t, example, 0, { before });
        const peers = await Promise.all(Array.from({ length: DESCRIPTORS }, () => Peer.connect(server.port)));
        peers.forEach((peer) => peer.send(get(example.events)));
        await until(() => allowedDescriptors(server) === DESCRIPTORS, 'all descriptors to be in use');
        peers.forEach((peer) => peer.close());
        await until(async () => await publish(server, 'who is there?') === 0, 'all to be forgotten');
        await untilDescriptors(server, server.idle);
    });
}

/** Publishes to a client that does not read until its stream ends. Returns the number of events that this took to
 *  fill the kernel's buffers and then the queue. */
async function fill(t, server) {
    const stalled = await openPeer(t, server);
    let count = 0;
    stalled.stopReading();
    for (const receivers = await publish(server, LARGE); await publish(server, LARGE) === receivers;) {
        count += 1;
    }
    return count;
}

function testSlowClients(example) {
    test(`${example.name}: a late reader receives everything, a client that reads nothing ends`, async (t) => {
        const server = await start(t, example);
        const quick = await openPeer(t, server);
        const sent = Array(2 + await fill(t, server)).fill(LARGE);
        const slow = await openPeer(t, server);
        // The kernel's buffers are full, and the queue is not.
        const texts = Array.from({ length: sent.length - 150 }, (_, number) => `${number} ${LARGE}`);
        slow.stopReading();
        for (const text of texts) {
            assert.equal(await publish(server, text), 2);
        }
        await quick.untilReceived(`data: ${texts.at(-1)}\n`);
        slow.readAgain();
        await slow.untilReceived(`data: ${texts.at(-1)}\n`);
        const stalled = await openPeer(t, server);
        stalled.stopReading();
        for (const text of texts) {
            assert.equal(await publish(server, text), 3);
        }
        await server.stop();
        await Promise.all([slow, quick].map((peer) => peer.untilEnd()));
        const all = [...texts, ...texts, 'back soon'];
        assert.deepEqual(eventsOf(slow, example).map(({ data }) => data), all);
        assert.deepEqual(eventsOf(quick, example).map(({ data }) => data), [...sent, ...all]);
    });
}

function testRefusals(example) {
    test(`${example.name}: bad requests are refused`, async (t) => {
        const server = await start(t, example);
        const head = `POST /${example.target} HTTP/1.1\r\n`;
        const nowhere = example === loopThread ? 400 : 404;
        const all = [['\r\n\r\n', 400], ['GET /\r\n\r\n', 400], ['GET / HTTP/2.0\r\n\r\n', 400], [get(''), nowhere],
            ['x'.repeat(5000), 431], ['\0'.repeat(5000), 431], [`${head}\r\n`, 411],
            [`${head}Content-Length: -1\r\n\r\n`, 411], [`${head}Content-Length: 1x\r\n\r\n`, 411],
            [`${head}Content-Length: 2\r\n\r\n\xff\xfe`, 400],
            [`${head}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy`, 400],
            [`${head}content-length: 1\r\nX: y\r\nContent-Length: 1\r\n\r\nx`, 400],
            [`${head}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n`, 411],
            [`${head}Content-Length: 5000\r\n\r\n`, 413], [`${head}Content-Length: ${2n ** 64n - 2n}\r\n\r\n`, 413],
            [`${head}Content-Length: 5000\r\n\r\n${'x'.repeat(5000)}`, 413]];
        for (const [bytes, status] of all) {
            assert.equal(await answerTo(server, Buffer.from(bytes, 'latin1')), status, bytes.slice(0, 100));
        }
        assert.equal(await publish(server, 'x'), 0);
    });

    test(`${example.name}: pages of another origin may do nothing`, async (t) => {
        const server = await start(t, example);
        const own = `Host: 127.0.0.1:${server.port}\r\n`;
        const pages = [
            ['', 202], [own, 202], [`${own}Origin: http://127.0.0.1:${server.port}\r\n`, 202],
            [`${own}Sec-Fetch-Site: \t same-origin \r\n`, 202],
            ['Host: evil.example\r\n', 403], [`${own}Origin: http://evil.example\r\n`, 403],
            [`${own}Origin: http://127.0.0.1:1\r\n`, 403], [`${own}Origin: null\r\n`, 403],
            [`${own}Sec-Fetch-Site: cross-site\r\n`, 403],
        ];
        for (const [fields, status] of pages) {
            const post = `POST /${example.target} HTTP/1.1\r\n${fields}Content-Length: 1\r\n\r\nx`;
            assert.equal(await answerTo(server, post), status, fields);
            if (status === 403) {
                const listen = `GET /${example.events} HTTP/1.1\r\n${fields}\r\n`;
                assert.equal(await answerTo(server, listen), status, fields);
            }
        }
    });

    test(`${example.name}: a client over the cap is told when to reconnect`, async (t) => {
        const server = await start(t, example);
        const peers = [];
        while (peers.length < example.capacity) {
            peers.push(await openPeer(t, server));
        }
        const refused = await request(server.url + example.events);
        assert.equal(refused.status, 200);
        assert.equal(refused.headers['content-type'], 'text/event-stream');
        assert.match(refused.text, /^retry: \d+\n\n$/);
        assert.equal(Number(refused.headers['content-length']), refused.text.length);
        const retry = Number(refused.text.match(/\d+/)[0]);
        assert.ok(retry >= 2000 && retry <= 10000, refused.text);
        peers[0].close();
        await until(async () => await publish(server, 'who is there?') < example.capacity, 'room');
        const stream = await openPeer(t, server);
        await publish(server, 'one');
        await stream.untilReceived('data: one\n');
    });

    test(`${example.name}: bad arguments and a port in use are reported`, async (t) => {
        const server = await start(t, example);
        for (const options of [[], [''], ['x'], ['8080x'], ['-1'], ['+1'], ['65536'], ['9'.repeat(30)], ['0', '0']]) {
            assert.deepEqual(run(example, options), [2, '', `usage: ${example.name} PORT\n`], `${options}`);
        }
        assert.deepEqual(run(example, [String(server.port)]),
            [1, '', `${example.name}: Address already in use\n`]);
        assert.equal(await publish(server, 'x'), 0);
    });
}

function testHistory(example) {
    const bad = ['x', '-', ID, 'a b "<>', '%00', '%0A', '%0Ddata:x', '%FF', '%zz', 'x'.repeat(2000)];
    const separator = example.events.includes('?') ? '&' : '?';
    const gap = /(?:[0-9a-f]+\r\n)?event: gap\ndata:.*\ndata:.*\nid: .*\n\n(?:\r\n)?/;

    test(`${example.name}: a client that reconnects receives what it missed`, async (t) => {
        const server = await start(t, example);
        const first = await openPeer(t, server);
        await publish(server, 'one');
        await first.untilReceived('data: one\n');
        first.close();
        await publish(server, 'two');
        await publish(server, 'three');
        const [, id] = first.text.match(/\nid: (\S+)\n/);
        const second = await openPeer(t, server, get(example.events, '1.1', `Last-Event-ID: ${id}\r\n`));
        await second.untilReceived('data: three\n');
        assert.equal(withoutIds(second.text), expected(example, ['two', 'three']));
    });

    test(`${example.name}: with any Last-Event-ID a client is accepted, and notified of a gap`, async (t) => {
        const server = await start(t, example);
        for (const id of bad) {
            const inHeader = await openPeer(t, server, get(example.events, '1.1', `Last-Event-ID: ${id}\r\n`));
            const inQuery = await openPeer(t, server, get(`${example.events}${separator}lastEventId=${id}`
                .replaceAll(/[ "<>]/g, '+')));
            await publish(server, 'one');
            for (const peer of [inHeader, inQuery]) {
                await peer.untilReceived('data: one\n');
                assert.match(withoutIds(peer.text), gap, id);
                assert.equal(withoutIds(peer.text).replace(gap, ''), expected(example, ['one']), id);
                peer.close();
            }
        }
    });
}

describe('the examples', { concurrency: TESTS_AT_A_TIME }, () => {
    for (const example of [loopThread, pollLoop, threads, epoll]) {
        testClients(example);
        testFraming(example);
        testDepartures(example);
        testSlowClients(example);
        testRefusals(example);
        if (example.history) {
            testHistory(example);
        }
    }

    test('02_loop_thread: the end of an older stream does not affect the newer one of its user', async (t) => {
        const server = await start(t, loopThread);
        const [older, newer] = [await openPeer(t, server), await openPeer(t, server)];
        const other = await openPeer(t, server, get('alarms?user=8'));
        assert.equal(await publish(server, 'one'), 2);
        older.close();
        await untilDescriptors(server, server.idle + 2);
        assert.equal(await publish(server, 'two'), 1);
        assert.equal(await publish(server, 'three', 'alarms?user=8'), 1);
        await newer.untilReceived('data: two\n');
        await other.untilReceived('data: three\n');
        assert.equal(withoutIds(newer.text), expected(loopThread, ['one', 'two']));
        assert.equal(withoutIds(other.text), expected(loopThread, ['three']));
    });

    test('02_loop_thread: any name is a user, and a request without a name is refused', async (t) => {
        const server = await start(t, loopThread);
        const stream = await openPeer(t, server, get('alarms?x=1&user=J%C3%BCrgen+%26+M'));
        assert.equal(await publish(server, 'one', 'alarms?user=J%C3%BCrgen%20%26%20M'), 1);
        assert.equal(await publish(server, 'two', 'alarms?user=J'), 0);
        await stream.untilReceived('data: one\n');
        const bad = ['', '?', '?user', '?user=', '?users=7', '?user=%00', '?user=%FF', `?user=${'x'.repeat(60)}`];
        for (const query of bad) {
            assert.equal(await answerTo(server, get(`alarms${query}`)), 400, query);
        }
    });

    test('the server does not wait for ever for a request', async (t) => {
        const server = await start(t, loopThread);
        assert.equal(await answerTo(server, 'GET'), 408);
    });

    test('01_hello_fd: three events to the client of a web server', () => {
        const head = 'Status: 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache, no-transform\r\n'
            + 'Content-Encoding: identity\r\nX-Accel-Buffering: no\r\n\r\n';
        const [status, stdout, stderr] = run({ name: '01_hello_fd' }, []);
        assert.deepEqual([status, stderr], [0, '']);
        assert.equal(stdout, `${head}:\ndata: hello\n\nevent: poem\ndata: roses are red\ndata: violets are blue\n\n`
            + 'data: bye\nid: 3\nretry: 2000\n\n');
        const parser = new StrictParser();
        parser.feed(Buffer.from(stdout.slice(head.length)));
        parser.end();
        assert.deepEqual(parser.events.map(({ data }) => data), ['hello', 'roses are red\nviolets are blue', 'bye']);
    });

    test('01_hello_fd: a failed write is reported', () => {
        const full = openSync('/dev/full', 'w');
        const [status, , stderr] = run({ name: '01_hello_fd' }, [], { stdio: ['ignore', full, 'pipe'] });
        closeSync(full);
        assert.deepEqual([status, stderr], [1, '01_hello_fd: No space left on device\n']);
    });
});
