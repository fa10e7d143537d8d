// SPDX-License-Identifier: MIT
// Clients that are slow, broken or hostile: the hub survives them, frees their streams, and serves the others.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readlinkSync } from 'node:fs';
import { describe, test } from 'node:test';
import { freePort } from './front.mjs';
import { killedAtExit, request, startHub, until } from './hub.mjs';
import { Peer } from './peer.mjs';
import { curlSources, eventSources, openFor } from './sources.mjs';

async function hubFor(t, ...options) {
    const hub = await startHub(...options);
    t.after(() => hub.stop());
    await hub.stats();
    hub.descriptorsAtRest = hub.descriptors();
    return hub;
}

function untilForgotten(hub) {
    const seen = {};
    return until(async () => {
        const { emitters, connections, backlog_bytes: backlog } = await hub.stats();
        Object.assign(seen, { emitters, connections, backlog, descriptors: hub.descriptors() });
        // The connection of this request counts too, and may just be closing.
        const isClear = emitters === 0 && connections === 1 && backlog === 0;
        return isClear && seen.descriptors <= hub.descriptorsAtRest;
    }, `${hub.descriptorsAtRest} descriptors and no streams`, () => JSON.stringify(seen));
}

async function assertServes(t, hub, topic = 'check') {
    const stream = await openFor(t, curlSources[0], hub.events(topic));
    await hub.publish({ topic, data: 'served' });
    assert.equal((await stream.untilEvents(1))[0].data, 'served');
    stream.close();
    await stream.untilEnd();
}

/** A hub of few descriptors, and peers that have used all that it serves. It has refused the last one. */
async function fill(t) {
    const limited = ['sh', '-c', 'ulimit -n 40 && exec "$@"', 'sh'];
    const hub = await hubFor(t, ['--retry', '0'], { before: limited });
    const peers = [];
    t.after(() => peers.forEach((peer) => peer.close()));
    do {
        peers.push(await Peer.openStream(hub.port, 'a'));
        assert.ok(peers.length < 40, 'the hub takes more than it has descriptors');
    } while (peers.at(-1).text.includes('Transfer-Encoding: chunked'));
    await peers.at(-1).untilEnd();
    assert.ok(peers.every(({ status }) => status === 200));
    assert.match(peers.at(-1).text, /\r\n\r\nretry: [1-9]\d{3,4}\n\n$/);
    return { hub, peers };
}

function untilServed(hub) {
    return until(async () => {
        const { status, headers } = await request(`${hub.url}stats`);
        return status === 200 && headers['content-type'] === 'application/json';
    }, 'the hub to have room again');
}

test('a hub whose standard input, output and error are closed', async (t) => {
    const port = await freePort();
    const closed = ['-c', 'exec "$0" --stdin --listen "127.0.0.1:$1" <&- >&- 2>&-', process.env.SSE_HUB, port];
    const child = killedAtExit(spawn('sh', closed, { stdio: 'ignore' }));
    t.after(() => child.kill('SIGKILL'));
    const get = (path, options) => request(`http://127.0.0.1:${port}/${path}`, options).catch(() => null);
    await until(() => get('stats'), 'the hub');
    for (const number of [0, 1, 2]) {
        assert.equal(readlinkSync(`/proc/${child.pid}/fd/${number}`), '/dev/null');
    }
    const peer = await Peer.openStream(port, 'a');
    assert.equal((await get('publish?topic=a', { method: 'POST', body: 'x' }))?.status, 202);
    await peer.untilReceived('data: x\n');
    peer.close();
    assert.equal((await get('stats'))?.status, 200);
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
});

