// SPDX-License-Identifier: MIT
// What idle clients cost publishers: nearly nothing. And the hub with poll(2), where they do cost something.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { test } from 'node:test';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startHub, until } from './hub.mjs';
import { closePeers, Peer } from './peer.mjs';

const IDLE = 10000;
const AT_ONCE = 100;
const ROUNDS = 5;
const PUBLISHES = 100;

/** How many descriptors this process may open. node itself asks for all that the system grants. */
function descriptorsGranted() {
    const [, soft] = readFileSync('/proc/self/limits', 'utf8').match(/^Max open files +(\d+)/m);
    return Number(soft);
}

/** Opens sockets that have sent `bytes` and, if `awaited` is given, have received it. */
async function openMany(t, port, count, bytes, awaited) {
    const sockets = [];
    t.after(() => sockets.forEach((socket) => socket.destroy()));
    const openOne = async () => {
        const socket = net.connect({ host: '127.0.0.1', port });
        sockets.push(socket);
        await once(socket, 'connect');
        socket.write(bytes);
        if (awaited !== undefined) {
            const [head] = await once(socket, 'data');
            assert.ok(head.toString('latin1').startsWith(awaited));
        }
    };
    while (sockets.length < count) {
        const some = Math.min(AT_ONCE, count - sockets.length);
        await Promise.all(Array.from({ length: some }, openOne));
    }
}

/** The hub's processor time for one event, in nanoseconds: the best of several rounds. */
async function costOfPublishing(hub) {
    const consumed = () => Number(readFileSync(`/proc/${hub.pid}/schedstat`, 'utf8').split(' ')[0]);
    const rounds = [];
    for (let round = 0; round < ROUNDS; ++round) {
        const before = consumed();
        for (let number = 0; number < PUBLISHES; ++number) {
            await hub.publish({ topic: 'nobody listens', data: 'x' });
        }
        rounds.push((consumed() - before) / PUBLISHES);
    }
    return Math.min(...rounds);
}

async function hubFor(t, ...options) {
    const hub = await startHub(['--heartbeat', '0', ...options]);
    t.after(() => {
        closePeers();
        return hub.stop();
    });
    return hub;
}

test('10,000 idle streams leave at least half of the rate of publishing', async (t) => {
    const hub = await hubFor(t);
    const count = Math.min(IDLE, descriptorsGranted() - 500);
    const empty = await costOfPublishing(hub);
    const asked = 'GET /events?topic=idle HTTP/1.1\r\nHost: localhost\r\n\r\n';
    await openMany(t, hub.port, count, asked, 'HTTP/1.1 200');
    assert.equal((await hub.stats()).emitters, count);
    const full = await costOfPublishing(hub);
    t.diagnostic(`${Math.round(empty)} ns without streams, ${Math.round(full)} ns with ${count}`);
    assert.ok(full <= 2 * empty, `${full} ns with ${count} streams, ${empty} ns without`);
    assert.equal((await hub.stats()).emitters, count);
});

test('stuck requests leave at least half of the rate of publishing', async (t) => {
    const hub = await hubFor(t);
    const count = Math.min(3000, descriptorsGranted() - 500);
    const empty = await costOfPublishing(hub);
    await openMany(t, hub.port, count, 'GET /events HTTP/1.1\r\n');
    await until(async () => (await hub.stats()).connections > count, 'all of them');
    const full = await costOfPublishing(hub);
    assert.ok((await hub.stats()).connections > count, 'some were given up meanwhile');
    t.diagnostic(`${Math.round(empty)} ns without requests, ${Math.round(full)} ns with ${count}`);
    assert.ok(full <= 2 * empty, `${full} ns with ${count} requests, ${empty} ns without`);
});

test('with poll(2) everything works as well', async (t) => {
    const hub = await hubFor(t, '--poller', 'poll', '--lifetime', '0');
    const peers = await Promise.all(Array.from({ length: 100 }, () => Peer.openStream(hub.port, 'a')));
    assert.equal((await hub.publish({ topic: 'a', data: 'x'.repeat(1000000) })).receivers, 100);
    await Promise.all(peers.map((peer) => until(() => peer.size > 1000000, 'a large event')));
    peers.slice(0, 50).forEach((peer, index) => peer[index % 2 === 0 ? 'close' : 'reset']());
    await until(async () => (await hub.stats()).emitters === 50, 'those that left to be forgotten');
    assert.equal((await hub.complete('a')).completed, 50);
    await Promise.all(peers.slice(50).map((peer) => peer.untilEnd()));
    const last = await Peer.openStream(hub.port, 'a');
    hub.child.kill('SIGTERM');
    await last.untilReceived('event: farewell\n');
    await last.untilEnd();
    closePeers();
    await hub.untilExit();
    assert.deepEqual([hub.report.clients, hub.report.cut], [1, 0]);
});

for (const poller of ['epoll', 'poll']) {
    test(`standard input may be a file: ${poller}`, async (t) => {
        const directory = mkdtempSync(join(tmpdir(), 'sse-hub-'));
        const path = join(directory, 'lines');
        t.after(() => rmSync(directory, { recursive: true }));
        writeFileSync(path, 'x\n'.repeat(100000));
        const hub = await startHub(['--poller', poller, '--stdin'], { stdin: openSync(path) });
        t.after(() => hub.stop());
        await until(async () => (await hub.stats()).lines === 100000, 'all lines');
    });
}
