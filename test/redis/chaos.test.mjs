// SPDX-License-Identifier: MIT
// Two Redis servers (one is a replica), three nodes, and clients, with every kind of fault in random order. Every
// accepted event arrives at every client once, or the client is notified of a gap.
import assert from 'node:assert/strict';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { until } from '../clients/hub.mjs';
import { eventSources } from '../clients/sources.mjs';
import { eventsUrl, publish, startNode, startProxy, startRedis, STREAM } from './cluster.mjs';

const ROUNDS = Number(process.env.SSE_REDIS_ROUNDS ?? 12);
const SEED = Number(process.env.SSE_TEST_SEED ?? Date.now() % 1000000);
const CLIENTS = 12;
const TOPIC = 'chaos';
const PAUSE_MS = 10;
/** Accepted events between two faults. */
const STRIDE = 15;

let state = SEED;

function random(count) {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    return Math.floor(state / 65536) % count;
}

const servers = [await startRedis(), await startRedis()];
const proxy = await startProxy(servers[0].port);
/** Returns which of the two is the master. */
let master = 0;
await servers[1].cli('REPLICAOF', '127.0.0.1', servers[0].port);
const nodes = [];
for (let count = 0; count < 3; ++count) {
    nodes.push(await startNode({ port: proxy.port }, ['-n', 50, '-k', 200]));
}
await Promise.all(nodes.map((node) => node.untilReady()));
const clients = [];
after(async () => {
    clients.forEach((client) => client.close());
    await Promise.all(nodes.map((node) => node.stop()));
    proxy.stop();
    await Promise.all(servers.map((server) => server.stop()));
});

/** Records when each event arrived. The EventSource of undici gives up if a node refuses the connection. */
function openClient(index) {
    const { url } = nodes[index % nodes.length];
    const [npm] = eventSources;
    const stream = npm.open(eventsUrl(url, [TOPIC]), ['ready', 'gap', 'farewell']);
    stream.events.push = (event) => Array.prototype.push.call(stream.events, { ...event, at: performance.now() });
    return stream;
}

class Publisher {
    accepted = [];
    #pending = new Set();
    #count = 0;
    #timer = setInterval(() => this.publish(), PAUSE_MS);

