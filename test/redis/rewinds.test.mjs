// SPDX-License-Identifier: MIT
// Redis loses entries that nodes have read: a key is deleted, a replica takes over, an older file is loaded. Then
// its ids may go back. Every accepted event arrives at every client once, or the client is notified of a gap.
import assert from 'node:assert/strict';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../clients/hub.mjs';
import { eventSources, openFor } from '../clients/sources.mjs';
import {
    accepted, acceptedMany, comeBack, dataOf, eventsUrl, idsOf, nodeFor, proxyFor, publish, redisFor, STREAM,
} from './cluster.mjs';

/** An id of a clock that is an hour ahead. Later ids of Redis are below it. */
const future = (number) => `${Date.now() + 3600000}-${number}`;

/** A client of each kind that reconnects by itself. */
async function clientsOf(t, nodes, topic) {
    const streams = [];
    for (const source of eventSources) {
        for (const node of nodes) {
            streams.push(await openFor(t, source, eventsUrl(node.url, [topic]), ['ready', 'gap']));
        }
    }
    return streams;
}

const untilHas = ({ events }, { id }) => until(() => events.some((event) => event.id === id), `the event ${id}`,
    () => JSON.stringify(events));

const isGap = ({ type }) => type === 'gap';
const untilGap = (stream) => until(() => stream.events.some(isGap), 'the gap', () => JSON.stringify(stream.events));

const untilRenewed = (node) => until(async () => (await node.stats()).renewed > 0, 'the node to begin anew',
    () => node.stderr);

/** No event arrives twice. After the last gap, every event arrives that was accepted since `later` began. */
function check({ events }, later) {
    const messages = events.filter(({ type }) => type === 'message');
    assert.equal(new Set(idsOf(messages)).size, messages.length, JSON.stringify(events));
    const start = events.findIndex(({ id }) => id === later[0].id);
    assert.ok(events.findLastIndex(isGap) < start, JSON.stringify(events));
    assert.deepEqual(idsOf(messages.slice(-later.length)), idsOf(later));
}

/** A client that reconnects with a lost id, and one whose id is not lost. */
async function checkLate(t, node, topic, lost, later) {
    const back = await comeBack(t, node, [topic], lost.id);
    await untilGap(back);
    assert.ok(back.events.findIndex(isGap) === 0, JSON.stringify(back.events));
    later.push(await accepted(node.url, { topic, data: 'the next' }));
    await untilHas(back, later.at(-1));
    assert.equal(new Set(idsOf(back.events)).size, back.events.length);
    const known = await comeBack(t, node, [topic], later[0].id);
    await untilHas(known, later.at(-1));
    assert.deepEqual(idsOf(known.events), idsOf(later.slice(1)));
}

/** A client that was disconnected while events were lost, and whose own id is not lost. */
async function checkAway(t, nodes, topic, known, later) {
    for (const node of nodes) {
        const back = await comeBack(t, node, [topic], known.id);
        await untilHas(back, later.at(-1));
        check(back, later);
        assert.ok(back.events.some(isGap), JSON.stringify(back.events));
    }
}

for (const command of [['DEL', STREAM], ['FLUSHALL'], ['UNLINK', STREAM]]) {
    test(`the ids go back after ${command[0]}: clients are told of a gap, then get new events`, async (t) => {
        const server = await redisFor(t);
        const nodes = [await nodeFor(t, server), await nodeFor(t, server)];
        const streams = await clientsOf(t, nodes, 'back');
        const lost = await server.add(future(0), 'back', 'of the future');
        await Promise.all(streams.map((stream) => untilHas(stream, lost)));
        await server.cli(...command);
        const between = await acceptedMany(nodes[0].url, 'back', 5);
        assert.ok(between[0].id < lost.id);
        await Promise.all(streams.map(untilGap));
        await Promise.all(nodes.map(untilRenewed));
        const later = await acceptedMany(nodes[0].url, 'back', 3);
        later.push(...await acceptedMany(nodes[1].url, 'back', 3));
        for (const stream of streams) {
            await untilHas(stream, later.at(-1));
            check(stream, later);
            assert.equal(stream.events.find(isGap).data, `${lost.id}\n`);
        }
        await checkLate(t, nodes[0], 'back', lost, later);
        const young = await nodeFor(t, server);
        await checkLate(t, young, 'back', lost, later);
    });
}

