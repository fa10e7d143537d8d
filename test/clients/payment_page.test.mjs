// SPDX-License-Identifier: MIT
// The example with the payment page. Its result comes while the client is between two connections, or at the very
// moment when it connects.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { request, startExample, until } from './hub.mjs';
import { Peer } from './peer.mjs';
import { startProxy } from './proxy.mjs';
import { eventSources, openFor } from './sources.mjs';
import { StrictParser } from './wire.mjs';

const NAME = '05_payment_page';
const CLOSED = 2;
const SLOW_BANK = '1000';
const FAST_BANK = '1';
const PAYMENTS_MAX = 1024;
const SPAWN_MS = 20000;

const directory = mkdtempSync(join(tmpdir(), 'payments-'));
after(() => rmSync(directory, { recursive: true }));
let stores = 0;

function newStore() {
    stores += 1;
    return join(directory, String(stores));
}

/** A server for one test, with its own store unless one is given. */
async function start(t, { bank = SLOW_BANK, store = newStore(), port = '0' } = {}) {
    const server = await startExample(NAME, [String(port), store, bank]);
    t.after(() => server.stop());
    return Object.assign(server, { store });
}

async function pay(server) {
    const { status, text } = await request(`${server.url}pay`, { method: 'POST' });
    assert.equal(status, 201);
    assert.match(text, /^[0-9a-f]{32}\n$/);
    return text.trim();
}

function eventsUrl(payment, origin) {
    return `${origin}events?payment=${payment}`;
}

/** Reads a stream to its end with the strictest client. */
async function readStream(server, payment, lastEventId) {
    const headers = lastEventId === undefined ? {} : { 'Last-Event-ID': lastEventId };
    const { status, text } = await request(eventsUrl(payment, server.url), { headers });
    const parser = new StrictParser();
    parser.feed(Buffer.from(text));
    parser.end();
    return { status, events: parser.events };
}

/** Reads streams of a payment, each from the end of the previous one, until the result arrives. */
async function readAll(server, payment) {
    const events = [];
    while (events.at(-1)?.data !== 'paid') {
        events.push(...(await readStream(server, payment, events.at(-1)?.id)).events);
    }
    return events;
}

/** Pays and opens a stream, and repeats both if the bank was faster than the client. */
function payAndListen(t, source, server, origin) {
    return until(async () => {
        const payment = await pay(server);
        const stream = await openFor(t, source, eventsUrl(payment, origin), ['state']);
        await stream.untilEvents(1);
        if (stream.events[0].data !== 'pending') {
            stream.close();
            return null;
        }
        return Object.assign(stream, { payment });
    }, 'a client that was quicker than the bank');
}

const untilClosed = (stream) => until(() => stream.state() === CLOSED, 'the last answer to close the client');
const statesOf = (events) => events.map(({ data }) => data);
const epochOf = (id) => id.slice(0, 16);

for (const source of eventSources) {
    test(`${source.name}: the result comes between two connections, and arrives once`, async (t) => {
        const server = await start(t);
        const proxy = await startProxy(server.port);
        t.after(() => proxy.stop());
        const [one, other] = await Promise.all(
            [0, 1].map(() => payAndListen(t, source, server, proxy.url)));
        await Promise.all([one, other].map(untilClosed));
        for (const stream of [one, other]) {
            assert.deepEqual(statesOf(stream.events), ['pending', 'authorised', 'paid']);
            const ids = stream.events.map(({ id }) => id);
            assert.deepEqual(ids, [...new Set(ids)].sort());
            const connections = proxy.streams.filter(({ requestLine }) => requestLine.includes(stream.payment));
            assert.deepEqual(connections.map(({ lastEventId }) => lastEventId), [undefined, ids[1], ids[2]]);
            const [before, resumed, last] = connections.map(({ response }) => response.toString());
            assert.doesNotMatch(before, /paid/);
            assert.equal(resumed.match(/^data: /gm).length, 1);
            assert.match(last, /^HTTP\/1\.1 204 /);
        }
        const idsOf = (stream) => new Set(stream.events.map(({ id }) => id));
        assert.deepEqual([...idsOf(one)].filter((id) => idsOf(other).has(id)), []);
    });
}

test('npm eventsource: the state comes from the store after a restart on the same port', async (t) => {
    // undici 6 gives up if the connection is refused.
    const first = await start(t);
    const stream = await payAndListen(t, eventSources[0], first, first.url);
    await first.stop();
    await stream.untilErrors(2);
    const second = await start(t, { store: first.store, port: first.port });
    await untilClosed(stream);
    const order = ['pending', 'authorised', 'paid'];
    const states = statesOf(stream.events);
    assert.deepEqual(states, [...states].sort((left, right) => order.indexOf(left) - order.indexOf(right)));
    assert.equal(states.filter((state) => state === 'paid').length, 1);
    assert.notEqual(epochOf(stream.events[0].id), epochOf(stream.events.at(-1).id));
    assert.equal((await readStream(second, stream.payment, stream.events.at(-1).id)).status, 204);
});

