// SPDX-License-Identifier: MIT
// Four workers and clients that reconnect to any of them, while each worker is killed in turn, also while it
// publishes, and while all are replaced. Every client receives every accepted event of its topic exactly once, in
// one order.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { until } from '../clients/hub.mjs';
import { Client, numberOf } from './client.mjs';
import { publish, startWorkers } from './server.mjs';

const CLIENTS = Number(process.env.SSE_WORKERS_CLIENTS ?? 300);
const KILLS_INSIDE = process.env.SSE_WORKERS_KILLS_INSIDE !== '0';
const WORKERS = 4;
const TOPICS = ['a', 'b', 'c', 'd', 'e', 'f'];
const PAUSE_MS = 10;
/** The average time after which a client disconnects. Clients with an even number stay until the server ends their
 *  connection. */
const LEAVING_MS = 400;
/** Accepted events between two faults. */
const STRIDE = 60;
/** The places in the order in which a publisher reaches them. From `published` on its event exists. */
const PLACES = ['packed', 'locked', 'room', 'half', 'written', 'published', 'unlocked'];

const server = await startWorkers(['-w', WORKERS]);
await server.untilBegun(WORKERS);
const clients = [];
let kills = 0;
after(async () => {
    clients.forEach((client) => client.close());
    await server.stop(kills);
});

/** Publishes at a steady rate until it is told to stop. */
class Publisher {
    accepted = new Map();
    refused = new Set();
    unknown = new Set();
    #pending = new Set();
    #count = 0;
    #timer = setInterval(() => this.publish(), PAUSE_MS);

    publish(topic = TOPICS[this.#count % TOPICS.length]) {
        const data = `${topic} ${this.#count++}`;
        const answer = publish(server.url, topic, data).then(({ status, id }) => {
            if (status === 202) {
                assert.ok(!this.accepted.has(id), `${id} was given twice`);
                this.accepted.set(id, data);
            } else if (status === 503) {
                this.refused.add(data);
            } else {
                assert.equal(status, undefined);
                this.unknown.add(data);
            }
        }).finally(() => this.#pending.delete(answer));
        this.#pending.add(answer);
        return answer;
    }

    async untilAccepted(more) {
        const wanted = this.accepted.size + more;
        await until(() => this.accepted.size >= wanted, `${more} more accepted events`);
    }

    /** Publishes until the last event of each topic is accepted. */
    async stop() {
        clearInterval(this.#timer);
        await Promise.all(this.#pending);
        for (const topic of TOPICS) {
            const before = this.accepted.size;
            await until(async () => {
                await this.publish(topic);
                return this.accepted.size > before;
            }, 'the last event');
        }
    }
}

/** All events that were published to a topic, in order: the union of what its clients received. */
function publishedTo(topic) {
    const events = new Map();
    const seen = clients.filter((client) => client.topic === topic).flatMap(({ messages }) => messages);
    for (const { id, data } of seen) {
        assert.equal(events.get(id) ?? data, data, `two events have the id ${id}`);
        events.set(id, data);
    }
    return [...events].map(([id, data]) => ({ id, data })).sort((a, b) => numberOf(a.id) - numberOf(b.id));
}

test(`${CLIENTS} clients, ${WORKERS} workers`, { timeout: 180000 }, async (t) => {
    for (let index = 0; index < CLIENTS; ++index) {
        clients.push(new Client(server.url, TOPICS[index % TOPICS.length]));
    }
    await until(() => clients.every((client) => client.count('ready') > 0), 'all clients');
    const publisher = new Publisher();
    const leaving = setInterval(() => {
        const odd = Math.floor(Math.random() * CLIENTS / 2) * 2 + 1;
        clients[odd % CLIENTS].leave();
    }, LEAVING_MS / CLIENTS * 2);
    await publisher.untilAccepted(STRIDE);

    for (let place = 0; place < WORKERS; ++place) {
        await server.kill(server.running[0]);
        kills += 1;
        await publisher.untilAccepted(STRIDE);
    }
    await server.reload();
    await publisher.untilAccepted(STRIDE);
    for (const place of KILLS_INSIDE ? PLACES : []) {
        await server.killAt(place);
        kills += 1;
        await publisher.untilAccepted(STRIDE);
    }
    await server.reload();
    await publisher.untilAccepted(STRIDE);
    clearInterval(leaving);
    await publisher.stop();

    const truth = new Map(TOPICS.map((topic) => [topic, []]));
    const isLate = ({ topic, events, lastId }) => {
        const last = [...publisher.accepted].findLast(([, data]) => data.startsWith(`${topic} `))[0];
        return numberOf(lastId) < numberOf(last) || !events.some(({ id }) => id === last);
    };
    await until(() => !clients.some(isLate), 'all events', () => `${clients.filter(isLate).length} clients`);
    TOPICS.forEach((topic) => truth.set(topic, publishedTo(topic)));

    const all = [...truth.values()].flat();
    const dataOf = new Map(all.map(({ id, data }) => [id, data]));
    assert.equal(new Set(all.map(({ data }) => data)).size, all.length, 'an event was published twice');
    for (const [id, data] of publisher.accepted) {
        assert.equal(dataOf.get(id), data, `${id} was accepted`);
    }
    all.forEach(({ data }) => assert.ok(!publisher.refused.has(data), `${data} was refused`));
    for (const client of clients) {
        const start = numberOf(client.events.find(({ type }) => type === 'ready').id);
        const wanted = truth.get(client.topic).filter(({ id }) => numberOf(id) > start);
        assert.deepEqual(client.messages.map(({ id, data }) => ({ id, data })), wanted);
        assert.deepEqual([client.count('gap'), client.count('ready'), client.refusals], [0, 1, 0]);
    }
    const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
    const reconnects = sum(clients.map(({ opens }) => opens - 1));
    const arrived = all.filter(({ data }) => publisher.unknown.has(data)).length;
    assert.ok(reconnects > CLIENTS);
    t.diagnostic(`figures: clients ${CLIENTS}, workers killed ${kills}, reloads 2, `
        + `events accepted ${publisher.accepted.size}, refused ${publisher.refused.size}, `
        + `without an answer ${publisher.unknown.size} of which ${arrived} were published, `
        + `reconnects ${reconnects}, deliveries ${sum(clients.map(({ messages }) => messages.length))}, `
        + 'lost 0, doubled 0, gaps 0');
});
