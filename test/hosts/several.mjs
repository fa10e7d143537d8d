// SPDX-License-Identifier: MIT
// Clients of a server that has several processes, which share a ring: each gets every event once, in one order.
import assert from 'node:assert/strict';
import { until } from '../clients/hub.mjs';
import { Client } from '../workers/client.mjs';

const LAST = 'the last';

export function openClients(t, host, topic, count) {
    const clients = Array.from({ length: count }, () => new Client(host.origin, topic));
    t.after(() => clients.forEach((client) => client.close()));
    return clients;
}

/** Publishes until it is told to stop, then publishes the last event. Returns the accepted events. */
export async function publishUntil(host, topic, isOver) {
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
export async function assertSame(clients, accepted) {
    await until(() => clients.every(({ messages }) => messages.at(-1)?.data === LAST), 'the last event everywhere',
        () => JSON.stringify(clients.map(({ messages }) => messages.length)));
    const [first, ...others] = clients.map(({ messages }) => messages.map(({ data }) => data));
    others.forEach((data) => assert.deepEqual(data, first));
    assert.equal(new Set(first).size, first.length);
    const unknown = new Set(first);
    accepted.forEach((text) => assert.ok(unknown.delete(text), `${text} is missing`));
    assert.ok(clients.every((client) => client.count('gap') === 0));
}

/** Publishes to all streams, and stops the server. Every stream gets every event and ends well. `pattern` finds the
 *  process in the message about an end. */
export async function assertReached(host, topic, streams, pattern) {
    const texts = Array.from({ length: 30 }, (_, index) => String(index));
    for (const text of texts) {
        await host.publish(topic, text);
    }
    for (const stream of streams) {
        await stream.untilEvents(texts.length);
        assert.deepEqual(stream.data, texts);
    }
    host.terminate();
    await Promise.all(streams.map((stream) => stream.untilEnd()));
    assert.ok(streams.every(({ ended, events }) => ended === 'end' && events.at(-1).type === 'final'));
    await host.untilExit();
    const pids = [...host.stderr.matchAll(pattern)].map(([, pid]) => pid);
    assert.equal(pids.length, streams.length);
    assert.ok(new Set(pids).size > 1, 'one process had all streams');
}

/** The first client gets some events more. */
export function untilMore([client]) {
    const count = client.messages.length + 20;
    return until(() => client.messages.length >= count, 'more events');
}
