// SPDX-License-Identifier: MIT
// A server of several processes: what happens to its workers, and to their clients.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { request, until } from '../clients/hub.mjs';
import { Peer } from '../clients/peer.mjs';
import { openCurl } from '../clients/sources.mjs';
import { Client, numberOf } from './client.mjs';
import { publish, startWorkers } from './server.mjs';

async function serverFor(t, options = [], killed = 0) {
    const server = await startWorkers(options);
    t.after(() => server.stop(killed));
    await server.untilBegun(4);
    return server;
}

function clientFor(t, server, topic) {
    const client = new Client(server.url, topic);
    t.after(() => client.close());
    return until(() => client.opens > 0 && client.lastId && client, 'a stream');
}

async function accepted(server, topic, data) {
    const { status, id } = await publish(server.url, topic, data);
    assert.equal(status, 202);
    return id;
}

function untilIds(client, ids) {
    return until(() => client.messages.length >= ids.length, `${ids.length} events`,
        () => JSON.stringify(client.events));
}

const idsOf = (client) => client.messages.map(({ id }) => id);

async function whoAnswers(server) {
    return Number((await request(`${server.url}worker`)).text);
}

test('every worker serves, and its clients receive the events of all workers', async (t) => {
    const server = await serverFor(t);
    const seen = new Set();
    await until(async () => seen.add(await whoAnswers(server)).size === 4, 'each worker', () => [...seen]);
    assert.deepEqual([...seen].sort(), server.running.sort());
    const clients = [];
    for (let count = 0; count < 40; ++count) {
        clients.push(await clientFor(t, server, 'a'));
    }
    const ids = [];
    for (let count = 0; count < 40; ++count) {
        ids.push(await accepted(server, 'a', `event ${count}`));
    }
    assert.deepEqual(ids.map(numberOf), ids.map((_, index) => index + 1));
    for (const client of clients) {
        await untilIds(client, ids);
        assert.deepEqual(idsOf(client), ids);
    }
});

test('SIGTERM ends every stream with a final event and its own reconnection time', async (t) => {
    const server = await startWorkers();
    await server.untilBegun(4);
    const streams = [];
    for (let count = 0; count < 12; ++count) {
        streams.push(openCurl(`${server.url}events?topic=a`));
        await streams.at(-1).untilEvents(1);
    }
    t.after(() => streams.forEach((stream) => stream.close()));
    await server.stop();
    for (const stream of streams) {
        await stream.untilEnd();
        assert.equal(stream.exitCode, 0);
        assert.equal(stream.events.at(-1).type, 'restart');
    }
    assert.ok(new Set(streams.map(({ parser }) => parser.retries.at(-1))).size > 6);
});

test('workers end when their parent has been killed', async (t) => {
    const server = await startWorkers();
    await server.untilBegun(4);
    const client = await clientFor(t, server, 'a');
    server.signalParent('SIGKILL');
    await until(() => server.running.length === 0, 'the workers to end');
    client.close();
});

test('a reload replaces all workers, and no client misses an event', async (t) => {
    const server = await serverFor(t);
    const client = await clientFor(t, server, 'a');
    const ids = [await accepted(server, 'a', 'before')];
    await server.reload();
    assert.equal(server.running.length, 4);
    ids.push(await accepted(server, 'a', 'after'));
    await untilIds(client, ids);
    assert.deepEqual(idsOf(client), ids);
    assert.equal(client.count('gap'), 0);
});

test('a request that arrives while its worker ends is served', async (t) => {
    const server = await serverFor(t);
    const before = server.sockets();
    const peers = [];
    for (let count = 0; count < 8; ++count) {
        peers.push(await Peer.connect(server.port));
        peers.at(-1).send('GET /events?topic=a HTTP/1.1\r\n');
    }
    t.after(() => peers.forEach((peer) => peer.close()));
    await until(() => server.sockets() === before + peers.length, 'all to be accepted');
    server.signalParent('SIGHUP');
    await server.untilBegun(8);
    peers.forEach((peer) => peer.send('Host: 127.0.0.1\r\n\r\n'));
    await Promise.all(peers.map((peer) => peer.untilEnd()));
    peers.forEach(({ text }) => assert.match(text, /^HTTP\/1.1 200 [^]*event: restart\n/));
});

