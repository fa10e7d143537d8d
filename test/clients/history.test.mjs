// SPDX-License-Identifier: MIT
// Events that a client missed are sent again, or the client is notified that they are lost.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startHub, until } from './hub.mjs';
import { closePeers, Peer } from './peer.mjs';
import { eventSources, openFor } from './sources.mjs';
import { LARGE, MORE_THAN_FITS } from './stalled.mjs';

const MARKS = ['gap', 'replay'];

async function hubFor(t, ...options) {
    const hub = await startHub(options);
    t.after(() => {
        closePeers();
        return hub.stop();
    });
    return hub;
}

/** Publishes texts one after the other, and returns their ids. */
async function publishAll(hub, topic, texts) {
    const ids = [];
    for (const data of texts) {
        const { status, id } = await hub.publish({ topic, data });
        assert.equal(status, 202);
        ids.push(id);
    }
    return ids;
}

/** The first events of a stream that continues after an id. */
async function resume(hub, topic, lastEventId, count) {
    const peer = await Peer.openStream(hub.port, topic, lastEventId);
    await until(() => peer.events.length >= count, `event number ${count}`, () => peer.text);
    return peer;
}

/** All events of a stream after an id. The stream has ended when this returns. */
async function resumeAndEnd(hub, topic, lastEventId) {
    const peer = await resume(hub, topic, lastEventId, 0);
    await hub.complete(topic);
    await peer.untilEnd();
    return peer.events.map(({ type, data }) => (type === 'message' ? data : `${type}: ${data}`));
}

for (const source of eventSources) {
    test(`${source.name}: missed events are sent again, once, and then new ones`, async (t) => {
        const hub = await hubFor(t, '--retry', '1000');
        const stream = await openFor(t, source, hub.events('a'), MARKS);
        const before = await publishAll(hub, 'a', ['one']);
        await stream.untilEvents(1);
        await hub.complete('a');
        const missed = await publishAll(hub, 'a', ['two', 'three']);
        assert.equal((await hub.stats()).written, 1, 'the client was to be away');
        await stream.untilOpen(2);
        const after = await publishAll(hub, 'a', ['four']);
        const events = await stream.untilEvents(5);
        assert.deepEqual(events.map(({ type, data }) => `${type} ${data}`),
            ['message one', 'message two', 'message three', 'replay 2', 'message four']);
        const ids = events.filter(({ type }) => type === 'message').map(({ id }) => id);
        assert.deepEqual(ids, [...before, ...missed, ...after]);
        const { replays, replayed, gaps } = await hub.stats();
        assert.deepEqual([replays, replayed, gaps], [1, 2, 0]);
    });

    test(`${source.name}: it is notified of lost events`, async (t) => {
        const hub = await hubFor(t, '--retry', '1000', '--history-events', '2');
        const stream = await openFor(t, source, hub.events('a'), MARKS);
        const [before] = await publishAll(hub, 'a', ['one']);
        await stream.untilEvents(1);
        await hub.complete('a');
        const [, held] = await publishAll(hub, 'a', ['two', 'three', 'four']);
        assert.equal((await hub.stats()).written, 1, 'the client was to be away');
        const events = await stream.untilEvents(5);
        assert.deepEqual(events.map(({ type, data }) => [type, data]), [['message', 'one'],
            ['gap', `${before}\n${held}`], ['message', 'three'], ['message', 'four'], ['replay', '2']]);
        const { replays, replayed, gaps } = await hub.stats();
        assert.deepEqual([replays, replayed, gaps], [0, 2, 1]);
    });
}

test('--history-events: that many are retained, and an earlier id is a gap', async (t) => {
    const hub = await hubFor(t, '--history-events', '3');
    const ids = await publishAll(hub, 'a', ['1', '2', '3', '4', '5', '6']);
    assert.equal((await hub.stats()).history_events, 3);
    const after = (index) => resumeAndEnd(hub, 'a', ids[index]);
    assert.deepEqual(await after(0), [`gap: ${ids[0]}\n${ids[3]}`, '4', '5', '6', 'replay: 3']);
    assert.deepEqual(await after(1), [`gap: ${ids[1]}\n${ids[3]}`, '4', '5', '6', 'replay: 3']);
    assert.deepEqual(await after(2), ['4', '5', '6', 'replay: 3']);
    assert.deepEqual(await after(4), ['6', 'replay: 1']);
    assert.deepEqual(await after(5), []);
});

