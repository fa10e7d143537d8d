// SPDX-License-Identifier: MIT
// The same tests for every server: clients use up its time, descriptors, threads and memory, and it continues to
// serve.
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { describe, test } from 'node:test';
import { until } from '../clients/hub.mjs';
import { buildsOf, missing, startHost } from './host.mjs';
import { hosts } from './list.mjs';
import { ask, Raw } from './raw.mjs';
import { Stream } from './stream.mjs';

const HOSTS_AT_A_TIME = 2;
const DESCRIPTORS = 100;
const STREAMS_MAX = 36;
/** More connections than descriptors. */
const CLIENTS = 150;
const BODIES = 40;
const SAMPLES = 100;
const STALL_MS = 30000;
const BODY_SIZE = 900000;
const HEADS = 200;
const PARAMETERS = 3000;
const HEAD_SIZE = 30000;
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0';

const repeat = (count, make) => Promise.all(Array.from({ length: count }, make));

function publish(host, body = 'x', topic = 'a') {
    return ask(host, { method: 'POST', target: `publish?topic=${topic}`, body });
}

/** Connections that send these bytes and no more, directly to the server, without TLS unless `encrypted` is set. */
async function say(host, text, count, { encrypted = false } = {}) {
    const raws = await repeat(count, () => Raw.connect(host, { encrypted, behindFront: false }));
    raws.forEach((raw) => raw.send(text));
    return raws;
}

/** Beginnings of requests to this server. */
function beginnings(host) {
    if (host.front || host.tls) {
        return [''];
    }
    return host.http2 ? ['', PREFACE.slice(0, 20), PREFACE] : ['', 'GET /events?topic=a HT',
        'GET /events?topic=a HTTP/1.1\r\nHost: localhost\r\nX: ',
        'POST /publish?topic=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf',
        'POST /publish?topic=a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf'];
}

/** Sends half of a request on a connection of HTTP/2. Returns true once the server has ended it. */
async function halfOverHttp2(host) {
    const session = http2.connect(host.origin, { ca: host.ca }).on('error', () => {});
    const stream = session.request({ ':method': 'POST', ':path': '/publish?topic=a' }, { endStream: false });
    let over = false;
    stream.on('error', () => {}).on('close', () => { over = true; });
    stream.resume().write('half');
    await until(() => over, 'the end of half a request');
    session.destroy();
}

/** Large bodies that are not completed. Returns whether one of them was refused, and how to close them. */
async function beginBodies(host) {
    const raws = await repeat(BODIES, () => Raw.connect(host));
    for (const raw of raws) {
        raw.send('POST /publish?topic=a HTTP/1.1\r\nHost: localhost\r\n'
            + `Content-Length: ${BODY_SIZE}\r\n\r\n${'x'.repeat(BODY_SIZE - 1)}`);
    }
    return {
        isRefused: () => raws.some(({ received }) => received.startsWith('HTTP/1.1 503')),
        close: () => raws.forEach((raw) => raw.close()),
    };
}

/* Each has its own connection, so that none waits for the window of another. */
function beginBodiesOverHttp2(host) {
    let isRefused = false;
    const sessions = Array.from({ length: BODIES }, () => {
        const session = http2.connect(host.origin, { ca: host.ca }).on('error', () => {});
        const stream = session.request({ ':method': 'POST', ':path': '/publish?topic=a' }, { endStream: false });
        stream.on('error', () => {}).write('x'.repeat(BODY_SIZE - 1));
        stream.on('response', (response) => { isRefused ||= response[':status'] === 503; });
        return session;
    });
    return { isRefused: () => isRefused, close: () => sessions.forEach((session) => session.destroy()) };
}

