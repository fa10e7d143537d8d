// SPDX-License-Identifier: MIT
// The behaviour of one node that lets several work as one.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, test } from 'node:test';
import { request, until } from '../clients/hub.mjs';
import { eventSources, fetchSource, openCurl, openFor } from '../clients/sources.mjs';
import { StrictParser } from '../clients/wire.mjs';
import {
    accepted, acceptedMany, comeBack, dataOf, eventsUrl, idsOf, nodeFor, publish, redisFor, startNode,
    startRedis,
} from './cluster.mjs';

const redis = await startRedis();
const [left, right] = [await startNode(redis), await startNode(redis)];
await Promise.all([left.untilReady(), right.untilReady()]);
after(async () => {
    await left.stop();
    await right.stop();
    await redis.stop();
});

test('an event reaches the clients of every node, with the id that its publisher received', async (t) => {
    const topics = ['every', 'other'];
    const streams = [];
    for (const source of [...eventSources, fetchSource]) {
        for (const node of [left, right]) {
            streams.push(await openFor(t, source, eventsUrl(node.url, topics), ['ready', 'alarm']));
        }
    }
    const sent = [
        await accepted(left.url, { topic: 'every', type: 'alarm', data: 'one\ntwo' }),
        await accepted(right.url, { topic: 'other', data: '' }),
        await accepted(left.url, { topic: 'every', data: 'x'.repeat(60000) }),
    ];
    for (const stream of streams) {
        const [ready, ...events] = await stream.untilEvents(4);
        assert.equal(ready.type, 'ready');
        assert.deepEqual(events, sent.map(({ type = 'message', data, id }) => ({ type, data, id })));
        assert.deepEqual(stream.errors, []);
    }
});

test('a client that reconnects to another node misses nothing', async (t) => {
    const first = await acceptedMany(left.url, 'back', 10);
    for (const node of [left, right]) {
        const stream = await comeBack(t, node, ['back'], first[3].id);
        await stream.untilEvents(6);
        assert.deepEqual(idsOf(stream.events), idsOf(first.slice(4)));
    }
});

test('a client of a new node receives each event from before the start of the node once', async (t) => {
    const old = await acceptedMany(left.url, 'young', 150);
    await acceptedMany(left.url, 'another', 5);
    const node = await nodeFor(t, redis);
    const before = await comeBack(t, node, ['young'], old[10].id);
    await before.untilEvents(139);
    const live = await acceptedMany(right.url, 'young', 5);
    const last = await comeBack(t, node, ['young', 'nothing'], old[20].id);
    await last.untilEvents(134);
    await before.untilEvents(144);
    assert.deepEqual(idsOf(before.events), idsOf([...old.slice(11), ...live]));
    assert.deepEqual(idsOf(last.events), idsOf([...old.slice(21), ...live]));
    assert.deepEqual([(await node.stats()).filled, (await node.stats()).gaps], [2, 0]);
});

test('a client receives what a short history no longer retains, and then the rest', async (t) => {
    const node = await nodeFor(t, redis, ['-n', 20]);
    const busy = await acceptedMany(node.url, 'busy', 100);
    const quiet = await acceptedMany(node.url, 'quiet', 5);
    const mixed = [...busy, ...quiet];
    for (const from of [0, 40, 95, 101]) {
        const stream = await comeBack(t, node, ['busy', 'quiet'], mixed[from].id);
        await stream.untilEvents(mixed.length - from - 1);
        assert.deepEqual(idsOf(stream.events), idsOf(mixed.slice(from + 1)));
    }
    assert.equal((await node.stats()).gaps, 0);
});

test('while events arrive, a client that reconnects receives each of them once', async (t) => {
    const first = await acceptedMany(left.url, 'seam', 30);
    const node = await nodeFor(t, redis);
    let more = true;
    const publishing = (async () => {
        const events = [];
        for (let number = 0; more; ++number) {
            events.push(await accepted(right.url, { topic: 'seam', data: `live ${number}` }));
        }
        return events;
    })();
    const streams = [];
    for (let count = 0; count < 30; ++count) {
        streams.push(await comeBack(t, [left, node][count % 2], ['seam'], first[count].id));
    }
    more = false;
    const all = [...first, ...await publishing];
    for (const [index, stream] of streams.entries()) {
        await stream.untilEvents(all.length - index - 1);
        assert.deepEqual(idsOf(stream.events), idsOf(all.slice(index + 1)));
    }
});

test('a client that received only the first id, and reconnects, misses nothing', async (t) => {
    const stream = await openFor(t, fetchSource, eventsUrl(left.url, ['beginning']));
    const [{ id }] = await stream.untilEvents(1);
    stream.close();
    const sent = await acceptedMany(left.url, 'beginning', 3);
    const again = await comeBack(t, right, ['beginning'], id);
    await again.untilEvents(3);
    assert.deepEqual(idsOf(again.events), idsOf(sent));
});