/** Sets a running process's limit of descriptors. */
function limitDescriptors(pid, limit) {
    const { status, stderr } = spawnSync('prlimit', ['--pid', pid, `--nofile=${limit}:4096`], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
}

function cpuMilliseconds(pid) {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
}

test('without free descriptors the hub pauses, prints that once, and continues', async (t) => {
    const hub = await startHub([], { before: ['sh', '-c', 'ulimit -n 4096 && exec "$@"', 'sh'] });
    t.after(() => hub.kill());
    const stream = await Peer.openStream(hub.port, 'a');
    limitDescriptors(hub.pid, hub.descriptors());
    const waiting = await Promise.all(Array.from({ length: 20 }, () => Peer.connect(hub.port)));
    waiting.forEach((peer) => peer.send(`GET /stats ${HOST}\r\n`));
    await until(() => hub.stderr !== '', 'the hub to say so');
    const [before, start] = [cpuMilliseconds(hub.pid), performance.now()];
    // Long enough for several attempts.
    await until(() => performance.now() > start + 1500, 'the time');
    assert.ok(cpuMilliseconds(hub.pid) - before < 500, 'it spins');
    assert.equal(hub.stderr, 'hub: cannot accept new connections for now: Too many open files\n');
    assert.deepEqual([stream.ended, stream.error], [false, null]);
    limitDescriptors(hub.pid, 4096);
    await Promise.all(waiting.map((peer) => peer.untilReceived('HTTP/1.1 200 OK')));
    assert.equal(hub.stderr, 'hub: cannot accept new connections for now: Too many open files\n');
});

test('unfinished bodies have a common limit', async (t) => {
    const hub = await hubFor(t, ['--queue-bytes', '16777216']);
    const half = Buffer.alloc(8000000, 'x');
    const peers = [];
    t.after(() => peers.forEach((peer) => peer.close()));
    for (let i = 0; i < 16; ++i) {
        const peer = await Peer.connect(hub.port);
        peers.push(peer);
        peer.send(`POST /publish?topic=a ${HOST}Content-Length: 16000000\r\n\r\n`);
        peer.send(half);
    }
    await until(() => peers.filter(({ status }) => status === 503).length >= 4, 'some to be refused');
    assert.ok(peers.some(({ status }) => !(status > 0)), 'all were refused');
    assert.equal((await hub.publish({ topic: 'a', data: 'small' })).status, 202);
    peers.forEach((peer) => peer.close());
    await untilForgotten(hub);
});

describe('what takes time', { concurrency: true }, () => {
    test('requests that never come to an end', async (t) => {
        const hub = await hubFor(t);
        const starts = ['', 'G', 'GET /events HTTP/1.1\r\nHost: localhost\r\nX: ',
            'POST /publish?topic=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf'];
        const peers = [];
        for (let i = 0; i < 40; ++i) {
            const peer = await Peer.connect(hub.port);
            peer.send(starts[i % starts.length]);
            peers.push(peer);
        }
        const dripping = setInterval(() => {
            peers.forEach((peer, i) => !peer.ended && !peer.error && i % starts.length > 0 && peer.send('a'));
        }, 300);
        t.after(() => clearInterval(dripping));
        await assertServes(t, hub);
        for (const [i, peer] of peers.entries()) {
            await peer.untilEnd();
            const dripped = i % starts.length > 0;
            assert.equal(peer.status || 'none', dripped ? 408 : 'none');
            peer.close();
        }
        clearInterval(dripping);
        await untilForgotten(hub);
    });

    test('over capacity, an EventSource is refused and reconnects', async (t) => {
        const { hub, peers } = await fill(t);
        const source = eventSources[0].open(hub.events('a'));
        t.after(() => source.close());
        await source.untilErrors(1);
        assert.equal(source.state(), 0, 'it does not want to come back');
        peers.forEach((peer) => peer.close());
        await untilServed(hub);
        await hub.publishUntilHeard({ topic: 'a', data: 'x' });
        await source.untilEvents(1);
        assert.deepEqual([...new Set(source.errors)], ['']);
        source.close();
        await untilForgotten(hub);
    });

    test('over capacity, a publisher does not get an answer of success', async (t) => {
        const { hub, peers } = await fill(t);
        const { status } = await request(`${hub.url}publish?topic=a`, { method: 'POST', body: 'x' });
        assert.ok(status >= 400, `the status was ${status}`);
        assert.ok(peers.every((peer) => !peer.text.includes('data:')));
        peers.forEach((peer) => peer.close());
        await untilServed(hub);
        await untilForgotten(hub);
    });
});

// An error would close an EventSource for good, so the client is only notified of a gap.
const unreadable = {
    'bytes that are not UTF-8': 'Last-Event-ID: \xff\r\n',
    'a control byte': 'Last-Event-ID: a\x01b\x7f\r\n',
    'more bytes than an id has': `Last-Event-ID: ${'x'.repeat(10000)}\r\n`,
    'two of them': 'Last-Event-ID: 1\r\nLast-Event-ID: 2\r\n',
};

for (const [name, header] of Object.entries(unreadable)) {
    test(`an invalid last event id is a gap: ${name}`, async (t) => {
        const hub = await hubFor(t);
        const peer = await Peer.connect(hub.port);
        peer.send(Buffer.from(`GET /events ${HOST}${header}\r\n`, 'latin1'));
        await peer.untilReceived('event: gap\n');
        assert.equal(peer.status, 200);
        const stats = await hub.stats();
        assert.equal(stats.gaps, 1);
        peer.close();
        await untilForgotten(hub);
    });
}

test('requests byte by byte', async (t) => {
    const hub = await hubFor(t);
    const [stream, publisher] = [await Peer.connect(hub.port), await Peer.connect(hub.port)];
    for (const byte of 'GET /events?topic=slow HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n') {
        await new Promise((resolve) => stream.socket.write(byte, resolve));
    }
    await stream.untilReceived('\r\n\r\n');
    for (const byte of 'POST /publish?topic=slow HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n'
        + '3\r\none\r\n4;x=y\r\n two\r\n0\r\nTrailer: z\r\n\r\n') {
        await new Promise((resolve) => publisher.socket.write(byte, resolve));
    }
    await publisher.untilEnd();
    assert.equal(publisher.status, 202);
    await stream.untilReceived('data: one two\n');
    [stream, publisher].forEach((peer) => peer.close());
    await untilForgotten(hub);
});

const HOST = 'HTTP/1.1\r\nHost: localhost\r\n';
const CHUNKED = `POST /publish ${HOST}Transfer-Encoding: chunked\r\n`;

const refusals = {
    'a target that is too long': [`GET /${'x'.repeat(100000)}`, 414],
    'a header that is too long': [`GET /events ${HOST}X: ${'x'.repeat(100000)}`, 431],
    'a request with too many headers': [`GET /events ${HOST}${'X: y\r\n'.repeat(300)}\r\n`, 431],
    'a body that is announced too long':
        [`POST /publish ${HOST}Content-Length: 99999999999\r\n\r\n${'x'.repeat(3000000)}`, 413],
    'a chunked body that grows too long':
        [`${CHUNKED}\r\n${`400\r\n${'x'.repeat(1024)}\r\n`.repeat(2000)}`, 413],
    'a greeting in TLS': ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
    'a control byte': [`GET /events\x01 ${HOST}\r\n`, 400],
    'a line feed without CR': ['GET /events HTTP/1.1\nHost: hub\n\n', 400],
    'a request without Host': ['GET /events HTTP/1.1\r\n\r\n', 400],
    'a request with two framings': [`${CHUNKED}Content-Length: 1\r\n\r\n`, 400],
    'a request with two lengths': [`POST /publish ${HOST}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`, 400],
    'a request with a list of lengths': [`POST /publish ${HOST}Content-Length: 1, 1\r\n\r\n`, 400],
    'a NUL in a header': [`GET /events ${HOST}X: a\0b\r\n\r\n`, 400],
    'a broken chunk': [`${CHUNKED}\r\nzz\r\n`, 400],
    'another version of HTTP': ['GET /events HTTP/2.0\r\nHost: localhost\r\n\r\n', 505],
};

for (const [name, [bytes, status]] of Object.entries(refusals)) {
    test(`${name} is refused, and the answer arrives`, async (t) => {
        const hub = await hubFor(t);
        const peer = await Peer.connect(hub.port);
        peer.send(Buffer.from(bytes, 'latin1'));
        await peer.untilEnd();
        assert.equal(peer.error, null);
        assert.equal(peer.status, status);
        assert.ok(JSON.parse(peer.text.split('\r\n\r\n')[1]).error.length > 0);
        peer.close();
        await assertServes(t, hub);
        await untilForgotten(hub);
    });
}

test('a client that ends its sending side still receives', async (t) => {
    const hub = await hubFor(t);
    const peer = await Peer.openStream(hub.port, 'a');
    peer.endSending();
    // The hub has seen it once it has sent the comment that tests the connection.
    await peer.untilReceived('2\r\n:\n\r\n');
    for (const data of ['one', 'two', 'three']) {
        assert.equal((await hub.publish({ topic: 'a', data })).receivers, 1);
        await peer.untilReceived(`data: ${data}\n`);
    }
    await hub.complete('a');
    await peer.untilEnd();
    assert.deepEqual([peer.error, peer.text.slice(-7)], [null, '\r\n0\r\n\r\n']);
    peer.close();
    await untilForgotten(hub);
});

test('bytes that a client sends during its stream are harmless', async (t) => {
    const hub = await hubFor(t);
    const peer = await Peer.openStream(hub.port, 'a');
    peer.send('GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(1000));
    await hub.publish({ topic: 'a', data: 'one' });
    await peer.untilReceived('data: one\n');
    peer.send(Buffer.alloc(1000000, 'x'));
    await hub.publish({ topic: 'a', data: 'two' });
    await peer.untilReceived('data: two\n');
    assert.equal(peer.text.match(/HTTP\/1/g).length, 1);
    peer.close();
    await untilForgotten(hub);
});

test('a reset is noticed, although nothing is sent', async (t) => {
    const hub = await hubFor(t);
    const peer = await Peer.openStream(hub.port, 'a');
    peer.reset();
    await untilForgotten(hub);
    const reply = await hub.publish({ topic: 'a', data: 'x' });
    assert.deepEqual([reply.receivers, reply.dropped, reply.ended], [0, 0, 0]);
    assert.equal((await hub.stats()).closed.peer_gone, 1);
});

test('a close is noticed, although no event is sent', async (t) => {
    const hub = await hubFor(t);
    const peer = await Peer.openStream(hub.port, 'a');
    peer.close();
    await untilForgotten(hub);
    assert.equal((await hub.stats()).closed.peer_gone, 1);
});

test('200 streams open, and disconnect in every way', async (t) => {
    const hub = await hubFor(t);
    const numbers = [...Array(200).keys()];
    const peers = await Promise.all(numbers.map((number) => Peer.openStream(hub.port, `topic${number % 7}`)));
    assert.equal((await hub.stats()).emitters, 200);
    const reply = await hub.publish({ data: 'to all' });
    assert.equal(reply.receivers, 200);
    await Promise.all(peers.map((peer) => peer.untilReceived('data: to all\n')));
    peers.forEach((peer, i) => [peer.reset, peer.close, peer.endSending][i % 3].call(peer));
    // A client that has only closed its sending side is still there, and is notified of the end.
    await until(async () => (await hub.stats()).emitters === 66, 'the end of those that left');
    await hub.complete();
    await Promise.all(peers.filter((_, i) => i % 3 === 2).map((peer) => peer.untilEnd()));
    peers.forEach((peer) => peer.close());
    await untilForgotten(hub);
    const { closed, added } = await hub.stats();
    assert.deepEqual([added, closed.peer_gone, closed.completed], [200, 134, 66]);
});

test('1,000 streams one after the other leave nothing behind', async (t) => {
    const hub = await hubFor(t);
    for (let i = 0; i < 1000; ++i) {
        const peer = await Peer.openStream(hub.port, `topic${i}`);
        peer[i % 2 === 0 ? 'reset' : 'close']();
    }
    await untilForgotten(hub);
    assert.equal((await hub.stats()).added, 1000);
});

test('a client that does not read ends when its queue is full, and the others miss nothing', async (t) => {
    const hub = await hubFor(t, ['--queue-bytes', '100000', '--stall', '0']);
    const stuck = await Peer.openStream(hub.port, 'a');
    stuck.stopReading();
    const healthy = await openFor(t, eventSources[0], hub.events('a'));
    const data = 'x'.repeat(50000);
    let count = 0;
    // The kernel's buffers are filled before the queue.
    while ((await hub.stats()).closed.overflow === 0) {
        assert.equal((await hub.publish({ topic: 'a', data })).status, 202);
        await healthy.untilEvents(++count);
        assert.ok((await hub.stats()).backlog_bytes <= 200000);
        assert.ok(count < 1000, 'the queue has no end');
    }
    assert.deepEqual([healthy.opens, healthy.errors], [1, []]);
    assert.ok(healthy.events.every((event) => event.data === data));
    healthy.close();
    stuck.close();
    await untilForgotten(hub);
});

test('a client that does not read ends at its stall timeout', async (t) => {
    const hub = await hubFor(t, ['--stall', '200', '--queue-bytes', '100000000']);
    const stuck = await Peer.openStream(hub.port, 'a');
    stuck.stopReading();
    // On a busy machine the stream may have ended before its queue was seen.
    for (let stats = await hub.stats(); stats.backlog_bytes === 0 && stats.emitters > 0; stats = await hub.stats()) {
        await hub.publish({ topic: 'a', data: 'x'.repeat(500000) });
    }
    const { closed } = await until(async () => {
        const stats = await hub.stats();
        return stats.emitters === 0 && stats;
    }, 'the end of the stalled stream');
    // The kernel's own timeout is as long, and may come first.
    assert.equal(closed.stall + closed.peer_gone, 1, JSON.stringify(closed));
    stuck.close();
    await untilForgotten(hub);
});
