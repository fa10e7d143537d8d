// SPDX-License-Identifier: MIT
// The numbered examples for one situation each: current state, tokens, rooms.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { request, startExample, until } from './hub.mjs';
import { Peer } from './peer.mjs';
import { readChunks, StrictParser } from './wire.mjs';

const JOINS = 100;
const CHANGES = 20;
const DESCRIPTORS = 24;

async function start(t, name, ...options) {
    const server = await startExample(name, ['0', ...options]);
    t.after(() => server.stop());
    return server;
}

const get = (target, headers = '') => `GET /${target} HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}\r\n`;

async function openPeer(t, server, bytes) {
    const peer = await Peer.connect(server.port);
    t.after(() => peer.close());
    peer.send(bytes);
    await peer.untilReceived('\r\n\r\n');
    return peer;
}

function untilEvents(peer, count) {
    return until(() => peer.events.length >= count && peer.events, `${count} events`, () => peer.text.slice(-300));
}

/** Checks a state, and changes that each follow from the one before. */
function checkChanges([{ type, data }, ...changes]) {
    assert.equal(type, 'state');
    const state = JSON.parse(data);
    assert.equal(state.length, 5);
    for (const change of changes) {
        const { hall, visitors } = JSON.parse(change.data);
        assert.equal(change.type, 'change');
        assert.equal(visitors, state[hall] + 1, `after ${state}: ${change.data}`);
        state[hall] = visitors;
    }
}

const post = (target, body, headers = '') =>
    `POST /${target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${headers}\r\n${body}`;

/** The events in each chunk of a stream that has ended. */
function eventsInChunks({ received }) {
    return readChunks(received.subarray(received.indexOf('\r\n\r\n') + 4)).map((chunk) => {
        const parser = new StrictParser();
        parser.feed(chunk);
        parser.end();
        return parser.events;
    });
}

async function modelStatus(server) {
    const { text } = await request(`${server.url}status`);
    const [atWork, tokens] = text.match(/\d+/g).map(Number);
    return { atWork, tokens };
}

/** A connection of 09_rooms, with its key. */
async function openRooms(t, server) {
    const peer = await openPeer(t, server, get('events'));
    const [{ type, data, id }] = await untilEvents(peer, 1);
    assert.deepEqual([type, id], ['connection', '']);
    assert.match(data, /^[0-9a-f]{32}$/);
    return Object.assign(peer, { key: data });
}

async function move(server, connection, rooms) {
    const query = new URLSearchParams({ connection, ...rooms });
    const { status } = await request(`${server.url}move?${query}`, { method: 'POST' });
    return status;
}

/** Publishes to a room. Returns how many streams received it. */
async function say(server, room, body) {
    const { status, text } = await request(`${server.url}say?room=${room}`, { method: 'POST', body });
    assert.equal(status, 202);
    return Number(text.match(/^sent to (\d+)\n$/)[1]);
}

/** 11_cpp. It ends when its input ends. */
async function startLines(t, how = {}) {
    const server = await startExample('11_cpp', ['0'], { stdin: 'pipe', ...how });
    t.after(() => server.kill());
    return server;
}

/** Those that count: what a program inherits may lie above its limit. */
function allowedDescriptors({ pid }) {
    return readdirSync(`/proc/${pid}/fd`).filter((name) => Number(name) < DESCRIPTORS).length;
}

function cpuMilliseconds({ pid }) {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
}