test('a client from a node that is ahead waits until this one has caught up', async (t) => {
    const server = await redisFor(t);
    const ahead = await nodeFor(t, server);
    const slow = await nodeFor(t, server);
    await accepted(ahead.url, { topic: 'a', data: 'both have it' });
    await until(async () => (await slow.stats()).published === 1, 'the other node');
    slow.child.kill('SIGSTOP');
    const seen = await accepted(ahead.url, { topic: 'a', data: 'only one has it' });
    const opening = comeBack(t, slow, ['a'], seen.id);
    slow.child.kill('SIGCONT');
    const stream = await opening;
    const next = await accepted(ahead.url, { topic: 'a', data: 'next' });
    await stream.untilEvents(1);
    assert.deepEqual(idsOf(stream.events), [next.id]);
});

test('for trimmed events a client is notified of a gap, and then receives all that is left', async (t) => {
    const server = await redisFor(t);
    const node = await nodeFor(t, server);
    const sent = await acceptedMany(node.url, 'trimmed', 30);
    await server.cli('XTRIM', 'events', 'MAXLEN', 10);
    const young = await nodeFor(t, server);
    const stream = await comeBack(t, young, ['trimmed'], sent[5].id);
    await stream.untilEvents(11);
    const [gap, ...rest] = stream.events;
    assert.deepEqual(gap, { type: 'gap', data: `${sent[5].id}\n${sent[20].id}`, id: '' });
    assert.deepEqual(idsOf(rest), idsOf(sent.slice(20)));
    const whole = await comeBack(t, young, ['trimmed'], sent[20].id);
    await whole.untilEvents(9);
    assert.deepEqual(idsOf(whole.events), idsOf(sent.slice(21)));
    const { filled, gaps } = await young.stats();
    assert.deepEqual({ filled, gaps }, { filled: 2, gaps: 1 });
});

test('clients are notified of events that were trimmed before their node read them', async (t) => {
    const server = await redisFor(t);
    const publisher = await nodeFor(t, server);
    const behind = await nodeFor(t, server);
    const stream = await openFor(t, fetchSource, eventsUrl(behind.url, ['behind']), ['gap']);
    const first = await accepted(publisher.url, { topic: 'behind', data: 'before' });
    await stream.untilEvents(2);
    behind.child.kill('SIGSTOP');
    const sent = await acceptedMany(publisher.url, 'behind', 30);
    await server.cli('XTRIM', 'events', 'MAXLEN', 10);
    behind.child.kill('SIGCONT');
    const last = (events) => events.at(-1)?.id === sent[29].id;
    await until(() => last(stream.events), 'the last event', () => JSON.stringify(stream.events));
    const back = await comeBack(t, behind, ['behind'], first.id);
    await until(() => last(back.events), 'the last event', () => JSON.stringify(back.events));
    // The node may have read the first of them already.
    for (const events of [stream.events.slice(2), back.events]) {
        const messages = events.filter(({ type }) => type === 'message');
        const before = messages.length - 10;
        assert.deepEqual(idsOf(messages), idsOf([...sent.slice(0, before), ...sent.slice(20)]));
        const { type, data } = events.at(-11);
        assert.deepEqual({ type, data }, { type: 'gap', data: `${[first, ...sent][before].id}\n${sent[20].id}` });
    }
});

test('the length of the stream is limited', async (t) => {
    const server = await redisFor(t);
    const node = await nodeFor(t, server, ['-k', 100]);
    await acceptedMany(node.url, 'bounded', 500);
    const length = Number(await server.cli('XLEN', 'events'));
    assert.ok(length >= 100 && length < 300, `${length} entries`);
});

for (const id of ['99999999999999-0', 'no id of Redis', '5', '$', '18446744073709551616-1', '1-2-3']) {
    test(`an id that the stream never had is a gap: ${id}`, async (t) => {
        const last = await accepted(left.url, { topic: 'never', data: 'before' });
        const stream = await comeBack(t, left, ['never'], id);
        const [gap] = await stream.untilEvents(1);
        assert.equal(gap.type, 'gap');
        assert.equal(gap.data, `${id}\n`);
        assert.ok(gap.id >= last.id);
        const next = await accepted(left.url, { topic: 'never', data: 'after' });
        await stream.untilEvents(2);
        assert.deepEqual(idsOf(stream.events.slice(1)), [next.id]);
    });
}

