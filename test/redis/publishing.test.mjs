// SPDX-License-Identifier: MIT
// What a publisher is told when Redis is slow, silent or not there, and how it sends an event again.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { request, until } from '../clients/hub.mjs';
import { fetchSource, openFor } from '../clients/sources.mjs';
import {
    accepted, dataOf, eventsUrl, idsOf, nodeFor, proxyFor, publish, redisFor, startNode, startRedis,
} from './cluster.mjs';

const redis = await startRedis();
const node = await startNode(redis);
await node.untilReady();
after(async () => {
    await node.stop();
    await redis.stop();
});

/** Sends an event with a key until it is accepted; returns its id. */
function publishAgain(origin, event, key) {
    return until(async () => {
        const { status, id } = await publish(origin, event, key);
        assert.ok([202, 503, 504].includes(status), `${status}`);
        return status === 202 && id;
    }, 'the event to be accepted');
}

/** Sends an event with a key until it was passed on to Redis, which did not answer. */
function publishInVain(origin, event, key) {
    return until(async () => {
        const { status, error } = await publish(origin, event, key);
        assert.match(error, status === 504 ? /^unknown: / : /^not stored: /);
        return status === 504;
    }, 'an event whose outcome is unknown');
}

test('Redis hangs: the outcome is unknown, and the same key stores the event once', async (t) => {
    const server = await redisFor(t);
    const one = await nodeFor(t, server);
    const stream = await openFor(t, fetchSource, eventsUrl(one.url, ['hang']));
    await accepted(one.url, { topic: 'hang', data: 'before' });
    server.child.kill('SIGSTOP');
    const event = { topic: 'hang', data: 'during' };
    const { status, error } = await publish(one.url, event, 'a key');
    assert.equal(status, 400, error);
    await publishInVain(one.url, event, 'key-1');
    // Sends it again while Redis still hangs. It may be refused before it is sent.
    await publish(one.url, event, 'key-1');
    server.child.kill('SIGCONT');
    const id = await publishAgain(one.url, event, 'key-1');
    assert.equal(await publishAgain(one.url, event, 'key-1'), id);
    const last = await accepted(one.url, { topic: 'hang', data: 'after' });
    assert.deepEqual(dataOf(await server.events()), ['before', 'during', 'after']);
    await until(() => stream.events.at(-1)?.id === last.id, 'the last event');
    assert.deepEqual(dataOf(stream.events.slice(1)), ['before', 'during', 'after']);
    assert.equal(stream.events[2].id, id);
    assert.ok((await one.stats()).unknown >= 1);
});

test('without a key, an event answered 503 is never stored, and publishers do not wait for ever', async (t) => {
    const server = await redisFor(t);
    const one = await nodeFor(t, server);
    const stream = await openFor(t, fetchSource, eventsUrl(one.url, ['hang']));
    await accepted(one.url, { topic: 'hang', data: 'before' });
    server.child.kill('SIGSTOP');
    const events = [1, 2, 3, 4].map((number) => ({ topic: 'hang', data: `during ${number}` }));
    const answers = await Promise.all(events.map((event) => publish(one.url, event)));
    assert.ok(answers.every(({ status }) => status === 503 || status === 504));
    assert.ok(answers.some(({ status }) => status === 504));
    server.child.kill('SIGCONT');
    const id = await publishAgain(one.url, { topic: 'hang', data: 'after' }, 'the-last');
    const stored = await server.events();
    const refused = events.filter((event, index) => answers[index].status === 503);
    for (const { data } of refused) {
        assert.ok(!dataOf(stored).includes(data), data);
    }
    await until(() => stream.events.at(-1)?.id === id, 'the last event');
    assert.deepEqual(idsOf(stream.events.slice(1)), idsOf(stored));
});