test('--history-bytes: that much is retained', async (t) => {
    const hub = await hubFor(t, '--history-bytes', '5000');
    const texts = Array.from({ length: 20 }, (_, index) => `${index} ${'x'.repeat(800)}`);
    const ids = await publishAll(hub, 'a', texts);
    const { history_events: events, history_bytes: bytes } = await hub.stats();
    assert.ok(bytes <= 5000 && bytes > 3000, `${bytes} bytes`);
    assert.ok(events >= 3 && events <= 6, `${events} events`);
    const held = texts.slice(-events);
    assert.deepEqual(await resumeAndEnd(hub, 'a', ids[0]),
        [`gap: ${ids[0]}\n${ids.at(-events)}`, ...held, `replay: ${events}`]);
});

test('--history-age: older events are discarded', async (t) => {
    const hub = await hubFor(t, '--history-age', '40');
    const [first] = await publishAll(hub, 'a', ['1', '2']);
    await until(async () => (await hub.stats()).history_events === 0, 'the history to be empty');
    assert.deepEqual(await resumeAndEnd(hub, 'a', first), [`gap: ${first}\n`]);
});

test('--history-events 0: no ids, and every id is a gap', async (t) => {
    const hub = await hubFor(t, '--history-events', '0');
    assert.deepEqual(await publishAll(hub, 'a', ['1']), [null]);
    assert.deepEqual(await resumeAndEnd(hub, 'a', 'any'), ['gap: any\n']);
});

test('an id from before a restart is a gap, never another event', async (t) => {
    const before = await startHub();
    const [old] = await publishAll(before, 'a', ['old']);
    await before.stop();
    const hub = await hubFor(t);
    const [id] = await publishAll(hub, 'a', ['new']);
    assert.notEqual(id, old);
    assert.deepEqual(await resumeAndEnd(hub, 'a', old), [`gap: ${old}\n`]);
});

test('a client can continue from ids of the publisher', async (t) => {
    const hub = await hubFor(t);
    for (const id of ['mine-1', 'mine-2', 'mine-3']) {
        assert.equal((await hub.publish({ topic: 'a', id, data: `data of ${id}` })).id, id);
    }
    assert.deepEqual(await resumeAndEnd(hub, 'a', 'mine-1'),
        ['data of mine-2', 'data of mine-3', 'replay: 2']);
});

test('a replay contains the requested topics and the broadcasts', async (t) => {
    const hub = await hubFor(t);
    const [id] = await publishAll(hub, 'a', ['a1']);
    await publishAll(hub, 'b', ['b1']);
    await publishAll(hub, undefined, ['to all']);
    await publishAll(hub, 'a', ['a2']);
    assert.deepEqual(await resumeAndEnd(hub, 'a', id), ['to all', 'a2', 'replay: 2']);
});

test('a gap event has an id to continue from, even after an invalid id', async (t) => {
    const hub = await hubFor(t);
    const [id] = await publishAll(hub, 'a', ['1']);
    const peer = await Peer.connect(hub.port);
    const request = 'GET /events?topic=a HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: \xff\r\n\r\n';
    peer.send(Buffer.from(request, 'latin1'));
    await peer.untilReceived('event: gap');
    await until(() => peer.events.length === 1, 'the gap');
    assert.deepEqual(peer.events, [{ type: 'gap', data: '\n', id }]);
});

test('a replay that is larger than the queue is sent whole', async (t) => {
    const hub = await hubFor(t, '--queue-bytes', '1100000', '--history-bytes', '1000000000', '--stall', '0');
    const [first] = await publishAll(hub, 'a', ['first']);
    await publishAll(hub, 'a', Array(MORE_THAN_FITS).fill(LARGE));
    const peer = await Peer.openStream(hub.port, 'a', first);
    peer.stopReading();
    assert.ok((await hub.stats()).backlog_bytes > LARGE.length);
    peer.readAgain();
    await until(() => peer.size > MORE_THAN_FITS * LARGE.length, 'all of it');
    await hub.complete('a');
    await peer.untilEnd();
    const { type, data } = peer.events.at(-1);
    assert.deepEqual([type, data], ['replay', String(MORE_THAN_FITS)]);
    assert.deepEqual(peer.events.slice(0, -1).map((event) => event.data.length),
        Array(MORE_THAN_FITS).fill(LARGE.length));
});
