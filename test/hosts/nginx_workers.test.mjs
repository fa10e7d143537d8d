// SPDX-License-Identifier: MIT
// nginx with several workers that share a ring: any of them may have a client, receive an event, or die.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { describe, test } from 'node:test';
import { freePort } from '../clients/front.mjs';
import { until } from '../clients/hub.mjs';
import { buildsOf, childrenOf, missing, startHost } from './host.mjs';
import { hosts } from './list.mjs';
import { assertReached, assertSame, openClients, publishUntil, untilMore } from './several.mjs';
import { Stream } from './stream.mjs';

const WORKERS = 4;
const CLIENTS = 40;
const ROUNDS = 2;

/** With RELOADS, more workers than the ring has places. */
const MANY = 12;
const RELOADS = 5;
const REQUESTS = 60;

const plain = hosts.find(({ server }) => server === 'nginx');

async function start(t, { workers = WORKERS, more = '' } = {}) {
    const entry = { ...plain, workers };
    const host = await startHost(entry, buildsOf(entry)[0], { more: `sse_shared on; ${more}` });
    t.after(() => host.remove());
    await until(() => childrenOf(host.child.pid).length === workers, 'the workers');
    return host;
}

/** A server that accepts connections and never answers. */
async function startSilent(t) {
    const accepted = [];
    const server = net.createServer((socket) => accepted.push(socket.on('error', () => {})));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    t.after(() => {
        accepted.forEach((socket) => socket.destroy());
        server.close();
    });
    return { port: server.address().port, accepted };
}

/** Requests for the silent server. They keep the workers that have them. */
async function holdWorkers(t, port, { accepted }) {
    const before = accepted.length;
    const sockets = Array.from({ length: REQUESTS }, () => net.connect(port, '127.0.0.1').on('error', () => {}));
    t.after(() => sockets.forEach((socket) => socket.destroy()));
    sockets.forEach((socket) => socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'));
    await until(() => accepted.length >= before + REQUESTS, 'the requests');
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

describe('workers of nginx', { concurrency: 1, skip: missing(plain) }, () => {
    test('an event reaches the streams of all workers', async (t) => {
        const host = await start(t);
        const streams = [];
        while (streams.length < CLIENTS) {
            streams.push(await Stream.open(host, 'all'));
        }
        await assertReached(host, 'all', streams, / (\d+)#\d+: sse ended: /g);
        assert.doesNotMatch(host.stderr, /\[(warn|crit|alert|emerg)\]/);
    });

    // A download may keep an old worker for hours. nginx never starts a worker again that could not begin.
    test('old workers that have no streams any more leave their places in the ring', async (t) => {
        const port = await freePort();
        const silent = await startSilent(t);
        const location = `location / { proxy_pass http://127.0.0.1:${silent.port}; }`;
        const more = `server { listen 127.0.0.1:${port} reuseport; ${location} }`;
        const host = await start(t, { workers: MANY, more });
        for (let count = 0; count < RELOADS; count += 1) {
            await holdWorkers(t, port, silent);
            const old = childrenOf(host.child.pid);
            host.child.kill('SIGHUP');
            await until(() => childrenOf(host.child.pid).filter((pid) => !old.includes(pid)).length === MANY,
                'new workers', () => host.stderr.slice(-500));
            // Until then an old worker accepts connections, whose streams it would end at once.
            const isLeaving = (pid) => host.stderr.includes(` ${pid}#${pid}: gracefully shutting down\n`);
            await until(() => old.every(isLeaving), 'the old workers to accept no more',
                () => host.stderr.slice(-500));
        }
        const streams = await Promise.all(Array.from({ length: 2 * MANY }, () => Stream.open(host, 'all')));
        t.after(() => streams.forEach((stream) => stream.close()));
        await host.publish('all', 'x');
        await Promise.all(streams.map((stream) => stream.untilEvents(1)));
        assert.doesNotMatch(host.stderr, /fatal code/);
    });

    test('with reloads and dead workers, no event is lost or sent twice', async (t) => {
        const host = await start(t);
        const clients = openClients(t, host, 'ring', CLIENTS);
        await until(() => clients.every(({ opens }) => opens > 0), 'the clients');
        let isOver = false;
        const publishing = publishUntil(host, 'ring', () => isOver);
        for (let round = 0; round < ROUNDS; round += 1) {
            await untilMore(clients);
            await reload(host, clients);
            await untilMore(clients);
            await killOne(host, round);
        }
        await untilMore(clients);
        isOver = true;
        await assertSame(clients, await publishing);
        assert.ok(clients.every(({ opens }) => opens > ROUNDS));
        assert.doesNotMatch(host.sanitizerReports(), /Sanitizer/);
    });
});
