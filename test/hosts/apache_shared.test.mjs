// SPDX-License-Identifier: MIT
// Apache with several processes, which share a ring: whichever has a client or takes an event, and whichever dies.
import assert from 'node:assert/strict';
import { readdirSync, readlinkSync } from 'node:fs';
import { describe, test } from 'node:test';
import { until } from '../clients/hub.mjs';
import { buildsOf, childrenOf, missing, startHost } from './host.mjs';
import { hosts } from './list.mjs';
import { assertReached, assertSame, openClients, publishUntil, untilMore } from './several.mjs';
import { Stream } from './stream.mjs';

// TSan has reason to complain of Apache, which ends a process of mpm_prefork inside the handler of a signal, and so
// does worker while it starts one. So there is no stop or restart under TSan that is not graceful.
const HOUR_MS = 3600000;
const LARGE = 'x'.repeat(65536);

// One process has room for all clients: none is refused.
const threaded = `SseShared on
StartServers 4
ServerLimit 12
ThreadsPerChild 40
MaxRequestWorkers 160
MinSpareThreads 160
MaxSpareThreads 480
SseStreams 30`;

const kinds = [
    {
        mpm: 'prefork',
        processes: 12,
        clients: 8,
        more: 'StartServers 12\nMinSpareServers 4\nMaxSpareServers 32\nServerLimit 40\nMaxRequestWorkers 40',
    },
    { mpm: 'event', processes: 4, clients: 24, more: threaded },
    { mpm: 'worker', processes: 4, clients: 24, more: threaded },
];

const apache = hosts.find(({ mpm }) => mpm);

async function start(t, { mpm, processes, more }, build, options = {}) {
    const texts = [more, 'ErrorLogFormat "%P sse %M"', options.more].filter((text) => text);
    const host = await startHost({ ...apache, mpm }, build, { ...options, more: texts.join('\n') });
    t.after(() => host.remove());
    await until(() => childrenOf(host.child.pid).length >= processes, 'the processes');
    return host;
}

async function openAll(host, count, topic = 'all') {
    const streams = [];
    while (streams.length < count) {
        streams.push(await Stream.open(host, topic));
    }
    return streams;
}

function socketsOf(pid) {
    return readdirSync(`/proc/${pid}/fd`).filter((number) => {
        try {
            return readlinkSync(`/proc/${pid}/fd/${number}`).startsWith('socket:');
        } catch {
            return false; // It has been closed meanwhile.
        }
    }).length;
}

/** Streams in several processes. A process that has all its streams refuses more. */
async function openInSeveral(host, count) {
    const before = new Map(childrenOf(host.child.pid).map((pid) => [pid, socketsOf(pid)]));
    const streams = [];
    const holders = () => [...before].filter(([pid, sockets]) => socketsOf(pid) > sockets);
    await until(async () => {
        const more = await Promise.all(Array.from({ length: count }, () => Stream.open(host, 'all')));
        await until(() => more.every(({ heartbeats, ended }) => heartbeats > 0 || ended), 'their first bytes');
        streams.push(...more.filter(({ ended }) => ended === null));
        return holders().length > 1;
    }, 'streams in several processes');
    return streams;
}

function countStarts(host) {
    return host.stderr.split('resuming normal operations').length;
}

/** While it restarts, Apache ignores signals. Every client has to come back. */
async function restart(host, signal, clients) {
    const old = childrenOf(host.child.pid);
    const opens = clients.map((client) => client.opens);
    const before = countStarts(host);
    host.child.kill(signal);
    await until(() => countStarts(host) > before
        && !childrenOf(host.child.pid).some((pid) => old.includes(pid)), 'other processes');
    await until(() => clients.every((client, index) => client.opens > opens[index]), 'every client');
}

/** Each in its turn, while events are published and clients come back. */
async function killAll(host, clients) {
    const opens = clients.map((client) => client.opens);
    for (const pid of childrenOf(host.child.pid)) {
        // Apache may have ended it meanwhile, and its number may be that of another process.
        if (childrenOf(host.child.pid).includes(pid)) {
            process.kill(pid, 'SIGKILL');
        }
        await untilMore(clients);
    }
    await until(() => clients.every((client, index) => client.opens > opens[index]), 'every client');
}