for (const held of ['requests', 'replies']) {
    test(`a slow Redis, whose ${held} are late: the outcome is unknown, and a repeat is recognised`, async (t) => {
        const server = await redisFor(t);
        const proxy = await proxyFor(t, server.port);
        const slow = await nodeFor(t, { port: proxy.port });
        const quick = await nodeFor(t, server);
        const stream = await openFor(t, fetchSource, eventsUrl(quick.url, ['slow']));
        await accepted(slow.url, { topic: 'slow', data: 'before' });
        proxy.hold(held);
        const event = { topic: 'slow', data: 'late' };
        await publishInVain(slow.url, event, 'late-1');
        // By another node, perhaps before the first attempt has reached Redis.
        const id = await publishAgain(quick.url, event, 'late-1');
        proxy.hold(null);
        assert.equal(await publishAgain(slow.url, event, 'late-1'), id);
        const last = await accepted(slow.url, { topic: 'slow', data: 'after' });
        await until(() => stream.events.at(-1)?.id === last.id, 'the last event');
        assert.deepEqual(dataOf(stream.events.slice(1)), ['before', 'late', 'after']);
        assert.deepEqual(dataOf(await server.events()), ['before', 'late', 'after']);
    });
}

test('without Redis an event is refused, not unknown, and the key is still free', async (t) => {
    const server = await redisFor(t);
    const one = await nodeFor(t, server);
    await accepted(one.url, { topic: 'away', data: 'before' });
    await server.end('SIGKILL');
    const event = { topic: 'away', data: 'later' };
    for (let count = 0; count < 3; ++count) {
        const { status, error } = await publish(one.url, event, 'away-1');
        assert.equal(status, 503);
        assert.match(error, /^not stored: /);
    }
    await server.start();
    await publishAgain(one.url, event, 'away-1');
    assert.deepEqual(dataOf(await server.events()), ['before', 'later']);
});

test('many attempts with one key at once, by two nodes, store one event', async (t) => {
    const other = await nodeFor(t, redis);
    const event = { topic: 'once', type: 'alarm', data: 'once' };
    const nodes = [node, other, node, other, node, other];
    const answers = await Promise.all(nodes.map(({ url }) => publish(url, event, 'once-1')));
    assert.deepEqual(answers.map(({ status }) => status), nodes.map(() => 202));
    assert.equal(new Set(idsOf(answers)).size, 1);
    const stored = (await redis.events()).filter(({ topic }) => topic === 'once');
    assert.deepEqual(idsOf(stored), [answers[0].id]);
    const seconds = Number(await redis.cli('TTL', '{events}:key:once-1'));
    assert.ok(seconds > 86000 && seconds <= 86400, `${seconds}`);
});

test('a key is for one event', async () => {
    const event = { topic: 'key', type: 'a', data: 'one' };
    assert.equal((await publish(node.url, event, 'key-2')).status, 202);
    for (const other of [{ ...event, data: 'two' }, { ...event, type: 'b' }, { ...event, topic: 'k' }]) {
        assert.equal((await publish(node.url, other, 'key-2')).status, 422);
    }
    // The parts of an event are kept apart.
    assert.equal((await publish(node.url, { topic: 'ke', type: 'ya', data: 'one' }, 'key-2')).status, 422);
    assert.equal((await publish(node.url, event, 'key-3')).status, 202);
    const before = (await redis.events()).length;
    for (const bad of ['', 'a b', 'x'.repeat(256), '\u00e4']) {
        assert.equal((await publish(node.url, event, bad)).status, 400, bad);
    }
    const headers = { 'Idempotency-Key': ['one', 'two'] };
    const twice = await request(`${node.url}publish?topic=key`, { method: 'POST', headers, body: 'x' });
    assert.equal(twice.status, 400);
    assert.equal((await redis.events()).length, before);
    assert.equal((await publish(node.url, event, 'x'.repeat(255))).status, 202);
});

test('with -w an event is accepted once a replica has it', async (t) => {
    const server = await redisFor(t);
    const replica = await redisFor(t);
    const careful = await nodeFor(t, server, ['-w', 1]);
    const event = { topic: 'replica', data: 'x' };
    assert.equal((await publish(careful.url, event, 'replica-1')).status, 504);
    await replica.cli('REPLICAOF', '127.0.0.1', server.port);
    const id = await publishAgain(careful.url, event, 'replica-1');
    assert.deepEqual(idsOf(await replica.events()), [id]);
});