test('a replica whose clock is behind takes over', async (t) => {
    const server = await redisFor(t);
    const replica = await redisFor(t);
    const proxy = await proxyFor(t, server.port);
    const nodes = [await nodeFor(t, { port: proxy.port }), await nodeFor(t, { port: proxy.port })];
    const streams = await clientsOf(t, nodes, 'behind');
    const both = await accepted(nodes[0].url, { topic: 'behind', data: 'both have it' });
    await replica.cli('REPLICAOF', '127.0.0.1', server.port);
    await until(async () => (await replica.events()).length === 1, 'the replica');
    await replica.cli('REPLICAOF', 'NO', 'ONE');
    const first = await server.add(future(0), 'behind', 'one');
    const lost = await server.add(future(0), 'behind', 'two');
    await Promise.all(streams.map((stream) => untilHas(stream, lost)));
    proxy.turnTo(replica.port);
    const between = await until(async () => {
        const answer = await publish(nodes[0].url, { topic: 'behind', data: 'between' });
        return answer.status === 202 && answer;
    }, 'the other Redis');
    assert.ok(between.id < first.id);
    await Promise.all(streams.map(untilGap));
    await Promise.all(nodes.map(untilRenewed));
    const later = await acceptedMany(nodes[1].url, 'behind', 5);
    for (const stream of streams) {
        await untilHas(stream, later.at(-1));
        check(stream, later);
        assert.deepEqual(dataOf(stream.events.slice(1, 4)), ['both have it', 'one', 'two']);
    }
    await checkLate(t, nodes[0], 'behind', first, later);
    await checkAway(t, nodes, 'behind', both, later);
});

test('Redis assigns the same id twice: the second entry is not mistaken for the first', async (t) => {
    const server = await redisFor(t);
    const node = await nodeFor(t, server);
    const [stream] = await clientsOf(t, [node], 'same');
    const id = future(7);
    const lost = await server.add(id, 'same', 'first');
    await untilHas(stream, lost);
    const script = `redis.call('DEL', '${STREAM}') redis.call('XADD', '${STREAM}', '${id}', 'mark', '00000001', `
        + '\'topic\', \'same\', \'data\', \'second\')';
    await server.cli('EVAL', script, 0);
    await untilGap(stream);
    const young = await nodeFor(t, server);
    const back = await comeBack(t, young, ['same'], lost.id);
    await untilHas(back, { id: `${id}-00000001` });
    assert.ok(isGap(back.events[0]));
    const later = await acceptedMany(node.url, 'same', 3);
    await untilHas(stream, later.at(-1));
    check(stream, later);
    const known = await comeBack(t, young, ['same'], `${id}-00000001`);
    await untilHas(known, later.at(-1));
    check(known, later);
});

test('an older file is loaded', async (t) => {
    const server = await redisFor(t);
    const node = await nodeFor(t, server);
    const streams = await clientsOf(t, [node], 'older');
    const kept = await acceptedMany(node.url, 'older', 3);
    const file = join(server.directory, 'appendonlydir');
    cpSync(file, `${file}.older`, { recursive: true });
    const lost = (await acceptedMany(node.url, 'older', 3)).at(-1);
    await Promise.all(streams.map((stream) => untilHas(stream, lost)));
    await server.end('SIGKILL');
    rmSync(file, { recursive: true });
    cpSync(`${file}.older`, file, { recursive: true });
    await server.start();
    await Promise.all(streams.map(untilGap));
    const later = await acceptedMany(node.url, 'older', 3);
    for (const stream of streams) {
        await untilHas(stream, later.at(-1));
        check(stream, later);
        assert.equal(stream.events.filter(isGap).length, 1);
    }
    await checkLate(t, node, 'older', lost, later);
    await checkAway(t, [node, await nodeFor(t, server)], 'older', kept[2], later);
});

