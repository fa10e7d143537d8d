// SPDX-License-Identifier: MIT
// Requests that are silent, slow, large, many or strange.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { request, until } from '../clients/hub.mjs';
import {
    accepted, comeBack, eventsUrl, nodeFor, proxyFor, publish, redisFor, startNode, startRedis,
} from './cluster.mjs';

const redis = await startRedis();
const node = await startNode(redis);
await node.untilReady();
after(async () => {
    await node.stop();
    await redis.stop();
});

/** A connection that sends these bytes and nothing else. */
class Raw {
    text = '';
    ended = false;

    constructor(t, { port }, bytes) {
        this.socket = net.connect(port, '127.0.0.1');
        this.socket.setEncoding('latin1').on('data', (text) => { this.text += text; });
        this.socket.on('error', () => {}).on('close', () => { this.ended = true; });
        this.socket.write(bytes);
        t.after(() => this.socket.destroy());
    }

    get status() {
        return Number(this.text.match(/^HTTP\/1\.1 (\d+) /)?.[1]);
    }

    untilText(part) {
        return until(() => this.text.includes(part), part, () => this.text);
    }

    untilEnd() {
        return until(() => this.ended, 'the end of the connection', () => this.text);
    }
}

function rawMany(t, one, bytes, count) {
    return Array.from({ length: count }, () => new Raw(t, one, bytes));
}

const HOST = 'Host: localhost\r\n';

test('silent and slow connections delay nobody', async (t) => {
    const one = await nodeFor(t, redis);
    const waiting = [
        ...rawMany(t, one, '', 40),
        ...rawMany(t, one, 'POST /publish?topic=a HTTP/1.1\r\nHo', 40),
        ...rawMany(t, one, `POST /publish?topic=a HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nab`, 40),
    ];
    await until(() => waiting.every(({ socket }) => !socket.connecting), 'all connections');
    await accepted(one.url, { topic: 'a', data: 'x' });
    await comeBack(t, one, ['a'], '');
    assert.ok(waiting.every(({ ended }) => !ended));
});

test('clients that are ahead of a slow node delay no publisher', async (t) => {
    const server = await redisFor(t);
    const proxy = await proxyFor(t, server.port);
    const [late, other] = [await nodeFor(t, { port: proxy.port }), await nodeFor(t, server)];
    // This opens the node's other connection.
    await accepted(late.url, { topic: 'late', data: 'before' });
    proxy.hold('entries');
    const { id } = await accepted(other.url, { topic: 'late', data: 'only the other node has it' });
    const head = `GET /events?topic=late HTTP/1.1\r\n${HOST}Last-Event-ID: ${id}\r\n\r\n`;
    const clients = rawMany(t, late, head, 40);
    const isSentAway = ({ text }) => /retry: \d+\n/.test(text);
    await until(() => clients.filter(isSentAway).length >= 36, 'most to be sent away');
    await accepted(late.url, { topic: 'late', data: 'meanwhile' });
    assert.ok(clients.some(({ text }) => text === ''), 'nobody waits');
});

test('idle connections and half requests end', async (t) => {
    const silent = new Raw(t, node, '');
    const halves = [
        new Raw(t, node, 'GET /events?to'),
        new Raw(t, node, `GET /events?topic=a HTTP/1.1\r\n${HOST}`),
        new Raw(t, node, `POST /publish?topic=a HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nabcd`),
        new Raw(t, node, `POST /publish?topic=a HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n`),
    ];
    await silent.untilEnd();
    assert.equal(silent.text, '');
    for (const half of halves) {
        await half.untilEnd();
        assert.equal(half.status, 408, half.text);
    }
    const cut = new Raw(t, node, `POST /publish?topic=a HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nabcd`);
    cut.socket.end();
    await cut.untilEnd();
    assert.equal(cut.status, 400);
});

test('too many connections: the oldest is closed, and requests are answered', async (t) => {
    const one = await nodeFor(t, redis);
    execFileSync('prlimit', [`--nofile=4096:`, `--pid=${process.pid}`]);
    const waiting = rawMany(t, one, 'GET /', 1500);
    // A connection whose time is up gets an answer.
    await until(() => waiting.filter(({ ended, text }) => ended && text === '').length >= 400, 'the oldest to go');
    await accepted(one.url, { topic: 'a', data: 'x' });
});

test('bodies have a common limit', async (t) => {
    const one = await nodeFor(t, redis);
    const head = `POST /publish?topic=a HTTP/1.1\r\n${HOST}Content-Length: 65536\r\n\r\n`;
    const waiting = rawMany(t, one, head + 'x'.repeat(65535), 150);
    await until(() => waiting.filter(({ status }) => status === 503).length >= 80, 'refusals');
    assert.ok(waiting.filter(({ status }) => !status).length >= 16);
    waiting.forEach(({ socket }) => socket.destroy());
    await until(async () => (await publish(one.url, { topic: 'a', data: 'x' })).status === 202, 'room');
});