for (const [place, arrives] of [['locked', 0], ['half', 0], ['written', 0], ['published', 1], ['unlocked', 1]]) {
    test(`a worker that is killed when it has ${place} delays nobody`, async (t) => {
        const server = await serverFor(t, [], 1);
        const client = await clientFor(t, server, 'a');
        const ids = [await accepted(server, 'a', 'before')];
        await server.killAt(place, async () => {
            assert.deepEqual(await publish(server.url, 'a', 'killed'), {});
        });
        // Nobody was woken for it. The worker that replaces the dead one wakes all.
        await until(() => client.messages.length === 1 + arrives, 'the event of the dead',
            () => JSON.stringify(client.events));
        ids.push(await accepted(server, 'a', 'after'));
        await until(() => client.messages.at(-1)?.data === 'after', 'the next event');
        const texts = ['before', ...Array(arrives).fill('killed'), 'after'];
        assert.deepEqual(client.messages.map(({ data }) => data), texts);
        assert.deepEqual(client.messages.map(({ id }) => numberOf(id)), texts.map((_, index) => index + 1));
    });
}

test('a worker that is stopped while it publishes delays no stream, and publishers are refused', async (t) => {
    const server = await serverFor(t);
    const ids = [await accepted(server, 'a', 'before')];
    let late;
    const stopped = await server.stopAt('half', async () => {
        late = publish(server.url, 'a', 'late');
    });
    await clientFor(t, server, 'a');
    const attempts = [0, 1, 2, 3, 4, 5].map((count) => publish(server.url, 'a', `refused ${count}`));
    const first = await Promise.any(attempts.map(async (attempt) => (await attempt).status));
    assert.equal(first, 503);
    process.kill(stopped, 'SIGCONT');
    const { status, id } = await late;
    assert.equal(status, 202);
    ids.push(id);
    const others = (await Promise.all(attempts)).filter((answer) => answer.status === 202);
    ids.push(...others.map((answer) => answer.id), await accepted(server, 'a', 'after'));
    const back = await clientFor(t, server, 'a');
    back.lastId = ids[0];
    back.leave();
    await untilIds(back, ids.slice(1));
    assert.deepEqual(idsOf(back), ids.slice(1).sort((a, b) => numberOf(a) - numberOf(b)));
});

test('clients are notified of events that the ring no longer retains', async (t) => {
    const server = await serverFor(t, ['-n', 10]);
    const first = await accepted(server, 'a', 'first');
    const ids = [];
    for (let count = 0; count < 30; ++count) {
        ids.push(await accepted(server, 'a', `event ${count}`));
    }
    const stream = openCurl(`${server.url}events?topic=a`, ['-H', `Last-Event-ID: ${first}`]);
    t.after(() => stream.close());
    await stream.untilEvents(11);
    assert.deepEqual(stream.events[0], { type: 'gap', data: `${first}\n${ids.at(-10)}`, id: ids.at(-11) });
    assert.deepEqual(stream.events.slice(1).map(({ id }) => id), ids.slice(-10));
});

test('a worker that misses events of the ring notifies its clients', async (t) => {
    const server = await serverFor(t, ['-n', 10]);
    const clients = [];
    for (let count = 0; count < 20; ++count) {
        clients.push(await clientFor(t, server, 'a'));
    }
    const first = await accepted(server, 'a', 'first');
    await Promise.all(clients.map((client) => untilIds(client, [first])));
    const [stopped] = server.running;
    process.kill(stopped, 'SIGSTOP');
    const ids = [];
    for (let count = 0; count < 30; ++count) {
        ids.push(await accepted(server, 'a', `event ${count}`));
    }
    process.kill(stopped, 'SIGCONT');
    const behind = () => clients.filter(({ messages }) => messages.at(-1).id !== ids.at(-1));
    await until(() => behind().length === 0, 'the last event', () => behind().length);
    const told = clients.filter((client) => client.count('gap') === 1);
    assert.ok(told.length > 0 && told.length < clients.length, `${told.length} of ${clients.length} were told`);
    for (const client of clients) {
        const all = [first, ...ids];
        const [gap] = client.events.filter(({ type }) => type === 'gap');
        const [have, next] = gap ? gap.data.split('\n') : [first, ids[0]];
        const wanted = [...all.slice(0, all.indexOf(have) + 1), ...all.slice(all.indexOf(next))];
        assert.deepEqual(idsOf(client), wanted);
    }
});

test('invalid and too large events are refused', async (t) => {
    const server = await serverFor(t);
    assert.equal((await publish(server.url, '', 'no topic')).status, 400);
    assert.equal((await publish(server.url, 'a', Buffer.from([0xff]))).status, 400);
    for (const target of ['publish', 'publish?topic=%ff', 'publish?topic=%', 'publish?Topic=a']) {
        assert.equal((await request(server.url + target, { method: 'POST', body: 'for nobody' })).status, 400, target);
    }
    assert.equal((await request(`${server.url}nothing`)).status, 404);
    assert.equal(numberOf(await accepted(server, 'a', 'the first')), 1);
});
