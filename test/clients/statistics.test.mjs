// SPDX-License-Identifier: MIT
// GET /stats counts exactly, to the event and to the byte.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startHub, until } from './hub.mjs';
import { closePeers, Peer } from './peer.mjs';
import { LARGE, PATIENT } from './stalled.mjs';

async function hubFor(t, ...options) {
    const hub = await startHub(options);
    t.after(() => {
        closePeers();
        return hub.stop();
    });
    return hub;
}

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

function openStreams(hub, topics) {
    return Promise.all(topics.map((topic) => Peer.openStream(hub.port, topic)));
}

test('its counts match what the clients received', async (t) => {
    const hub = await hubFor(t, '--heartbeat', '0', '--history-events', '100');
    const peers = await openStreams(hub, ['a', 'a', 'b', 'a&topic=b', 'c']);
    const replies = [];
    for (let number = 0; number < 50; ++number) {
        const topic = ['a', 'b', undefined][number % 3];
        replies.push(await hub.publish({ topic, data: `number ${number} ${'x'.repeat(number * 100)}` }));
    }
    await hub.complete('b');
    await Promise.all([peers[2], peers[3]].map((peer) => peer.untilEnd()));
    const missed = await hub.publish({ topic: 'b', data: 'missed by two' });
    const back = await Peer.openStream(hub.port, 'b', replies.at(-1).id);
    await back.untilReceived('event: replay\n');
    const lost = await Peer.openStream(hub.port, 'b', 'an id that nobody had');
    await lost.untilReceived('event: gap\n');
    // It has read all its bytes, so it closes without a reset.
    await peers[0].untilReceived('number 48 ');
    peers[0].close();
    await until(async () => (await hub.stats()).emitters === 4, 'one to be forgotten');
    const all = [...peers, back, lost];
    const stats = await hub.stats();
    // The client has closed, and the comment that tests the connection would come too late.
    const probe = '2\r\n:\n\r\n'.length;
    await until(() => sum(all.map((peer) => peer.size)) >= stats.bytes - probe, 'all bytes');

    assert.equal(stats.published, replies.length + 1);
    assert.equal(missed.receivers, 0);
    assert.equal(stats.topics, 3);
    assert.deepEqual([stats.added, stats.refused], [7, 0]);
    const events = sum(all.map((peer) => peer.events.length));
    assert.equal(stats.written, events);
    assert.equal(stats.bytes - probe, sum(all.map((peer) => peer.size)));
    assert.deepEqual([stats.dropped, stats.backlog_bytes], [0, 0]);
    assert.equal(sum(replies.map(({ receivers }) => receivers)) + 3, events);
    assert.deepEqual([stats.replays, stats.replayed, stats.gaps], [1, 1, 1]);
    // The age of a replayed event says nothing about the hub's speed.
    assert.equal(sum(stats.latency.map(({ count }) => count)), events - 3);
    assert.deepEqual([stats.history_events], [replies.length + 1]);
    const { completed, peer_gone: gone, ...others } = stats.closed;
    assert.deepEqual([completed, gone, sum(Object.values(others))], [2, 1, 0]);
    assert.equal(stats.added - stats.emitters, sum(Object.values(stats.closed)));
});

test('the histogram counts every published event once for each client', async (t) => {
    const hub = await hubFor(t, '--heartbeat', '0', '--history-events', '0');
    const peers = await openStreams(hub, ['a', 'a', 'a', 'b']);
    let delivered = 0;
    for (let number = 0; number < 40; ++number) {
        delivered += (await hub.publish({ topic: ['a', 'b'][number % 2], data: 'x' })).receivers;
    }
    await until(() => sum(peers.map((peer) => peer.events.length)) >= delivered, 'all events');
    assert.equal(delivered, sum(peers.map((peer) => peer.events.length)));
    const { latency } = await hub.stats();
    assert.equal(sum(latency.map(({ count }) => count)), delivered);
    assert.equal(latency.length, 64);
    latency.forEach(({ below_ns: below }, index) => assert.equal(below, 2 ** index));
    // No machine needs an hour, and none less than a nanosecond.
    assert.ok(latency.every(({ below_ns: below, count }) => count === 0 || (below > 1 && below < 2 ** 42)));
});

test('memory: an event that is queued for many clients is stored once', async (t) => {
    const hub = await hubFor(t, ...PATIENT);
    const peers = await openStreams(hub, Array(10).fill('a'));
    peers.forEach((peer) => peer.stopReading());
    const before = (await hub.stats()).memory_bytes;
    let published = 0;
    await until(async () => {
        published += 1;
        await hub.publish({ topic: 'a', data: LARGE });
        return (await hub.stats()).backlog_bytes > peers.length * LARGE.length;
    }, 'all of them to be behind');
    const { backlog_bytes: backlog, memory_bytes: memory } = await hub.stats();
    assert.ok(backlog > peers.length * LARGE.length);
    assert.ok(memory - before > LARGE.length, `${memory} bytes`);
    assert.ok(memory - before < (published + 1) * LARGE.length, `${memory} bytes for ${published} events`);
    closePeers();
    await until(async () => (await hub.stats()).emitters === 0, 'them to be forgotten');
    const after = await hub.stats();
    assert.equal(after.backlog_bytes, 0);
    assert.ok(after.memory_bytes <= before, `${after.memory_bytes} bytes, and ${before} with all of them`);
});

test('queued and dropped events are counted', async (t) => {
    const hub = await hubFor(t, '--queue-bytes', '2100000', '--stall', '0', '--overflow', 'drop-newest');
    const [peer] = await openStreams(hub, ['a']);
    peer.stopReading();
    const replies = [];
    await until(async () => {
        replies.push(await hub.publish({ topic: 'a', data: LARGE }));
        return replies.filter(({ dropped }) => dropped > 0).length >= 3;
    }, 'the queue to be full');
    const { queued, dropped } = await hub.stats();
    assert.equal(queued, sum(replies.map((reply) => reply.receivers)));
    assert.equal(dropped, sum(replies.map((reply) => reply.dropped)));
});