describe('the examples of one situation', { concurrency: true }, () => {
    test('07_state_then_live: each client receives the state and then every change once', async (t) => {
        const server = await start(t, '07_state_then_live', '50');
        for (let joined = 0; joined < JOINS; joined += 10) {
            await Promise.all(Array.from({ length: 10 }, async () => {
                const peer = await openPeer(t, server, get('events'));
                checkChanges(await untilEvents(peer, 1 + CHANGES));
                peer.close();
            }));
        }
    });

    test('07_state_then_live: clients are notified of the end', async (t) => {
        const server = await start(t, '07_state_then_live');
        const peer = await openPeer(t, server, get('events'));
        await untilEvents(peer, 1);
        await server.stop();
        await peer.untilEnd();
        assert.match(peer.text, /event: restart\ndata: back soon\n\n\r\n[^]*retry: \d+\n\n\r\n0\r\n\r\n$/);
        assert.equal((await request(`${server.url}`).catch(({ code }) => code)), 'ECONNREFUSED');
    });

    test('08_tokens: each burst of tokens is one message, the last event says whether all is there', async (t) => {
        const server = await start(t, '08_tokens');
        const prompt = 'one two  three\nfour grüße , six seven eight nine ten eleven twelve';
        const peer = await openPeer(t, server, post('answer', prompt));
        await peer.untilEnd();
        const chunks = eventsInChunks(peer);
        const tokens = chunks.flat().slice(0, -1);
        assert.ok(tokens.every(({ type }) => type === 'token'));
        assert.equal(tokens.map(({ data }) => data).join(''), prompt);
        assert.deepEqual(chunks.map(({ length }) => length).filter((length) => length > 0), [1, 2, 3, 4, 3, 1]);
        assert.deepEqual(chunks.flat().at(-1), { type: 'done', data: '{"tokens":13,"complete":true}', id: '' });
        assert.deepEqual(await modelStatus(server), { atWork: 0, tokens: 13 });
    });

    test('08_tokens: the model stops when its client disconnects', async (t) => {
        const server = await start(t, '08_tokens');
        const peer = await openPeer(t, server, post('answer', 'x '.repeat(1900)));
        await untilEvents(peer, 1);
        peer.close();
        await until(async () => (await modelStatus(server)).atWork === 0, 'the model to stop');
        const { tokens } = await modelStatus(server);
        assert.ok(tokens > 0 && tokens < 1900, `${tokens} tokens`);
    });

    test('08_tokens: an answer that is cut off by the end of the server is not complete', async (t) => {
        const server = await start(t, '08_tokens');
        const peer = await openPeer(t, server, post('answer', 'x '.repeat(1900)));
        await untilEvents(peer, 1);
        await server.stop();
        await peer.untilEnd();
        const { type, data } = eventsInChunks(peer).flat().at(-1);
        assert.equal(type, 'done');
        assert.match(data, /^\{"tokens":\d+,"complete":false\}$/);
    });

    test('08_tokens: a prompt that is not UTF-8 is refused', async (t) => {
        const server = await start(t, '08_tokens');
        const answerTo = (body) => request(`${server.url}answer`, { method: 'POST', body });
        for (const body of ['', Buffer.from([0x61, 0xff])]) {
            assert.equal((await answerTo(body)).status, 400);
        }
        assert.equal((await request(`${server.url}answer`)).status, 404);
        assert.deepEqual(await modelStatus(server), { atWork: 0, tokens: 0 });
    });

    test('09_rooms: a live connection changes its rooms', async (t) => {
        const server = await start(t, '09_rooms');
        const [peer, other] = await Promise.all([openRooms(t, server), openRooms(t, server)]);
        assert.notEqual(peer.key, other.key);
        assert.equal(await say(server, 'kitchen', 'nobody hears it'), 0);
        assert.equal(await move(server, peer.key, { enter: 'kitchen' }), 200);
        assert.equal(await move(server, other.key, { enter: 'kitchen' }), 200);
        assert.equal(await say(server, 'kitchen', 'one'), 2);
        assert.equal(await move(server, peer.key, { enter: 'garden', leave: 'kitchen' }), 200);
        assert.equal(await say(server, 'kitchen', 'two'), 1);
        assert.equal(await say(server, 'garden', 'three'), 1);
        const events = await untilEvents(peer, 3);
        assert.deepEqual(events.slice(1).map(({ type, data }) => [type, data]),
            [['room:kitchen', 'one'], ['room:garden', 'three']]);
        assert.deepEqual((await untilEvents(other, 3)).map(({ data }) => data), [other.key, 'one', 'two']);
    });

    test('09_rooms: a client that reconnects receives what it missed in its rooms', async (t) => {
        const server = await start(t, '09_rooms');
        const first = await openRooms(t, server);
        const ids = {};
        for (const room of ['kitchen', 'garden']) {
            await move(server, first.key, { enter: room });
            await say(server, room, 'before');
        }
        (await untilEvents(first, 3)).forEach(({ type, id }) => { ids[type] = id; });
        first.close();
        await until(async () => await move(server, first.key, { enter: 'hall' }) === 404, 'the end of the first');
        await say(server, 'garden', 'meanwhile');
        await say(server, 'kitchen', 'meanwhile, too');
        const second = await openRooms(t, server);
        await move(server, second.key, { enter: 'kitchen', lastEventId: ids['room:kitchen'] });
        await move(server, second.key, { enter: 'garden', lastEventId: ids['room:garden'] });
        await say(server, 'kitchen', 'now');
        const events = await untilEvents(second, 4);
        assert.deepEqual(events.slice(1).map(({ type, data }) => `${type} ${data}`),
            ['room:kitchen meanwhile, too', 'room:garden meanwhile', 'room:kitchen now']);
    });

    test('09_rooms: a request without a known connection or a room does nothing', async (t) => {
        const server = await start(t, '09_rooms');
        const { key } = await openRooms(t, server);
        const status = async (target) => (await request(server.url + target, { method: 'POST' })).status;
        assert.equal(await move(server, 'x', { enter: 'kitchen' }), 404);
        for (const target of ['say', 'say?room=', `say?room=${'x'.repeat(60)}`, 'move', 'move?enter=kitchen', 'x']) {
            assert.equal(await status(target), 404, target);
        }
        // The room becomes the type of the event, which is one line.
        assert.equal(await status('say?room=two%0Alines'), 400);
        assert.equal(await status(`move?connection=${key}&enter=${'x'.repeat(60)}`), 200);
        assert.equal(await say(server, 'kitchen', 'nobody hears it'), 0);
    });

    test('11_cpp: each line of its input goes to every client, and the streams end with the input', async (t) => {
        const server = await startLines(t);
        const first = await openPeer(t, server, get(''));
        await first.untilReceived('data: you are client 1\n\n');
        const second = await openPeer(t, server, get(''));
        await second.untilReceived('data: you are client 2\n\n');
        server.child.stdin.write('one\ntw');
        await Promise.all([first, second].map((peer) => peer.untilReceived('data: one\n\n')));
        first.close();
        await until(() => server.stdout.includes('client 1: client disconnected\n'), 'the end of the first');
        server.child.stdin.end('o\nthree\n');
        await server.untilExit();
        await second.untilEnd();
        assert.match(second.text, /: you are client 2\n\ndata: one\n\ndata: two\n\ndata: three\n\n$/);
        assert.match(server.stdout, /\nclient 2: shutdown\n$/);
    });

    test('11_cpp: a line that is not UTF-8 is reported, and the next one is sent', async (t) => {
        const server = await startLines(t);
        const peer = await openPeer(t, server, get(''));
        await peer.untilReceived('data: you are client 1\n\n');
        server.child.stdin.end(Buffer.from('\xff\ntext\n', 'latin1'));
        await peer.untilEnd();
        assert.equal(await server.exited, 0);
        assert.match(peer.text, /: you are client 1\n\ndata: text\n\n$/);
        assert.match(server.stderr, /^11_cpp: sse_registry_publish: [^\n]+\n$/);
    });

    test('11_cpp: without a descriptor left it waits for one, in silence', async (t) => {
        const before = ['sh', '-c', `ulimit -n ${DESCRIPTORS} && exec "$@"`, 'sh'];
        const server = await startLines(t, { before });
        const peers = await Promise.all(Array.from({ length: DESCRIPTORS }, () => Peer.connect(server.port)));
        await until(() => allowedDescriptors(server) === DESCRIPTORS, 'all descriptors to be in use');
        const [used, start] = [cpuMilliseconds(server), performance.now()];
        // Long enough for it to have tried several times.
        await until(() => performance.now() > start + 1000, 'the time');
        assert.ok(cpuMilliseconds(server) - used < 500, 'it spins');
        peers.forEach((peer) => peer.close());
        const late = await openPeer(t, server, get(''));
        await late.untilReceived('data: you are client ');
        server.child.stdin.end('line\n');
        await late.untilReceived('data: line\n\n');
        await server.untilExit();
    });

    test('11_cpp: a port in use is reported', async (t) => {
        const { port } = await startLines(t);
        const message = await startExample('11_cpp', [String(port)]).catch((error) => error.message);
        assert.match(message, /11_cpp: \d+: Address already in use/);
    });
});