/** Requests with large heads that wait for their bodies. Returns once the server has read all heads. */
async function beginHeads(host, t) {
    const session = http2.connect(host.origin).on('error', () => {});
    t.after(() => session.destroy());
    const post = (path, endStream) => session.request({ ':method': 'POST', ':path': path }, { endStream })
        .on('error', () => {});
    for (let count = 0; count < HEADS; count += 1) {
        post(`/publish?topic=a&more=${'x'.repeat(HEAD_SIZE)}`, false);
    }
    let isAnswered = false;
    post('/publish?topic=a', true).on('response', () => { isAnswered = true; });
    await until(() => isAnswered, 'an answer behind the heads');
}

/** In how many samples the busiest thread of a host did not wait. */
async function countBusy(host) {
    const counts = new Map();
    for (let sample = 0; sample < SAMPLES; sample += 1) {
        for (const [thread, isWaiting] of host.threads()) {
            counts.set(thread, (counts.get(thread) ?? 0) + !isWaiting);
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return Math.max(...counts.values());
}

function defineTests(entry, build) {
    async function start(t, options) {
        const host = await startHost(entry, build, options);
        t.after(() => host.remove());
        return host;
    }

    test('a client has a limited time for its request', async (t) => {
        const host = await start(t);
        const raws = (await Promise.all(beginnings(host).map((text) => say(host, text, 5)))).flat();
        if (host.tls) {
            raws.push(...await say(host, '', 1, { encrypted: true }),
                ...await say(host, 'GET /events', 1, { encrypted: true }));
        }
        const half = entry.http2 ? halfOverHttp2(host) : null;
        // The other clients are served during that time.
        const begun = performance.now();
        const stream = await Stream.open(host, 'a');
        assert.equal((await publish(host)).status, 202);
        await stream.untilEvents(1);
        assert.ok(performance.now() - begun < 10000, 'the others had to wait');
        for (const raw of raws) {
            await raw.untilClosed();
        }
        await half;
        assert.equal(stream.ended, null);
        stream.close();
    });

    // Otherwise the server, or its proxy, counts from the last byte.
    if (!entry.http2 && !entry.trickles) {
        test('a body that arrives byte by byte has the same time limit', async (t) => {
            const host = await start(t);
            const raw = await Raw.connect(host);
            raw.send('POST /publish?topic=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n');
            const timer = setInterval(() => raw.send('x'), 500);
            t.after(() => clearInterval(timer));
            await until(() => raw.closed || raw.received, 'the end of its time');
            assert.doesNotMatch(raw.received, /^HTTP\/1\.1 2/);
            raw.close();
        });
    }

    // The library sets these options only if it writes to the socket itself.
    if (!entry.hidesSocket) {
        test('the kernel sends each event at once, and gives up a client whose network has vanished', async (t) => {
            const host = await start(t);
            const stream = await Stream.open(host, 'a');
            const options = host.socketOptions();
            stream.close();
            if (options === null) {
                t.skip('the system does not let one process look at the sockets of another');
                return;
            }
            assert.ok(options.some(([isAtOnce, ms]) => isAtOnce && ms === STALL_MS), JSON.stringify(options));
        });
    }

    const spares = entry.spares ?? true;
    const few = spares ? { descriptors: DESCRIPTORS } : {};
    if (spares) {
        test('without free descriptors it sleeps, and continues when there are some', async (t) => {
            const host = await start(t, few);
            await publish(host);
            const idle = host.descriptors();
            const raws = await say(host, '', CLIENTS);
            const busy = await countBusy(host);
            t.diagnostic(`busy in ${busy} of ${SAMPLES} samples`);
            // A thread that never sleeps would never be seen waiting, however little processor time it gets.
            assert.ok(busy < SAMPLES * 0.8, `busy in ${busy} samples`);
            assert.ok(host.stderr.length < 20000, host.stderr.slice(0, 2000));
            if (!host.front && !host.tls && !host.http2) {
                raws[0].send('GET /events?topic=a HTTP/1.1\r\nHost: localhost\r\n\r\n');
                await raws[0].untilReceived(/\r\n\r\n/);
                // An EventSource reconnects after 200 and after a closed connection, and after no other status.
                assert.match(raws[0].received, /^(HTTP\/1\.1 200 |$)/);
            }
            assert.ok(host.stderr.split('cannot accept new connections').length <= 2, host.stderr.slice(0, 2000));
            raws.forEach((raw) => raw.close());
            await until(async () => (await publish(host)).status === 202, 'an answer');
            await until(() => host.descriptors() <= idle, `${idle} descriptors`, () => `of ${host.descriptors()}`);
        });
    }

    test('half requests of disconnected clients leave nothing behind', async (t) => {
        const host = await start(t, few);
        await publish(host);
        const idle = host.descriptors();
        for (const text of beginnings(host)) {
            (await say(host, text, CLIENTS)).forEach((raw) => raw.close());
        }
        await until(async () => (await publish(host)).status === 202, 'an answer');
        await until(() => host.descriptors() <= idle, `${idle} descriptors`, () => `of ${host.descriptors()}`);
    });

    test('streams leave room for other requests', async (t) => {
        // A server that loads a module gets its limit of streams by its configuration.
        const host = await start(t, { ...few, streamsMax: entry.server ? STREAMS_MAX : 0 });
        const streams = [];
        while (streams.length < CLIENTS) {
            const stream = await Stream.open(host, 'a');
            await until(() => stream.heartbeats > 0 || stream.ended, 'the first byte');
            streams.push(stream);
        }
        assert.ok(streams.every(({ status }) => status === 200), 'a status closes an EventSource for good');
        const open = streams.filter(({ ended }) => ended === null);
        assert.ok(open.length >= 30, `${open.length} streams`);
        assert.equal((await publish(host)).status, 202);
        await Promise.all(open.map((stream) => stream.untilEvents(1)));
        const refused = streams.filter((stream) => !open.includes(stream));
        assert.ok(refused.length > 0 && refused.every(({ parser }) => parser.retries.length === 1));
        const count = host.endings.length;
        streams.forEach((stream) => stream.close());
        await host.untilEndings(count + open.length);
        const again = await Stream.open(host, 'a');
        await publish(host, 'again');
        await again.untilEvents(1);
        again.close();
    });

    test('a query of many parameters leaves nothing behind', async (t) => {
        const host = await start(t);
        await ask(host, { method: 'GET', target: `events?${'&'.repeat(PARAMETERS)}` });
        assert.equal((await publish(host)).status, 202);
        host.terminate();
        await host.untilExit();
    });

    if (entry.forgetsHeads) {
        test('a request that waits for its body takes no memory for its head', async (t) => {
            // Otherwise ASan would keep what was freed.
            const host = await start(t, { asan: ':quarantine_size_mb=1' });
            assert.equal((await publish(host)).status, 202);
            const before = host.memory();
            await beginHeads(host, t);
            const more = host.memory() - before;
            assert.ok(more < HEADS * HEAD_SIZE / 2, `${more} bytes`);
        });
    }

    if (entry.countsBodies !== false) {
        test('all bodies together have a limit', async (t) => {
            const host = await start(t);
            const publishLarge = () => publish(host, 'x'.repeat(BODY_SIZE));
            assert.equal((await publishLarge()).status, 202);
            const bodies = entry.http2 ? beginBodiesOverHttp2(host) : await beginBodies(host);
            await until(async () => bodies.isRefused() || (await publishLarge()).status === 503, 'a refusal');
            bodies.close();
            await until(async () => (await publishLarge()).status === 202, 'room');
        });
    }
}

describe('limits', { concurrency: HOSTS_AT_A_TIME }, () => {
    for (const entry of hosts) {
        const reason = missing(entry);
        if (reason) {
            test(entry.name, { skip: reason }, () => {});
        } else {
            describe(entry.name, { concurrency: 1 }, () => defineTests(entry, buildsOf(entry)[0]));
        }
    }
});
