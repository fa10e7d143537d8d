// SPDX-License-Identifier: MIT
// Limits: of queues, of all queues together, of the number of clients.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startHub, until } from './hub.mjs';
import { closePeers, Peer } from './peer.mjs';
import { curlSources, eventSources, openFor } from './sources.mjs';
import { LARGE, MORE_THAN_FITS } from './stalled.mjs';

async function hubFor(t, ...options) {
    const hub = await startHub(options);
    t.after(() => {
        closePeers();
        return hub.stop();
    });
    return hub;
}

/* One client that does not read, and more events than fit into its queue */

const TIGHT = ['--queue-bytes', '2100000', '--stall', '0', '--history-events', '0', '--heartbeat', '0'];
const COUNT = MORE_THAN_FITS + 4;

/** A large event that contains its number. */
function numbered(number) {
    const data = Buffer.from(LARGE);
    data.write(`${number} `);
    return data;
}

async function stall(hub) {
    const peer = await Peer.openStream(hub.port, 'a');
    peer.stopReading();
    return peer;
}

/** Publishes more than fits. Returns the result of each publish. */
async function flood(hub, keyOf = () => undefined) {
    const replies = [];
    for (let number = 0; number < COUNT; ++number) {
        replies.push(await hub.publish({ topic: 'a', key: keyOf(number), data: numbered(number) }));
        assert.equal(replies.at(-1).status, 202);
        assert.ok((await hub.stats()).backlog_bytes <= 2100000);
    }
    return replies;
}

/** Lets the client read to the end. Returns the numbers of the events that it received. */
async function drain(hub, peer) {
    assert.equal((await hub.complete('a')).completed, 1);
    peer.readAgain();
    await peer.untilEnd();
    return peer.events.map(({ data }) => {
        assert.equal(data.length, LARGE.length);
        return parseInt(data, 10);
    });
}

const ascending = (numbers) => numbers.every((number, index) => index === 0 || number > numbers[index - 1]);

test('--overflow drop-newest: the client misses exactly the dropped events', async (t) => {
    const hub = await hubFor(t, ...TIGHT, '--overflow', 'drop-newest');
    const peer = await stall(hub);
    const replies = await flood(hub);
    const { dropped } = await hub.stats();
    const kept = replies.flatMap((reply, number) => (reply.dropped === 0 ? [number] : []));
    assert.ok(dropped > 0);
    assert.equal(dropped, COUNT - kept.length);
    assert.deepEqual(await drain(hub, peer), kept);
});

test('--overflow drop-oldest: the client receives the newest events', async (t) => {
    const hub = await hubFor(t, ...TIGHT, '--overflow', 'drop-oldest');
    const peer = await stall(hub);
    await flood(hub);
    const { dropped } = await hub.stats();
    assert.ok(dropped > 0);
    const numbers = await drain(hub, peer);
    assert.equal(numbers.at(-1), COUNT - 1);
    assert.equal(numbers.length, COUNT - dropped);
    assert.ok(ascending(numbers), `${numbers}`);
});

test('--overflow coalesce: only the newest queued event of a key remains', async (t) => {
    const hub = await hubFor(t, ...TIGHT, '--overflow', 'coalesce');
    const peer = await stall(hub);
    await flood(hub, () => 'one key for all');
    const { dropped, closed } = await hub.stats();
    assert.equal(closed.overflow, 0);
    assert.ok(dropped > 0);
    const numbers = await drain(hub, peer);
    assert.equal(numbers.at(-1), COUNT - 1);
    assert.equal(numbers.length, COUNT - dropped);
    assert.ok(ascending(numbers), `${numbers}`);
});

test('--overflow coalesce: too many events without a key end the stream', async (t) => {
    const hub = await hubFor(t, ...TIGHT, '--overflow', 'coalesce');
    await stall(hub);
    const replies = await flood(hub);
    assert.equal((await hub.stats()).closed.overflow, 1);
    assert.equal(replies.reduce((sum, reply) => sum + reply.ended, 0), 1);
});

test('--overflow close: the client reconnects and misses nothing', async (t) => {
    const hub = await hubFor(t, '--queue-bytes', '2100000', '--history-bytes', '1000000000');
    const { id } = await hub.publish({ topic: 'a', data: 'first' });
    const peer = await Peer.openStream(hub.port, 'a', id);
    peer.stopReading();
    await flood(hub);
    assert.equal((await hub.stats()).closed.overflow, 1);
    peer.readAgain();
    await peer.untilEnd();
    const before = peer.events;
    const again = await Peer.openStream(hub.port, 'a', before.at(-1)?.id ?? id);
    const missing = (COUNT - before.length) * LARGE.length;
    await until(() => again.size > missing, 'the rest');
    const numbers = [...before, ...again.events].filter(({ type }) => type === 'message')
        .map(({ data }) => parseInt(data, 10));
    assert.deepEqual(numbers, Array.from({ length: COUNT }, (_, number) => number));
});

for (const [name, longest] of [['id', 512], ['key', 1024]]) {
    test(`a publisher's ${name} that is too long is refused`, async (t) => {
        const hub = await hubFor(t);
        const { status, field } = await hub.publish({ topic: 'a', [name]: 'x'.repeat(longest + 1), data: 'x' });
        assert.deepEqual([status, field], [400, name]);
        assert.equal((await hub.publish({ topic: 'a', [name]: 'x'.repeat(longest), data: 'x' })).status, 202);
    });
}

