// SPDX-License-Identifier: MIT
// GET /topics: which topics exist. GET /watch: every event of every topic.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { request, startHub, until } from './hub.mjs';
import { closePeers, Peer } from './peer.mjs';
import { curlSources, openFor } from './sources.mjs';

async function hubFor(t, ...options) {
    const hub = await startHub(options);
    t.after(() => {
        closePeers();
        return hub.stop();
    });
    return hub;
}

const counts = ({ subscribers, published }) => [subscribers, published];

test('the topics that exist, with their subscribers and events', async (t) => {
    const hub = await hubFor(t);
    assert.deepEqual(await hub.topics(), {});
    const peers = await Promise.all(['a', 'a&topic=b', 'z'].map((topic) => Peer.openStream(hub.port, topic)));
    await hub.publish({ topic: 'a', data: '1' });
    await hub.publish({ topic: 'nobody "listens"\n', data: '2' });
    await hub.publish({ topic: 'a', data: '3' });
    await hub.publish({ data: 'to everyone' });
    const topics = await hub.topics();
    assert.deepEqual(Object.keys(topics), ['a', 'b', 'nobody "listens"\n', 'z']);
    assert.deepEqual(Object.values(topics).map(counts), [[2, 2], [1, 0], [0, 1], [1, 0]]);
    assert.ok(Object.values(topics).every(({ unused_ms: unused }) => unused >= 0 && unused < 60000));
    peers[1].close();
    await until(async () => counts((await hub.topics()).a)[0] === 1, 'one subscriber less');
    assert.deepEqual(counts((await hub.topics()).b), [0, 0]);
});

test('a refused topic does not exist', async (t) => {
    const hub = await hubFor(t, '--max-per-topic', '1');
    await Peer.openStream(hub.port, 'a');
    await (await Peer.openStream(hub.port, 'a&topic=b')).untilEnd();
    await hub.publish({ topic: 'c', retry: 'soon', data: 'x' });
    assert.deepEqual(Object.keys(await hub.topics()), ['a']);
});

test('a topic without subscribers is removed when its events are too old', async (t) => {
    const hub = await hubFor(t, '--history-age', '50');
    await Peer.openStream(hub.port, 'kept');
    await hub.publish({ topic: 'gone', data: 'x' });
    await until(async () => !('gone' in await hub.topics()), 'it to be forgotten');
    assert.deepEqual(Object.keys(await hub.topics()), ['kept']);
});

test('of very many topics, the most recently used are listed', async (t) => {
    const hub = await hubFor(t);
    const count = 1010;
    for (let number = 0; number < count; ++number) {
        await hub.publish({ topic: `topic ${String(number).padStart(4, '0')}`, data: '' });
    }
    const names = Object.keys(await hub.topics());
    assert.equal(names.length, 1000);
    assert.deepEqual([names[0], names.at(-1)], ['topic 0010', 'topic 1009']);
    assert.deepEqual(names, [...names].sort());
});

test('a watcher receives every event unchanged, and the topic in a comment', async (t) => {
    const hub = await hubFor(t);
    const watcher = await openFor(t, curlSources[0], `${hub.url}watch`);
    const follower = await openFor(t, curlSources[0], hub.events('a'));
    const first = await hub.publish({ topic: 'a', type: 'any type', data: 'one\r\n  two', retry: 1234 });
    assert.equal(first.receivers, 1, 'a watcher is no receiver');
    await hub.publish({ topic: 'b "\n: x', id: 'mine', data: '' });
    await hub.publish({ data: 'to everyone' });
    const events = await watcher.untilEvents(3);
    assert.deepEqual(events.map(({ type, data }) => [type, data]),
        [['any type', 'one\n  two'], ['message', ''], ['message', 'to everyone']]);
    assert.deepEqual(events.slice(0, 2).map(({ id }) => id), [first.id, 'mine']);
    assert.deepEqual(watcher.parser.comments.filter((comment) => comment !== ''),
        ['topic "a"', 'topic "b \\"\\u000a: x"']);
    assert.equal((await follower.untilEvents(2)).length, 2);
    assert.deepEqual((await hub.stats()).watchers, 1);
});

test('the largest event reaches a watcher', async (t) => {
    const hub = await hubFor(t, '--queue-bytes', '20000', '--history-events', '0');
    const watcher = await Peer.connect(hub.port);
    watcher.send('GET /watch HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await watcher.untilReceived('\r\n\r\n');
    const topic = '"'.repeat(1024);
    let size = 20000;
    while ((await hub.publish({ topic, data: 'x'.repeat(size) })).status === 413) {
        size -= 1;
    }
    assert.ok(size > 19900);
    await hub.publish({ topic, data: 'after' });
    await watcher.untilReceived('data: after\n');
    assert.deepEqual(watcher.events.map(({ data }) => data.length), [size, 5]);
});

test('a watcher that reconnects is notified that it may have missed events', async (t) => {
    const hub = await hubFor(t);
    const { id } = await hub.publish({ topic: 'a', data: 'x' });
    const peer = await Peer.connect(hub.port);
    peer.send(`GET /watch HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: ${id}\r\n\r\n`);
    await peer.untilReceived('event: gap\n');
});

test('watchers end when all streams are ended, and when the hub stops', async (t) => {
    const hub = await startHub();
    const open = async () => {
        const peer = await Peer.connect(hub.port);
        peer.send('GET /watch HTTP/1.1\r\nHost: localhost\r\n\r\n');
        await peer.untilReceived('\r\n\r\n');
        return peer;
    };
    t.after(closePeers);
    const first = await open();
    assert.equal((await hub.complete('a')).completed, 0);
    assert.equal((await hub.complete()).completed, 1);
    await first.untilEnd();
    const second = await open();
    hub.child.kill('SIGTERM');
    await second.untilReceived('event: farewell\n');
    await second.untilEnd();
    closePeers();
    await hub.untilExit();
    assert.deepEqual([hub.report.clients, hub.report.completed, hub.report.cut], [1, 1, 0]);
});

test('following all topics needs the token', async (t) => {
    const hub = await hubFor(t, '--token', 'open-sesame');
    for (const path of ['watch', 'topics']) {
        for (const method of ['GET', 'HEAD']) {
            assert.equal((await request(hub.url + path, { method })).status, 401);
        }
        const headers = { authorization: 'Bearer open-sesame' };
        assert.equal((await request(hub.url + path, { method: 'HEAD', headers })).status, 200);
    }
    assert.equal((await request(`${hub.url}events?topic=a`, { method: 'HEAD' })).status, 200);
});