test('Redis comes back with nothing, or with other data', async (t) => {
    for (const isEmpty of [true, false]) {
        const server = await redisFor(t);
        const node = await nodeFor(t, server);
        const [stream] = await clientsOf(t, [node], 'other');
        const lost = (await acceptedMany(node.url, 'other', 3)).at(-1);
        await untilHas(stream, lost);
        await server.end('SIGKILL');
        rmSync(join(server.directory, 'appendonlydir'), { recursive: true });
        await server.start();
        if (!isEmpty) {
            await server.add('5-1', 'other', 'of another stream');
        }
        await untilGap(stream);
        const later = await acceptedMany(node.url, 'other', 3);
        await untilHas(stream, later.at(-1));
        check(stream, later);
        await checkLate(t, node, 'other', lost, later);
    }
});

test('the stream goes back again and again, while two nodes accept events', async (t) => {
    const server = await redisFor(t);
    const nodes = [await nodeFor(t, server), await nodeFor(t, server)];
    const streams = await clientsOf(t, nodes, 'again');
    for (let round = 0; round < 3; ++round) {
        const before = await Promise.all(nodes.map((node) => node.stats()));
        const lost = await server.add(future(round), 'again', `future ${round}`);
        await Promise.all(streams.map((stream) => untilHas(stream, lost)));
        const deleting = server.cli('DEL', STREAM);
        await acceptedMany(nodes[round % 2].url, 'again', 20);
        await deleting;
        await until(async () => {
            const stats = await Promise.all(nodes.map((node) => node.stats()));
            return stats.every(({ renewed }, index) => renewed > before[index].renewed);
        }, 'both nodes to begin anew');
        const later = await acceptedMany(nodes[(round + 1) % 2].url, 'again', 20);
        for (const stream of streams) {
            await untilHas(stream, later.at(-1));
            check(stream, later);
        }
    }
});

test('accepted events are lost before any node has read them', async (t) => {
    for (const isPublishing of [false, true]) {
        const server = await redisFor(t);
        const replica = await redisFor(t);
        const proxy = await proxyFor(t, server.port);
        const node = await nodeFor(t, { port: proxy.port });
        const streams = await clientsOf(t, [node], 'unread');
        const known = await accepted(node.url, { topic: 'unread', data: 'both have it' });
        await Promise.all(streams.map((stream) => untilHas(stream, known)));
        await replica.cli('REPLICAOF', '127.0.0.1', server.port);
        await until(async () => (await replica.events()).length === 1, 'the replica');
        await replica.cli('REPLICAOF', 'NO', 'ONE');
        const other = await nodeFor(t, replica);
        await accepted(other.url, { topic: 'unread', data: 'by the other node' });
        streams.push(...await clientsOf(t, [other], 'unread'));
        proxy.hold('entries');
        const lost = await acceptedMany(node.url, 'unread', 3);
        proxy.turnTo(replica.port);
        proxy.hold(null);
        if (isPublishing) {
            const next = { topic: 'unread', data: 'the next' };
            await until(async () => (await publish(node.url, next)).status === 202, 'the other Redis');
        }
        await Promise.all(streams.map(untilGap));
        for (const stream of streams) {
            assert.equal(stream.events.find(isGap).data, `${lost.at(-1).id}\n`);
        }
        const later = await acceptedMany(node.url, 'unread', 3);
        for (const stream of streams) {
            await untilHas(stream, later.at(-1));
            check(stream, later);
        }
        await checkAway(t, [node, other], 'unread', known, later);
    }
});