test('each client gets its own retry at a shutdown', async (t) => {
    const server = await start(t, { bank: '1000000' });
    const payment = await pay(server);
    const peers = await Promise.all(Array.from({ length: 20 }, () => Peer.connect(server.port)));
    for (const peer of peers) {
        t.after(() => peer.close());
        peer.send(`GET /events?payment=${payment} HTTP/1.1\r\n\r\n`);
        await peer.untilReceived('data: pending');
    }
    await server.stop();
    await Promise.all(peers.map((peer) => peer.untilEnd()));
    const retries = peers.map(({ text }) => Number(text.match(/\nretry: (\d+)\n\n\r\n0\r\n\r\n$/)?.[1]));
    assert.ok(retries.every((retry) => retry >= 500 && retry <= 3000), `${retries}`);
    assert.ok(new Set(retries).size > 1, `${retries}`);
});

test('a state that was sent is known after a crash', async (t) => {
    const first = await startExample(NAME, ['0', newStore(), FAST_BANK]);
    const store = first.child.spawnargs[2];
    const payment = await pay(first);
    const told = await readAll(first, payment);
    await first.kill();
    const second = await start(t, { store });
    const { events } = await readStream(second, payment, told.at(-1).id);
    assert.deepEqual(statesOf(events), ['paid']);
    assert.notEqual(events[0].id, told.at(-1).id);
    assert.equal((await readStream(second, payment, events[0].id)).status, 204);
});

test('the store supplies a state that the history has discarded', async (t) => {
    const server = await start(t, { bank: FAST_BANK });
    const payment = await pay(server);
    const first = (await readStream(server, payment)).events[0];
    const result = (await readAll(server, payment)).at(-1);
    const others = [];
    while (others.length < PAYMENTS_MAX - 1) {
        others.push(await pay(server));
    }
    await readAll(server, others.at(-1));
    // The history holds the results of 256 payments at most.
    const beginning = `${epochOf(result.id)}-0000000000000000`;
    for (const one of [payment, ...others.slice(-300)]) {
        const { events } = await readStream(server, one, beginning);
        assert.deepEqual(statesOf(events), ['paid']);
    }
    assert.deepEqual((await readStream(server, payment)).events, [result]);
    if (first.id !== result.id) {
        assert.deepEqual((await readStream(server, payment, first.id)).events, [result]);
    }
    assert.equal((await readStream(server, payment, result.id)).status, 204);

    const { status, text } = await request(`${server.url}pay`, { method: 'POST' });
    assert.deepEqual([status, text], [503, 'no room for a payment\n']);
});

test('with any Last-Event-ID a client receives its result, and no event of another payment', async (t) => {
    const server = await start(t, { bank: FAST_BANK });
    const [payment, other] = [await pay(server), await pay(server)];
    const [own, foreign] = [await readAll(server, payment), await readAll(server, other)];
    const epoch = epochOf(own[0].id);
    const unknown = ['x', '-', `${epoch}-`, `${epoch}-ffffffffffffffff`, `${epoch}-FFFFFFFFFFFFFFFF`,
        `0000000000000000-0000000000000001`, 'a b "<>%0A', '../../etc/passwd', payment];
    const all = await readStream(server, payment, `${epoch}-0000000000000000`);
    assert.deepEqual(statesOf(all.events), ['pending', 'authorised', 'paid']);
    for (const id of unknown) {
        const { status, events } = await readStream(server, payment, id);
        assert.equal(status, 200, id);
        assert.deepEqual(events, all.events, id);
    }
    for (const { id } of foreign) {
        const { status, events } = await readStream(server, payment, id);
        assert.equal(status, 200);
        assert.ok(events.every((event) => all.events.some((one) => one.id === event.id)), id);
    }
    const invalid = ['%00', '%0A', '%0Ddata:x', '%01', '%7F', '%FF', '%zz', '%', 'x'.repeat(129), 'x'.repeat(2000)];
    for (const id of invalid) {
        const { status, text } = await request(`${eventsUrl(payment, server.url)}&lastEventId=${id}`);
        assert.equal(status, 200, id);
        assert.deepEqual(text.match(/^data: .*$/gm), ['data: pending', 'data: authorised', 'data: paid'], id);
    }
});

const refusals = [
    ['GET', 'nothing', 404],
    ['GET', 'events', 404],
    ['GET', 'events?payment=', 404],
    ['GET', 'events?payment=%00', 404],
    ['GET', `events?payment=${'0'.repeat(32)}`, 404],
    ['GET', `events?payment=${'0'.repeat(33)}`, 404],
    ['GET', 'pay', 404],
    ['POST', '', 404],
    ['DELETE', 'events?payment=0', 404],
];