/** The threads of a node that are not waiting now. */
function busyThreads({ child }) {
    const directory = `/proc/${child.pid}/task`;
    return readdirSync(directory).filter((thread) => {
        const status = readFileSync(join(directory, thread, 'stat'), 'latin1');
        return status.replace(/^.*\) /s, '').startsWith('R');
    });
}

/** In how many samples the busiest thread did not wait. A thread that never sleeps would never be seen waiting,
 *  however little processor time it gets. */
async function countBusy(one, samples) {
    const counts = new Map();
    for (let sample = 0; sample < samples; ++sample) {
        busyThreads(one).forEach((thread) => counts.set(thread, (counts.get(thread) ?? 0) + 1));
        await new Promise((resolve) => { setTimeout(resolve, 15); });
    }
    return Math.max(0, ...counts.values());
}

test('without free descriptors accepting pauses, with one message, and continues', async (t) => {
    const one = await nodeFor(t, redis);
    const limit = (count) => execFileSync('prlimit', [`--nofile=${count}:`, '--pid', one.child.pid]);
    const [before] = readFileSync(`/proc/${one.child.pid}/limits`, 'latin1').match(/(?<=Max open files +)\d+/);
    const descriptors = readdirSync(`/proc/${one.child.pid}/fd`).map(Number);
    // No descriptor is free below the limit.
    limit(Math.min(...descriptors.map((fd) => fd + 1).filter((fd) => !descriptors.includes(fd))));
    // One connection may be accepted with the descriptor of one that was about to close.
    const waiting = rawMany(t, one, `GET /stats HTTP/1.1\r\n${HOST}`, 20);
    await until(() => one.stderr.includes('cannot accept new connections'), 'the message', () => one.stderr);
    // Long enough to print the message again and again.
    const busy = await countBusy(one, 100);
    assert.equal(one.stderr.match(/cannot accept new connections/g).length, 1, one.stderr);
    assert.ok(busy < 80, `busy in ${busy} of 100 samples`);
    limit(before);
    waiting.forEach(({ socket }) => socket.write('\r\n'));
    await until(() => waiting.every(({ status }) => status), 'all answers');
    assert.ok(waiting.filter(({ status }) => status === 200).length >= 18);
});

test('the limit of descriptors drops below the open ones: the node waits, and continues', async (t) => {
    const one = await nodeFor(t, redis);
    const silent = rawMany(t, one, 'GET /', 20);
    await until(() => silent.every(({ socket }) => !socket.connecting), 'the connections');
    await one.stats();
    execFileSync('prlimit', ['--nofile=3:', '--pid', one.child.pid]);
    const busy = await countBusy(one, 50);
    execFileSync('prlimit', ['--nofile=1024:', '--pid', one.child.pid]);
    assert.ok(busy < 40, `busy in ${busy} of 50 samples`);
    await accepted(one.url, { topic: 'a', data: 'x' });
});

test('streams over the limit are told when to reconnect, and publishing continues', async (t) => {
    const one = await nodeFor(t, redis, [], ['prlimit', '--nofile=96:96']);
    const streams = rawMany(t, one, `GET /events?topic=a HTTP/1.1\r\n${HOST}\r\n`, 100);
    await until(() => streams.every(({ text }) => text.includes('\r\n\r\n')), 'all answers');
    assert.ok(streams.every(({ status }) => status === 200));
    await until(() => streams.filter(({ ended }) => ended).length >= 40, 'those that are refused');
    assert.ok(streams.filter(({ ended }) => ended).every(({ text }) => /retry: \d+\n/.test(text)));
    await accepted(one.url, { topic: 'a', data: 'x' });
    assert.doesNotMatch(one.stderr, /pauses|away/);
});

test('HEAD, other methods and other paths', async () => {
    const get = await request(`${node.url}stats`);
    const head = await request(`${node.url}stats`, { method: 'HEAD' });
    assert.deepEqual([head.status, head.text], [200, '']);
    assert.equal(head.headers['content-type'], get.headers['content-type']);
    const stream = await request(eventsUrl(node.url, ['a']), { method: 'HEAD' });
    assert.deepEqual([stream.status, stream.text], [200, '']);
    assert.equal(stream.headers['content-type'], 'text/event-stream');
    assert.equal((await request(`${node.url}events`, { method: 'HEAD' })).status, 400);
    for (const [method, path, allow] of [
        ['HEAD', 'publish?topic=a', 'POST'], ['GET', 'publish?topic=a', 'POST'],
        ['POST', 'events?topic=a', 'GET, HEAD'], ['DELETE', 'stats', 'GET, HEAD']]) {
        const { status, headers } = await request(node.url + path, { method });
        assert.deepEqual([status, headers.allow], [405, allow], `${method} ${path}`);
    }
    assert.equal((await request(`${node.url}nothing`, { method: 'HEAD' })).status, 404);
});

