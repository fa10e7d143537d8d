// SPDX-License-Identifier: MIT
// The examples that serve streams from a poll loop, from blocking threads, and from the library's loop.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { request, startExample, until } from './hub.mjs';
import { Peer } from './peer.mjs';
import { curlSources, eventSources, fetchSource, openFor } from './sources.mjs';

const DESCRIPTORS = 24;
const SPAWN_MS = 20000;

const CHUNKED = { headers: 'Transfer-Encoding: chunked\r\nConnection: close\r\n', beginning: 'retry: 2000\n',
    frame: (text) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`, end: '0\r\n\r\n' };
const TO_THE_END = { headers: '', beginning: '', frame: (text) => text, end: '' };

const [alarms, threads, driver] = [
    { name: '02_user_alarms', events: 'alarms?user=7', target: 'alarms?user=7', type: 'alarm',
        framing: CHUNKED, noticesAlone: true },
    // It notices who has left when a send fails.
    { name: '03_thread_per_connection', events: 'events', target: 'publish', type: 'message',
        framing: CHUNKED, noticesAlone: false },
    { name: '05_driver_thread', events: 'events', target: 'publish', type: 'message',
        framing: TO_THE_END, noticesAlone: true },
];

async function start(t, example, port = 0, how = {}) {
    const server = await startExample(example.name, [String(port)], how);
    t.after(() => server.stop());
    return Object.assign(server, { example, idle: server.descriptors() });
}

/** Returns to how many streams it went. */
async function publish(server, body, target = server.example.target) {
    const { status, text } = await request(server.url + target, { method: 'POST', body });
    assert.equal(status, 202, text);
    assert.match(text, /^sent to \d+\n$/);
    return Number(text.slice('sent to '.length));
}

const get = (target) => `GET /${target} HTTP/1.1\r\nHost: example\r\n\r\n`;

async function openPeer(t, server, target = server.example.events) {
    const peer = await Peer.connect(server.port);
    t.after(() => peer.close());
    peer.send(get(target));
    await peer.untilReceived('\r\n\r\n');
    return peer;
}

/** What a stream has sent, to the byte, when it was told the texts given. */
function expected({ type, framing }, texts) {
    const name = type === 'message' ? '' : `event: ${type}\n`;
    const frames = texts.map((text) => framing.frame(`${name}data: ${text}\n\n`));
    const beginning = framing.beginning && framing.frame(framing.beginning);
    return 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache, no-transform\r\n'
        + `X-Accel-Buffering: no\r\n${framing.headers}\r\n${beginning}${frames.join('')}`;
}

function untilDescriptors(server, count) {
    return until(() => server.descriptors() === count, `${count} descriptors`, () => `${server.descriptors()}`);
}

/** Those that count: what a program inherits may lie above its limit. */
function allowedDescriptors(server) {
    return readdirSync(`/proc/${server.pid}/fd`).filter((name) => Number(name) < DESCRIPTORS).length;
}

function run({ name }, options) {
    const program = join(process.env.SSE_EXAMPLES, name);
    const { status, stdout, stderr } = spawnSync(program, options, { encoding: 'utf8', timeout: SPAWN_MS });
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
    test(`${example.name}: every client gets what is published`, async (t) => {
        const server = await start(t, example);
        const sources = [...eventSources, fetchSource, curlSources[0]];
        const streams = await Promise.all(
            sources.map((source) => openFor(t, source, server.url + example.events, ['alarm'])));
        assert.equal(await publish(server, 'one\r\ntwo\rthree\n\n grüße'), sources.length);
        assert.equal(await publish(server, ''), sources.length);
        const told = [{ type: example.type, data: 'one\ntwo\nthree\n\n grüße', id: '' },
            { type: example.type, data: '', id: '' }];
        for (const stream of streams) {
            assert.deepEqual(await stream.untilEvents(2), told);
            stream.close();
        }
    });

    test(`${example.name}: a client comes back to a server that was restarted`, async (t) => {
        const first = await startExample(example.name, ['0']);
        const stream = await openFor(t, eventSources[0], `${first.url}${example.events}`, ['alarm']);
        await first.stop();
        const second = await start(t, example, first.port);
        await stream.untilOpen(2);
        assert.equal(await publish(second, 'again'), 1);
        assert.deepEqual(await stream.untilEvents(1), [{ type: example.type, data: 'again', id: '' }]);
    });
}

function testFraming(example) {
    for (const signal of ['SIGTERM', 'SIGINT']) {
        test(`${example.name}: streams are right to the byte, and ${signal} ends them`, async (t) => {
            const server = await start(t, example);
            const early = await openPeer(t, server);
            await publish(server, 'one');
            const late = await openPeer(t, server);
            await publish(server, 'two');
            server.child.kill(signal);
            await server.untilExit();
            await Promise.all([early, late].map((peer) => peer.untilEnd()));
            assert.deepEqual([early, late].map(({ error }) => error), [null, null]);
            assert.equal(early.text, expected(example, ['one', 'two']) + example.framing.end);
            assert.equal(late.text, expected(example, ['two']) + example.framing.end);
        });
    }
}

function testDepartures(example) {
    test(`${example.name}: clients that leave at any moment are forgotten, and no other`, async (t) => {
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
        await stays.untilReceived('data: you\n\n');
    });

    test(`${example.name}: a client that closes its sending side alone goes on receiving`, async (t) => {
        const server = await start(t, example);
        const peer = await openPeer(t, server);
        peer.endSending();
        for (const text of ['one', 'two', 'three']) {
            assert.equal(await publish(server, text), 1);
            await peer.untilReceived(`data: ${text}\n\n`);
        }
    });

    test(`${example.name}: without a descriptor left it waits for one`, async (t) => {
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

function testRefusals(example, refusals) {
    test(`${example.name}: what cannot be served is refused`, async (t) => {
        const server = await start(t, example);
        const head = `POST /${example.target} HTTP/1.1\r\n`;
        const all = [['\r\n\r\n', refusals.other], [get(''), refusals.other], ['x'.repeat(5000), refusals.giant],
            ['\0'.repeat(5000), refusals.giant], [`${head}\r\n`, 411], [`${head}Content-Length: -1\r\n\r\n`, 411],
            [`${head}Content-Length: 1x\r\n\r\n`, 411], [`${head}Content-Length: 2\r\n\r\n\xff\xfe`, 400],
            [`${head}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n`, 411],
            [`${head}Content-Length: 5000\r\n\r\n`, 413], [`${head}Content-Length: ${2n ** 64n - 2n}\r\n\r\n`, 413],
            [`${head}Content-Length: 5000\r\n\r\n${'x'.repeat(5000)}`, 413]];
        for (const [bytes, status] of all) {
            assert.equal(await answerTo(server, Buffer.from(bytes, 'latin1')), status, bytes.slice(0, 100));
        }
        assert.equal(await publish(server, 'x'), 0);
    });

    test(`${example.name}: bad arguments and a port in use are told`, async (t) => {
        const server = await start(t, example);
        for (const options of [[], [''], ['x'], ['8080x'], ['-1'], ['+1'], ['65536'], ['9'.repeat(30)], ['0', '0']]) {
            assert.deepEqual(run(example, options), [2, '', `usage: ${example.name} PORT\n`], `${options}`);
        }
        assert.deepEqual(run(example, [String(server.port)]),
            [1, '', `${example.name}: Address already in use\n`]);
        assert.equal(await publish(server, 'x'), 0);
    });
}

describe('the examples', { concurrency: true }, () => {
    const refusals = new Map([[alarms, { other: 400, giant: 431 }], [threads, { other: 404, giant: 400 }],
        [driver, { other: 404, giant: 400 }]]);
    for (const [example, statuses] of refusals) {
        testClients(example);
        testFraming(example);
        testDepartures(example);
        testRefusals(example, statuses);
    }

    test('02_user_alarms: the end of an older stream takes nothing from the newer one of its user', async (t) => {
        const server = await start(t, alarms);
        const [older, newer] = [await openPeer(t, server), await openPeer(t, server)];
        const other = await openPeer(t, server, 'alarms?user=8');
        assert.equal(await publish(server, 'one'), 2);
        older.close();
        await untilDescriptors(server, server.idle + 2);
        assert.equal(await publish(server, 'two'), 1);
        assert.equal(await publish(server, 'three', 'alarms?user=8'), 1);
        await newer.untilReceived('data: two\n\n');
        await other.untilReceived('data: three\n\n');
        assert.equal(newer.text, expected(alarms, ['one', 'two']));
        assert.equal(other.text, expected(alarms, ['three']));
    });

    test('05_driver_thread: whoever waits to be accepted at SIGTERM is not served any more', async (t) => {
        const server = await start(t, driver);
        const stream = await openPeer(t, server);
        // It waits for each of the silent ones, so the last in the queue is far from its turn.
        const queue = [];
        while (queue.length < 10) {
            queue.push(await Peer.connect(server.port));
        }
        t.after(() => queue.forEach((peer) => peer.close()));
        const publisher = queue.at(-1);
        publisher.send('POST /publish HTTP/1.1\r\nContent-Length: 1\r\n\r\nx');
        await server.stop();
        await Promise.all([stream, publisher].map((peer) => peer.untilEnd()));
        assert.equal(publisher.text, '');
        assert.equal(stream.text, expected(driver, []));
    });
});