function defineShared(kind, build) {
    test('an event reaches the streams of all processes', async (t) => {
        const host = await start(t, kind, build);
        const streams = await openInSeveral(host, kind.clients);
        await assertReached(host, 'all', streams, /^(\d+) sse ended: /gm);
        assert.doesNotMatch(host.stderr, /exit signal/);
    });

    test('nothing is lost or doubled over restarts and dead processes', async (t) => {
        const host = await start(t, kind, build);
        const clients = openClients(t, host, 'ring', kind.clients);
        await until(() => clients.every(({ opens }) => opens > 0), 'the clients');
        let isOver = false;
        const publishing = publishUntil(host, 'ring', () => isOver);
        const acts = [() => restart(host, 'SIGUSR1', clients), () => killAll(host, clients)];
        if (build !== 'tsan') {
            acts.push(() => restart(host, 'SIGHUP', clients));
        }
        for (const act of acts) {
            await untilMore(clients);
            await act();
        }
        await untilMore(clients);
        isOver = true;
        await assertSame(clients, await publishing);
        assert.equal(host.sanitizerReports(), '');
    });

    test('an id that the ring has never given is told as a gap', async (t) => {
        const host = await start(t, kind, build);
        const stream = await Stream.open(host, 'a', { lastEventId: '1-1' });
        const [gap] = await stream.untilEvents(1);
        assert.equal(gap.type, 'gap');
    });
}

function definePrefork(kind, build) {
    test('SseStreams counts the streams of all processes, without those of dead ones', async (t) => {
        const host = await start(t, kind, build, { streamsMax: 3, heartbeatMs: HOUR_MS });
        const streams = await openAll(host, 3);
        const refused = await Stream.open(host, 'all');
        await refused.untilEnd();
        assert.deepEqual([refused.status, refused.parser.retries.length, refused.events.length], [200, 1, 0]);
        await host.publish('all', 'x');
        await Promise.all(streams.map((stream) => stream.untilEvents(1)));
        streams[0].close();
        await host.untilEndings(1);
        streams.push(...await openAll(host, 1));
        await host.publish('all', 'y');
        await streams.at(-1).untilEvents(1);
        const old = childrenOf(host.child.pid);
        old.forEach((pid) => process.kill(pid, 'SIGKILL'));
        // A process may accept a connection while it dies.
        await until(() => !childrenOf(host.child.pid).some((pid) => old.includes(pid)), 'their end');
        await Promise.all(streams.map((stream) => stream.untilEnd()));
        const again = await openAll(host, 3);
        await host.publish('all', 'z');
        await Promise.all(again.map((stream) => stream.untilEvents(1)));
    });

    const stops = [['SIGWINCH', 'a graceful stop'], ['SIGTERM', 'a stop that is not graceful']];
    for (const [signal, what] of build === 'tsan' ? stops.slice(0, 1) : stops) {
        test(`${what}, with a client that reads nothing`, async (t) => {
            const host = await start(t, kind, build, { more: 'SendBufferSize 65536' });
            const [reader, stalled] = await openAll(host, 2);
            stalled.stopReading();
            // More than the sockets take, less than its queue: the process is inside a write.
            for (let count = 1; count <= 12; count += 1) {
                await host.publish('all', LARGE);
                await reader.untilEvents(count);
            }
            host.child.kill(signal);
            await reader.untilEnd();
            await host.untilExit();
            assert.equal(host.endings.length, 2);
            assert.doesNotMatch(host.stderr, /exit signal/);
            stalled.close();
        });
    }

    for (const [text, complaint] of [
        ['SseShared off', /mod_sse under mpm_prefork needs "SseShared on": each stream has a process of its own/],
        ['SseStreams 40', /SseStreams 40 leaves no process of MaxRequestWorkers 40 to other requests/],
    ]) {
        test(`Apache does not start: ${text}`, async (t) => {
            const more = `${kind.more}\n${text}`;
            const host = await startHost({ ...apache, mpm: kind.mpm }, build, { more })
                .catch(({ message }) => ({ stderr: message }));
            t.after(() => host.remove?.());
            assert.match(host.stderr, complaint);
        });
    }
}

describe('processes of Apache', { concurrency: 1, skip: missing(apache) }, () => {
    for (const kind of kinds) {
        for (const build of buildsOf(apache)) {
            describe(`${kind.mpm}, ${build}`, { concurrency: 1 }, () => {
                defineShared(kind, build);
                if (kind.mpm === 'prefork') {
                    definePrefork(kind, build);
                }
            });
        }
    }
});