test('bad requests are refused', async (t) => {
    const server = await start(t);
    for (const [method, target, expected] of refusals) {
        const { status, headers, text } = await request(server.url + target, { method });
        assert.equal(status, expected, `${method} ${target}`);
        assert.equal(headers.connection, 'close');
        assert.equal(Number(headers['content-length']), text.length);
    }
    const payment = await pay(server);
    const html = await request(eventsUrl(payment, server.url), { headers: { accept: 'text/html' } });
    assert.equal(html.status, 406);
    const giant = await request(server.url, { headers: { 'x-giant': 'x'.repeat(5000) } });
    assert.equal(giant.status, 431);
});

test('a stream that opens while its state changes has each state once, in order', async (t) => {
    const server = await start(t, { bank: '20' });
    const order = ['pending', 'authorised', 'paid'];
    await Promise.all(Array.from({ length: 40 }, async (_, number) => {
        const payment = await pay(server);
        await new Promise((resolve) => setTimeout(resolve, number));
        const events = await readAll(server, payment);
        assert.deepEqual(statesOf(events), order.slice(order.indexOf(events[0].data)));
        assert.equal(new Set(events.map(({ id }) => id)).size, events.length);
    }));
});

test('clients that disconnect at any moment leave nothing behind', async (t) => {
    const server = await start(t, { bank: '1000000' });
    const idle = server.descriptors();
    const payment = await pay(server);
    const requests = ['', 'GET', `GET /events?payment=${payment} HTTP/1.1\r\n\r\n`,
        `GET /events?payment=${payment} HTTP/1.0\r\n\r\n`.repeat(3), 'POST /pay HTTP/1.1\r\nContent-Length: 9\r\n\r\n'];
    for (const leave of ['close', 'reset', 'endSending']) {
        for (const bytes of requests) {
            const peer = await Peer.connect(server.port);
            t.after(() => peer.close());
            peer.send(bytes);
            peer[leave]();
            if (leave === 'endSending' && bytes.startsWith('GET /')) {
                await peer.untilReceived('data: pending');
                peer.reset();
            }
        }
    }
    await until(() => server.descriptors() === idle, 'the connections to be closed', () => `${server.descriptors()}`);
});

test('pages of another origin may not pay', async (t) => {
    const server = await start(t, {});
    const headers = { 'sec-fetch-site': 'cross-site' };
    const page = await request(server.url, { headers });
    assert.equal(page.status, 200, 'a link leads to the page');
    for (const fields of [headers, { host: 'evil.example' }, { origin: 'http://evil.example' }]) {
        const { status } = await request(`${server.url}pay`, { method: 'POST', headers: fields, body: '' });
        assert.equal(status, 403, JSON.stringify(fields));
    }
    const { status } = await request(server.url, { headers: { host: 'evil.example' } });
    assert.equal(status, 403);
});

test('a file that is not a store is not changed', () => {
    const program = join(process.env.SSE_EXAMPLES, NAME);
    for (const content of ['hello\n', `${'0'.repeat(32)} 3\n`, `${'0'.repeat(31)} 0\n`, `${'0'.repeat(32)} 0\nx`]) {
        const store = newStore();
        writeFileSync(store, content);
        const { status, stderr } = spawnSync(program, ['0', store], { encoding: 'utf8' });
        assert.deepEqual([status, stderr], [1, `${NAME}: ${store}: not our payments\n`], content);
        assert.equal(readFileSync(store, 'utf8'), content);
    }
});

test('bad arguments and a port in use are reported', async (t) => {
    const server = await start(t);
    const bad = [[], ['0'], ['', 'f'], ['x', 'f'], ['8080x', 'f'], ['65536', 'f'], ['0', 'f', '0'], ['0', 'f', '2x'],
        ['0', 'f', '9'.repeat(30)], ['0', 'f', '1', '1']];
    const run = (options) => {
        const { status, stdout, stderr } = spawnSync(join(process.env.SSE_EXAMPLES, NAME), options,
            { cwd: directory, encoding: 'utf8', timeout: SPAWN_MS });
        return [status, stdout, stderr];
    };
    for (const options of bad) {
        assert.deepEqual(run(options), [2, '', `usage: ${NAME} PORT FILE [BANK-MILLISECONDS]\n`], `${options}`);
    }
    assert.deepEqual(run([String(server.port), newStore()]), [1, '', `${NAME}: Address already in use\n`]);
});

test('it works with fewer descriptors than it accepts clients', async (t) => {
    const before = ['sh', '-c', 'ulimit -n 40 && exec "$@"', 'sh'];
    const server = await startExample(NAME, ['0', newStore(), FAST_BANK], { before });
    t.after(() => server.stop());
    const payments = await Promise.all(Array.from({ length: 60 }, () => pay(server)));
    assert.equal((await readAll(server, payments[0])).at(-1).data, 'paid');
});