test('a client with the id of an entry without an event receives the next events once', async (t) => {
    await acceptedMany(left.url, 'foreign', 3);
    const id = (await redis.cli('XADD', 'events', '*', 'something', 'else')).trim();
    const early = await comeBack(t, left, ['foreign'], id);
    const after = await acceptedMany(left.url, 'foreign', 3);
    await early.untilEvents(3);
    const late = await comeBack(t, left, ['foreign'], id);
    await late.untilEvents(3);
    for (const { events } of [early, late]) {
        assert.deepEqual(idsOf(events), idsOf(after));
    }
});

test('a client with an id that is no longer retained receives no older event of a quiet topic', async (t) => {
    const node = await nodeFor(t, redis, ['-n', 10]);
    await accepted(node.url, { topic: 'still', data: 'old' });
    const others = await acceptedMany(node.url, 'lively', 30);
    const next = await accepted(node.url, { topic: 'still', data: 'new' });
    const stream = await comeBack(t, node, ['still'], others[3].id);
    await stream.untilEvents(1);
    const last = await accepted(node.url, { topic: 'still', data: 'newer' });
    await stream.untilEvents(2);
    assert.deepEqual(idsOf(stream.events), idsOf([next, last]));
});

test('entries of other programs in the stream are skipped', async (t) => {
    const stream = await openFor(t, fetchSource, eventsUrl(left.url, ['mine']));
    await redis.cli('XADD', 'events', '*', 'something', 'else');
    await redis.cli('XADD', 'events', '*', 'topic', 'mine', 'type', 'a\nb', 'data', 'forged');
    await redis.cli('XADD', 'events', '*', 'topic', '', 'data', 'nobody\'s');
    const sent = await accepted(left.url, { topic: 'mine', data: 'good' });
    assert.deepEqual((await stream.untilEvents(2))[1], { type: 'message', data: 'good', id: sent.id });
    const again = await openFor(t, fetchSource, eventsUrl(left.url, ['mine']));
    assert.equal((await again.untilEvents(1))[0].type, 'ready');
});

test('bad input is refused before Redis sees it', async () => {
    const before = (await redis.events()).length;
    assert.equal((await publish(left.url, { topic: '', data: 'x' })).status, 400);
    assert.equal((await publish(left.url, { topic: 'x'.repeat(1025), data: 'x' })).status, 413);
    assert.equal((await publish(left.url, { topic: 'a', data: Buffer.from([0xff]) })).status, 400);
    assert.equal((await publish(left.url, { topic: 'a', type: 'a\nb', data: 'x' })).status, 400);
    assert.equal((await publish(left.url, { topic: 'a', data: 'x'.repeat(70000) })).status, 413);
    assert.equal((await publish(left.url, { topic: 'a', data: '\n'.repeat(60000) })).status, 413);
    assert.equal((await request(`${left.url}events`)).status, 400);
    assert.equal((await request(`${left.url}events?topic=`)).status, 400);
    assert.equal((await request(`${left.url}events?topic=%zz`)).status, 400);
    assert.equal((await request(`${left.url}events?topic=${'x'.repeat(1025)}`)).status, 400);
    assert.equal((await request(`${left.url}nothing`)).status, 404);
    assert.equal((await redis.events()).length, before);
});

for (const signal of ['SIGTERM', 'SIGKILL']) {
    test(`Redis was ended by ${signal}: 503, and the streams stay open`, async (t) => {
        const server = await redisFor(t);
        const node = await nodeFor(t, server);
        const stream = await openFor(t, fetchSource, eventsUrl(node.url, ['away']));
        const first = await accepted(node.url, { topic: 'away', data: 'before' });
        await stream.untilEvents(2);
        await server.end(signal);
        assert.equal((await publish(node.url, { topic: 'away', data: 'lost' })).status, 503);
        assert.equal((await publish(node.url, { topic: 'away', data: 'lost, too' })).status, 503);
        assert.equal((await node.stats()).emitters, 1);
        const late = await openFor(t, fetchSource, eventsUrl(node.url, ['away']));
        await server.start();
        const second = await until(async () => {
            const { status, id } = await publish(node.url, { topic: 'away', data: 'after' });
            return status === 202 && id;
        }, 'Redis to be back');
        assert.deepEqual(idsOf((await stream.untilEvents(3)).slice(1)), [first.id, second]);
        assert.deepEqual(dataOf((await late.untilEvents(2)).slice(1)), ['after']);
        assert.equal(stream.ended, false);
        assert.deepEqual(dataOf(await server.events()), ['before', 'after']);
    });
}