test('--budget: the slowest streams end, and the others miss nothing', async (t) => {
    const budget = 5000000;
    const hub = await hubFor(t, '--budget', String(budget), '--queue-bytes', '1000000000', '--stall', '0');
    const reader = await openFor(t, curlSources[0], hub.events('a'));
    const stalled = [await stall(hub), await stall(hub)];
    let count = 0;
    while ((await hub.stats()).closed.overflow < stalled.length) {
        await hub.publish({ topic: 'a', data: LARGE });
        await reader.untilEvents(++count);
        assert.ok((await hub.stats()).backlog_bytes <= budget);
        assert.ok(count <= 2 * MORE_THAN_FITS, 'the budget has no end');
    }
    assert.deepEqual([reader.errors, reader.ended], [[], false]);
    assert.equal((await hub.publish({ topic: 'a', data: 'x' })).receivers, 1);
});

test('--budget: a larger replay arrives in parts, and completely in the end', async (t) => {
    const hub = await hubFor(t, '--budget', '3000000', '--history-bytes', '1000000000');
    const { id } = await hub.publish({ topic: 'a', data: 'first' });
    for (let number = 0; number < COUNT; ++number) {
        await hub.publish({ topic: 'a', data: numbered(number) });
    }
    const events = [];
    for (let last = id, rounds = 0; events.length < COUNT; ++rounds) {
        assert.ok(rounds < COUNT, 'it makes no progress');
        const peer = await Peer.openStream(hub.port, 'a', last);
        const missing = (COUNT - events.length) * LARGE.length;
        await until(() => peer.size > missing || peer.ended || peer.error, 'a part, or the rest');
        events.push(...peer.events.filter(({ type }) => type === 'message'));
        last = events.at(-1).id;
        peer.close();
    }
    assert.deepEqual(events.map(({ data }) => parseInt(data, 10)), [...events.keys()]);
    assert.ok((await hub.stats()).closed.overflow > 0);
});

/* Clients over a cap */

function assertSentAway(peer) {
    assert.equal(peer.status, 200);
    assert.match(peer.text, /^content-type: text\/event-stream\r$/im);
    assert.match(peer.text, /\r\n\r\nretry: (?:[2-9]\d{3}|10000)\n\n$/);
    assert.equal(peer.text.match(/retry/g).length, 1);
    assert.equal(peer.error, null);
}

async function assertRefused(hub, topic) {
    const peer = await Peer.openStream(hub.port, topic);
    await peer.untilEnd();
    assertSentAway(peer);
    peer.close();
}

test('--max-clients: a client over the cap is told to reconnect, and does', async (t) => {
    const hub = await hubFor(t, '--max-clients', '2');
    const peers = [await Peer.openStream(hub.port, 'a'), await Peer.openStream(hub.port, 'b')];
    await assertRefused(hub, 'c');
    const { emitters, added, refused, shed } = await hub.stats();
    assert.deepEqual({ emitters, added, refused, shed }, { emitters: 2, added: 2, refused: 1, shed: 1 });
    const source = eventSources[0].open(hub.events('d'));
    t.after(() => source.close());
    await source.untilErrors(1);
    assert.equal(source.state(), 0, 'it does not want to come back');
    peers[0].close();
    await hub.publishUntilHeard({ topic: 'd', data: 'x' });
    await source.untilEvents(1);
});

test('--max-per-topic: a full topic refuses, whatever other topics are requested', async (t) => {
    const hub = await hubFor(t, '--max-per-topic', '1');
    const peers = [await Peer.openStream(hub.port, 'a'), await Peer.openStream(hub.port, 'b')];
    await assertRefused(hub, 'a');
    await assertRefused(hub, 'c&topic=b');
    assert.equal((await hub.publish({ topic: 'c', data: 'x' })).receivers, 0);
    const { emitters, refused, shed } = await hub.stats();
    assert.deepEqual({ emitters, refused, shed }, { emitters: 2, refused: 2, shed: 2 });
    assert.equal((await hub.publish({ topic: 'a', data: 'still the first' })).receivers, 1);
    await peers[0].untilReceived('still the first');
});

for (const cap of ['--max-clients', '--max-per-topic']) {
    test(`${cap} with --admission newest: the oldest stream ends gracefully`, async (t) => {
        const hub = await hubFor(t, cap, '2', '--admission', 'newest');
        const peers = [];
        for (let i = 0; i < 4; ++i) {
            peers.push(await Peer.openStream(hub.port, 'a'));
        }
        await Promise.all(peers.slice(0, 2).map((peer) => peer.untilEnd()));
        peers.slice(0, 2).forEach((peer) => assert.ok(peer.text.endsWith('\r\n0\r\n\r\n')));
        assert.equal((await hub.publish({ topic: 'a', data: 'newest' })).receivers, 2);
        await Promise.all(peers.slice(2).map((peer) => peer.untilReceived('newest')));
        const { refused, closed } = await hub.stats();
        assert.deepEqual([refused, closed.evicted, closed.completed], [0, 2, 0]);
    });
}
