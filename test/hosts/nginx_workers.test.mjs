// SPDX-License-Identifier: MIT
// nginx with several workers that share a ring: any of them may have a client, receive an event, or die.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { until } from '../clients/hub.mjs';
import { Client } from '../workers/client.mjs';
import { buildsOf, childrenOf, missing, startHost } from './host.mjs';
import { hosts } from './list.mjs';
import { Stream } from './stream.mjs';

const WORKERS = 4;
const CLIENTS = 40;
const ROUNDS = 2;
const LAST = 'the last';

const plain = hosts.find(({ server }) => server === 'nginx');

async function start(t) {
    const entry = { ...plain, workers: WORKERS };
    const host = await startHost(entry, buildsOf(entry)[0], { more: 'sse_shared on;' });
    t.after(() => host.remove());
    await until(() => childrenOf(host.child.pid).length === WORKERS, 'the workers');
    return host;
}

function openClients(t, host, topic) {
    const clients = Array.from({ length: CLIENTS }, () => new Client(host.origin, topic));
    t.after(() => clients.forEach((client) => client.close()));
    return clients;
}

/** Every client must reconnect. */
async function reload(host, clients) {
    const old = childrenOf(host.child.pid);
    const before = clients.map(({ opens }) => opens);
    host.child.kill('SIGHUP');
    await until(() => {
        const now = childrenOf(host.child.pid);
        return now.length === WORKERS && !now.some((pid) => old.includes(pid));
    }, 'new workers', () => host.stderr.slice(-500));
    await until(() => clients.every(({ opens }, index) => opens > before[index]), 'every client');
}

async function killOne(host, index) {
    const pid = childrenOf(host.child.pid)[index];
    process.kill(pid, 'SIGKILL');
    await until(() => {
        const now = childrenOf(host.child.pid);
        return now.length === WORKERS && !now.includes(pid);
    }, 'another worker');
}

/** Publishes until it is told to stop, then publishes the last event. Returns the accepted events. */
async function publishUntil(host, topic, isOver) {
    const accepted = [];
    for (let number = 0; !isOver(); number += 1) {
        const text = String(number);
        const target = `publish?topic=${topic}`;
        const { status } = await host.request(target, { method: 'POST', body: text }).catch(() => ({ status: 0 }));
        assert.ok([0, 202].includes(status), `status ${status}`);
        if (status === 202) {
            accepted.push(text);
        }
    }
    await until(() => host.publish(topic, LAST).then(() => true, () => false), 'the last event');
    return [...accepted, LAST];
}

/** Every client has the same events in the same order, each once, with all that were accepted. */
async function assertSame(clients, accepted) {
    await until(() => clients.every(({ messages }) => messages.at(-1)?.data === LAST), 'the last event everywhere',
        () => JSON.stringify(clients.map(({ messages }) => messages.length)));
    const [first, ...others] = clients.map(({ messages }) => messages.map(({ data }) => data));
    others.forEach((data) => assert.deepEqual(data, first));
    assert.equal(new Set(first).size, first.length);
    const unknown = new Set(first);
    accepted.forEach((text) => assert.ok(unknown.delete(text), `${text} is missing`));
    assert.ok(clients.every((client) => client.count('gap') === 0));
}

describe('workers of nginx', { concurrency: 1, skip: missing(plain) }, () => {
    test('an event reaches the streams of all workers', async (t) => {
        const host = await start(t);
        const streams = [];
        while (streams.length < CLIENTS) {
            streams.push(await Stream.open(host, 'all'));
        }
        const texts = Array.from({ length: 30 }, (_, index) => String(index));
        for (const text of texts) {
            await host.publish('all', text);
        }
        for (const stream of streams) {
            await stream.untilEvents(texts.length);
            assert.deepEqual(stream.data, texts);
        }
        host.terminate();
        await Promise.all(streams.map((stream) => stream.untilEnd()));
        assert.ok(streams.every(({ ended, events }) => ended === 'end' && events.at(-1).type === 'final'));
        await host.untilExit();
        const pids = [...host.stderr.matchAll(/ (\d+)#\d+: sse ended: /g)].map(([, pid]) => pid);
        assert.equal(pids.length, CLIENTS);
        assert.ok(new Set(pids).size > 1, 'one worker had all streams');
        assert.doesNotMatch(host.stderr, /\[(warn|crit|alert|emerg)\]/);
    });

    test('with reloads and dead workers, no event is lost or sent twice', async (t) => {
        const host = await start(t);
        const clients = openClients(t, host, 'ring');
        await until(() => clients.every(({ opens }) => opens > 0), 'the clients');
        let isOver = false;
        const publishing = publishUntil(host, 'ring', () => isOver);
        const untilMore = () => {
            const [client] = clients;
            const count = client.messages.length + 20;
            return until(() => client.messages.length >= count, 'more events');
        };
        for (let round = 0; round < ROUNDS; round += 1) {
            await untilMore();
            await reload(host, clients);
            await untilMore();
            await killOne(host, round);
        }
        await untilMore();
        isOver = true;
        await assertSame(clients, await publishing);
        assert.ok(clients.every(({ opens }) => opens > ROUNDS));
        assert.doesNotMatch(host.sanitizerReports(), /Sanitizer/);
    });
});
