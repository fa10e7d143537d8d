// SPDX-License-Identifier: MIT
// nginx with several workers that share a ring: any of them may have a client, receive an event, or die.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { until } from '../clients/hub.mjs';
import { buildsOf, childrenOf, missing, startHost } from './host.mjs';
import { hosts } from './list.mjs';
import { assertReached, assertSame, openClients, publishUntil, untilMore } from './several.mjs';
import { Stream } from './stream.mjs';

const WORKERS = 4;
const CLIENTS = 40;
const ROUNDS = 2;

const plain = hosts.find(({ server }) => server === 'nginx');

async function start(t) {
    const entry = { ...plain, workers: WORKERS };
    const host = await startHost(entry, buildsOf(entry)[0], { more: 'sse_shared on;' });
    t.after(() => host.remove());
    await until(() => childrenOf(host.child.pid).length === WORKERS, 'the workers');
    return host;
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