test('Redis refuses to write: 503, and reading continues', async (t) => {
    const server = await redisFor(t);
    const node = await nodeFor(t, server, ['-n', 5]);
    const stream = await openFor(t, fetchSource, eventsUrl(node.url, ['full']));
    const sent = await acceptedMany(node.url, 'full', 20);
    await server.cli('CONFIG', 'SET', 'maxmemory', 1);
    assert.equal((await publish(node.url, { topic: 'full', data: 'refused' })).status, 503);
    const back = await comeBack(t, node, ['full'], sent[2].id);
    await back.untilEvents(17);
    await server.cli('CONFIG', 'SET', 'maxmemory', 0);
    const last = await accepted(node.url, { topic: 'full', data: 'after' });
    assert.deepEqual(idsOf((await stream.untilEvents(22)).slice(1)), idsOf([...sent, last]));
    assert.deepEqual(idsOf(await back.untilEvents(18)), idsOf([...sent.slice(3), last]));
});

/** A client that begins to read when the node has delayed it or ended it. Returns what it read. */
async function readLate(node, topic, id) {
    const { put_off: before } = await node.stats();
    const headers = { 'Last-Event-ID': id };
    const outgoing = http.get(eventsUrl(node.url, [topic]), { headers, agent: false });
    let response = null;
    outgoing.on('response', (incoming) => { response = incoming; });
    await until(() => response, 'the response');
    await until(async () => {
        const { put_off: putOff, filled } = await node.stats();
        return putOff > before || filled > 0;
    }, 'the node to have sent what it can');
    const parser = new StrictParser();
    // It may have been disconnected, but has read only complete events.
    response.on('error', () => {}).on('data', (chunk) => parser.feed(chunk));
    const hasAll = () => parser.events.at(-1)?.data === 'end';
    await until(() => response.complete || response.destroyed || hasAll(), 'the end');
    outgoing.destroy();
    return parser.events;
}

test('a client that reads its replay too slowly reconnects for the rest', async (t) => {
    const server = await redisFor(t);
    const publisher = await nodeFor(t, server);
    const first = await accepted(publisher.url, { topic: 'large', data: 'before' });
    const sent = [];
    for (let count = 0; count < 400; ++count) {
        sent.push(await accepted(publisher.url, { topic: 'large', data: `${count} ${'x'.repeat(60000)}` }));
    }
    sent.push(await accepted(publisher.url, { topic: 'large', data: 'end' }));
    const young = await nodeFor(t, server);
    const seen = [first];
    while (seen.at(-1).id !== sent.at(-1).id) {
        const more = await readLate(young, 'large', seen.at(-1).id);
        assert.ok(more.length > 0, 'it comes back, and gets nothing');
        seen.push(...more);
    }
    assert.deepEqual(idsOf(seen.slice(1)), idsOf(sent));
    assert.ok((await young.stats()).put_off > 0);
});

test('without Redis, a client that needs it is told when to reconnect', async (t) => {
    const server = await redisFor(t);
    const node = await nodeFor(t, server, ['-n', 5]);
    const sent = await acceptedMany(node.url, 'later', 20);
    await until(async () => (await node.stats()).published === 20, 'all events');
    await server.end('SIGTERM');
    const young = await startNode(server);
    t.after(() => young.stop());
    // The retry of a stream that has begun, and that of a refused client.
    const [ended, refused] = [[200, 1000], [2000, 10000]];
    for (const [one, id, [least, most]] of [
        [node, sent[3].id, ended], [young, sent[3].id, refused], [young, '', refused]]) {
        const stream = await comeBack(t, one, ['later'], id);
        await stream.untilEnd();
        assert.deepEqual(stream.events, []);
        assert.ok(stream.parser.retries.at(-1) >= least && stream.parser.retries.at(-1) <= most);
        assert.equal(stream.exitCode, 0);
    }
    assert.equal((await publish(young.url, { topic: 'later', data: 'x' })).status, 503);
    const held = await comeBack(t, node, ['later'], sent[16].id);
    await held.untilEvents(3);
    await server.start();
    const stream = await openFor(t, eventSources[0], eventsUrl(young.url, ['later']), ['ready']);
    await until(() => stream.events.length, 'the node to begin');
    const publishNext = async () => (await publish(young.url, { topic: 'later', data: 'y' })).id;
    const next = await until(publishNext, 'Redis');
    assert.equal((await stream.untilEvents(2))[1].id, next);
});

test('SIGTERM ends every stream with a farewell', async (t) => {
    const node = await startNode(redis);
    await node.untilReady();
    const streams = [];
    for (let count = 0; count < 5; ++count) {
        const stream = openCurl(eventsUrl(node.url, ['farewell']));
        t.after(() => stream.close());
        streams.push(stream);
        await stream.untilEvents(1);
    }
    await node.stop();
    for (const stream of streams) {
        await stream.untilEnd();
        assert.equal(stream.exitCode, 0);
        assert.equal(stream.events.at(-1).type, 'farewell');
        assert.match(stream.body.toString(), /\n\nretry: [0-9]+\n\n$/);
    }
});
