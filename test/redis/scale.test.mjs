// SPDX-License-Identifier: MIT
// Three nodes behind nginx, and clients that reconnect to any of them, while nodes and Redis are killed. Every
// client receives every accepted event of its topics exactly once and in order.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { until } from '../clients/hub.mjs';
import { startNginx } from '../clients/front.mjs';
import { eventSources } from '../clients/sources.mjs';
import { eventsUrl, publish, startNode, startRedis } from './cluster.mjs';

const CLIENTS = Number(process.env.SSE_REDIS_CLIENTS ?? 300);
const TOPICS = ['a', 'b', 'c', 'd', 'e', 'f'];
const PAUSE_MS = 20;
/** Accepted events between two faults. */
const STRIDE = 100;

const redis = await startRedis();
const nodes = [];
for (let count = 0; count < 3; ++count) {
    nodes.push(await startNode(redis));
}
const servers = nodes.map(({ port }) => `server 127.0.0.1:${port} max_fails=0;`).join(' ');
// nginx tries the next node if one does not answer.
const pass = 'proxy_pass http://nodes; proxy_set_header Host $host:$server_port;';
const nginx = await startNginx(pass, { http: `upstream nodes { ${servers} }` });
const clients = [];
after(async () => {
    clients.forEach(({ stream }) => stream.close());
    await nginx.stop();
    await Promise.all(nodes.map((node) => node.stop()));
    await redis.stop();
});

/** Publishes at a steady rate until it is told to stop. */
class Publisher {
    accepted = new Map();
    refused = 0;
    unknown = 0;
    cutOff = 0;
    #pending = new Set();
    #count = 0;
    #timer = setInterval(() => this.publish(), PAUSE_MS);

    publish(topic = TOPICS[this.#count % TOPICS.length]) {
        const event = { topic, data: `event ${this.#count++}` };
        const answer = publish(nginx.url, event).then(({ status, id }) => {
            if (status === 202) {
                this.accepted.set(id, event);
            } else if (status === 503) {
                this.refused += 1;
            } else if (status === 504) {
                this.unknown += 1;
            } else {
                assert.equal(status, 502);
                this.cutOff += 1;
            }
        }).finally(() => this.#pending.delete(answer));
        this.#pending.add(answer);
        return answer;
    }

    /** Waits until this many more events have been accepted. */
    async untilAccepted(more) {
        const wanted = this.accepted.size + more;
        await until(() => this.accepted.size >= wanted, `${more} more accepted events`);
    }

    async stop() {
        clearInterval(this.#timer);
        await Promise.all(this.#pending);
    }
}

/** The counts of the nodes before they were killed, or at the end. */
class Counts {
    filled = 0;
    gaps = 0;

    async add(node) {
        const { filled, gaps } = await node.stats();
        this.filled += filled;
        this.gaps += gaps;
    }
}

function openClient(index) {
    const topics = [TOPICS[index % TOPICS.length], TOPICS[(index * 5 + 1) % TOPICS.length]];
    const source = eventSources[index % eventSources.length];
    return { topics, stream: source.open(eventsUrl(nginx.url, topics), ['ready', 'gap', 'farewell']) };
}

/** The events that a client received after its first id. */
function eventsOf({ stream }) {
    return stream.events.filter(({ type }) => type === 'message');
}

/** How many events a client has received. */
function newestOf({ stream }) {
    return stream.events.filter(({ type }) => type !== 'farewell').at(-1)?.id;
}

test(`${CLIENTS} clients, three nodes, one Redis`, { timeout: 120000 }, async (t) => {
    const counts = new Counts();
    for (let index = 0; index < CLIENTS; ++index) {
        clients.push(openClient(index));
    }
    await until(() => clients.every(({ stream }) => stream.events.length > 0), 'all clients');
    const publisher = new Publisher();
    t.after(() => publisher.stop());

    async function restart(node, end) {
        await counts.add(node);
        await node[end]();
        // Not long enough for all its clients to reconnect elsewhere: some reconnect to it.
        await node.start();
        await publisher.untilAccepted(STRIDE);
    }

    async function restartRedis(signal) {
        const before = publisher.refused;
        await redis.end(signal);
        await until(() => publisher.refused >= before + 10, 'publishers to be refused');
        await redis.start();
        await publisher.untilAccepted(STRIDE);
    }

    await publisher.untilAccepted(STRIDE);
    await restart(nodes[0], 'kill');
    await restart(nodes[1], 'stop');
    await restartRedis('SIGTERM');
    await restart(nodes[0], 'kill');
    await restartRedis('SIGKILL');
    await publisher.stop();
    for (const topic of TOPICS) {
        const last = { topic, data: 'the last' };
        await until(async () => (await publish(nginx.url, last)).status === 202, 'the last event');
    }

    const stored = await redis.events();
    const topicsOf = new Map(stored.map(({ id, topic }) => [id, topic]));
    for (const [id, { topic, data }] of publisher.accepted) {
        const found = stored.find((event) => event.id === id);
        assert.deepEqual({ topic: found?.topic, data: found?.data }, { topic, data }, `${id} was accepted`);
    }
    assert.equal(new Set(stored.map(({ id }) => id)).size, stored.length);
    const lastOf = (topics) => stored.findLast(({ topic }) => topics.includes(topic)).id;
    const late = () => clients.filter((client) => newestOf(client) !== lastOf(client.topics));
    await until(() => late().length === 0, 'all events', () => {
        const some = late().slice(0, 5).map(({ stream }) => `${stream.state()} ${stream.errors}`);
        return `${late().length} clients: ${some}`;
    });

    let [duplicates, lost, strays, reconnects] = [0, 0, 0, 0];
    for (const client of clients) {
        const wanted = stored.filter(({ topic }) => client.topics.includes(topic));
        const seen = eventsOf(client);
        const ids = new Set(seen.map(({ id }) => id));
        duplicates += seen.length - ids.size;
        lost += wanted.filter(({ id }) => !ids.has(id)).length;
        strays += seen.filter(({ id }) => !client.topics.includes(topicsOf.get(id))).length;
        reconnects += client.stream.opens - 1;
        const listOf = (events) => events.map(({ id, data }) => `${id} ${data}`);
        assert.deepEqual(listOf(seen), listOf(wanted));
        assert.equal(client.stream.events.filter(({ type }) => type === 'gap').length, 0);
    }
    await Promise.all(nodes.map((node) => counts.add(node)));
    assert.deepEqual([duplicates, lost, strays, counts.gaps], [0, 0, 0, 0]);
    assert.ok(reconnects > 0 && counts.filled > 0 && publisher.refused > 0);
    const deliveries = clients.reduce((sum, client) => sum + eventsOf(client).length, 0);
    t.diagnostic(`figures: events accepted ${publisher.accepted.size + TOPICS.length}, `
        + `refused with 503 ${publisher.refused}, unknown with 504 ${publisher.unknown}, `
        + `cut off ${publisher.cutOff}, stored ${stored.length}, `
        + `clients ${clients.length}, deliveries ${deliveries}, reconnects ${reconnects}, `
        + `gaps filled ${counts.filled}, duplicates ${duplicates}, lost ${lost}`);
});