    publish() {
        const event = { topic: TOPIC, data: `event ${this.#count++}`, at: performance.now() };
        const { url } = nodes[this.#count % nodes.length];
        // A killed node gives no answer.
        const answer = publish(url, event).then(({ status, id }) => {
            assert.ok([202, 503, 504].includes(status), `${status}`);
            if (status === 202) {
                this.accepted.push({ ...event, id });
            }
        }, () => {}).finally(() => this.#pending.delete(answer));
        this.#pending.add(answer);
    }

    async untilAccepted(more) {
        const wanted = this.accepted.length + more;
        await until(() => this.accepted.length >= wanted, `${more} more accepted events`,
            () => nodes.map(({ stderr }) => stderr.slice(-500)).join('\n'));
    }

    async stop() {
        clearInterval(this.#timer);
        await Promise.all(this.#pending);
    }
}

const blows = {
    async redisIsKilled() {
        await servers[master].end('SIGKILL');
        await servers[master].start();
    },
    async theReplicaTakesOver() {
        const next = 1 - master;
        await servers[next].cli('REPLICAOF', 'NO', 'ONE');
        proxy.turnTo(servers[next].port);
        await servers[master].cli('REPLICAOF', '127.0.0.1', servers[next].port);
        master = next;
    },
    async aReplicaThatIsBehindTakesOver(publisher) {
        await servers[1 - master].cli('REPLICAOF', 'NO', 'ONE');
        // The clock of the master is ahead.
        await servers[master].add(`${Date.now() + 3600000}-0`, TOPIC, 'future').catch(() => {});
        await publisher.untilAccepted(STRIDE);
        await blows.theReplicaTakesOver();
    },
    async anOlderFileIsLoaded(publisher) {
        const file = join(servers[master].directory, 'appendonlydir');
        await servers[master].end('SIGKILL');
        cpSync(file, `${file}.older`, { recursive: true });
        await servers[master].start();
        await publisher.untilAccepted(STRIDE);
        await servers[master].end('SIGKILL');
        rmSync(file, { recursive: true });
        cpSync(`${file}.older`, file, { recursive: true });
        rmSync(`${file}.older`, { recursive: true });
        await servers[master].start();
    },
    theKeyIsDeleted: () => servers[master].cli('DEL', STREAM),
    allIsDeleted: () => servers[master].cli('FLUSHALL'),
    async redisHangs(publisher) {
        servers[master].child.kill('SIGSTOP');
        await new Promise((resolve) => { setTimeout(resolve, 100 * random(30)); });
        servers[master].child.kill('SIGCONT');
        await publisher.untilAccepted(1);
    },
    async connectionsBreak() {
        proxy.turnTo(servers[master].port);
    },
    async entriesAreLate(publisher) {
        proxy.hold('entries');
        await publisher.untilAccepted(STRIDE);
        proxy.hold(null);
    },
    async aNodeIsSlow(publisher) {
        const { child } = nodes[random(nodes.length)];
        child.kill('SIGSTOP');
        await publisher.untilAccepted(STRIDE);
        await servers[master].cli('XTRIM', STREAM, 'MAXLEN', 5);
        child.kill('SIGCONT');
    },
    async aNodeIsKilled() {
        const node = nodes[random(nodes.length)];
        await node.kill();
        await node.start();
        await node.untilReady();
    },
};

function check(client, accepted) {
    const messages = client.events.filter(({ type }) => type === 'message');
    const ids = new Set(messages.map(({ id }) => id));
    assert.equal(ids.size, messages.length, 'an event arrived twice');
    const lastGap = client.events.findLast(({ type }) => type === 'gap')?.at ?? 0;
    const lost = accepted.filter(({ id, at }) => !ids.has(id) && at > lastGap);
    assert.deepEqual(lost, [], 'an event is missing, and there was no gap event');
    return { received: messages.length, missed: accepted.filter(({ id }) => !ids.has(id)).length };
}

test(`${ROUNDS} blows, seed ${SEED}`, { timeout: 300000 }, async (t) => {
    for (let index = 0; index < CLIENTS; ++index) {
        clients.push(openClient(index));
    }
    await until(() => clients.every(({ events }) => events.length > 0), 'all clients');
    const publisher = new Publisher();
    t.after(() => publisher.stop());
    const dealt = [];
    for (let round = 0; round < ROUNDS; ++round) {
        await publisher.untilAccepted(STRIDE);
        const name = Object.keys(blows)[random(Object.keys(blows).length)];
        dealt.push(name);
        await blows[name](publisher);
    }
    await publisher.untilAccepted(STRIDE);
    await publisher.stop();
    // They are published when every node has noticed the faults.
    let last;
    const isLate = ({ events }) => !events.some(({ id }) => id === last.id);
    await until(async () => {
        last = await publish(nodes[0].url, { topic: TOPIC, data: 'the last' });
        const end = performance.now() + 3000;
        const isSeen = () => !clients.some(isLate);
        return last.status === 202 && until(() => isSeen() || performance.now() > end, 'the last').then(isSeen);
    }, 'the last event', () => JSON.stringify([dealt, last, clients.filter(isLate).map((client) => [
        clients.indexOf(client), client.state(), client.errors.slice(-3), client.events.slice(-3)]),
    nodes.map(({ stderr }) => stderr.slice(-600))]));
    const results = clients.map((client) => {
        try {
            return check(client, publisher.accepted);
        } catch (error) {
            error.message += ` (${dealt.join(', ')})`;
            throw error;
        }
    });
    const stats = await Promise.all(nodes.map((node) => node.stats()));
    const sum = (name) => results.reduce((total, result) => total + result[name], 0);
    t.diagnostic(`figures: seed ${SEED}, ${dealt.join(', ')}: accepted ${publisher.accepted.length}, `
        + `received ${sum('received')}, missed and told ${sum('missed')}, `
        + `begun anew ${stats.map(({ renewed }) => renewed)}`);
});