test('a client that waits for 100 Continue receives it, unless its body is not needed', async (t) => {
    const head = (target, length) => `POST ${target} HTTP/1.1\r\n${HOST}Expect: 100-continue\r\n`
        + `Content-Length: ${length}\r\n\r\n`;
    const asked = new Raw(t, node, head('/publish?topic=expect', 5));
    await asked.untilText('HTTP/1.1 100 Continue\r\n\r\n');
    asked.socket.write('hello');
    await asked.untilText('HTTP/1.1 202 ');
    for (const [target, length, status] of [
        ['/publish?topic=a', 70000, 413], ['/events?topic=a', 5, 405], ['/nothing', 5, 404]]) {
        const refused = new Raw(t, node, head(target, length));
        await refused.untilEnd();
        assert.equal(refused.status, status, refused.text);
        assert.doesNotMatch(refused.text, /100 Continue/);
    }
});

test('a body that is far too large is refused, and the answer arrives', async (t) => {
    const size = 4 << 20;
    const head = `POST /publish?topic=a HTTP/1.1\r\n${HOST}Content-Length: ${size}\r\n\r\n`;
    const large = new Raw(t, node, head + 'x'.repeat(size));
    await large.untilEnd();
    assert.equal(large.status, 413, large.text);
});

test('two lengths, a NUL in a topic, and other ambiguous requests are refused', async (t) => {
    const head = `POST /publish?topic=a HTTP/1.1\r\n${HOST}`;
    const post = (fields, body) => new Raw(t, node, `${head}${fields}\r\n\r\n${body}`);
    for (const [fields, body] of [
        ['Content-Length: 1\r\nContent-Length: 2', 'ab'], ['Content-Length: 1, 2', 'ab'],
        ['Content-Length: 1\r\nTransfer-Encoding: chunked', '1\r\na\r\n0\r\n\r\n']]) {
        const raw = post(fields, body);
        await raw.untilEnd();
        assert.equal(raw.status, 400, fields);
    }
    const before = (await redis.events()).length;
    for (const query of ['topic=a%00b', 'topic=%ff', 'topic=%', 'topic=a&type=b%00']) {
        const { status } = await request(`${node.url}publish?${query}`, { method: 'POST', body: 'x' });
        assert.equal(status, 400, query);
    }
    assert.equal((await request(`${node.url}events?topic=a%00b`)).status, 400);
    assert.equal((await redis.events()).length, before);
});

test('unknown parameters are ignored, and any Last-Event-ID is accepted', async (t) => {
    const url = `${node.url}publish?utm_source=x&topic=odd&=&flag&type=`;
    assert.equal((await request(url, { method: 'POST', body: 'x' })).status, 202);
    const stream = new Raw(t, node, `GET /events?_=%zz&topic=odd&lastEventId HTTP/1.1\r\n${HOST}\r\n`);
    await stream.untilText('event: ready');
    for (const id of ['x'.repeat(5000), '\u00ff', '0-0', '18446744073709551615-18446744073709551615', '1-1-', '-',
        '1-1-00000000', '1-1-zzzzzzzz', '5-3-0123456g', ', ,']) {
        const back = await comeBack(t, node, ['odd'], id);
        await until(() => back.events.length > 0, 'the gap', () => back.head);
        assert.match(back.head, /^HTTP\/1.1 200 /);
        assert.equal(back.events[0].type, 'gap', id);
    }
});

test('a page of another origin can do nothing, also with DNS rebinding', async (t) => {
    const one = await nodeFor(t, redis, ['-a', 'events.example']);
    const own = `127.0.0.1:${one.port}`;
    const post = (headers) => request(`${one.url}publish?topic=guard`, { method: 'POST', headers, body: 'x' });
    const get = (path, headers) => request(one.url + path, { headers, method: path === 'stats' ? 'GET' : 'HEAD' });
    const before = (await redis.events()).length;
    for (const headers of [
        { Origin: 'https://evil.example' },
        { Origin: 'null' },
        { Origin: `http://127.0.0.1:${one.port + 1}` },
        { 'Sec-Fetch-Site': 'cross-site' },
        { 'Sec-Fetch-Site': 'same-site', Origin: `http://${own}` },
        { Host: `evil.example:${one.port}`, Origin: `http://evil.example:${one.port}` },
        { Host: 'evil.example' },
    ]) {
        assert.equal((await post(headers)).status, 403, JSON.stringify(headers));
        assert.equal((await get('events?topic=guard', headers)).status, 403);
        assert.equal((await get('stats', headers)).status, 403);
    }
    assert.equal((await redis.events()).length, before);
    for (const headers of [
        {}, { Origin: `http://${own}` }, { Origin: `http://${own}`, 'Sec-Fetch-Site': 'same-origin' },
        { Host: 'events.example', Origin: 'http://events.example' }, { Host: `localhost:${one.port}` },
    ]) {
        assert.equal((await post(headers)).status, 202, JSON.stringify(headers));
        assert.equal((await get('events?topic=guard', headers)).status, 200);
    }
    const fields = 'Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n';
    const twice = new Raw(t, one, `GET /stats HTTP/1.1\r\n${HOST}${fields}\r\n`);
    await twice.untilEnd();
    assert.equal(twice.status, 400);
});
