// SPDX-License-Identifier: MIT
// Who receives which events: topics, broadcasts, one order for all.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { request, startHub, until } from './hub.mjs';
import { closePeers, Peer } from './peer.mjs';
import { allSources, curlSources, eventSources, fetchSource, openCurl, openFor } from './sources.mjs';

const hub = await startHub();
after(() => {
    closePeers();
    return hub.stop();
});

const dataOf = (events) => events.map(({ data }) => data);

for (const source of allSources) {
    test(`${source.name}: several topics in one stream`, async (t) => {
        const [news, weather, sports] = ['news', 'weather', 'sports'].map((name) => `${source.name} ${name}`);
        const stream = await openFor(t, source, hub.events([news, weather, news]));
        await hub.publish({ topic: news, data: '1' });
        await hub.publish({ topic: sports, data: 'not for us' });
        await hub.publish({ topic: weather, data: '2' });
        await hub.publish({ topic: news, data: '3' });
        assert.deepEqual(dataOf(await stream.untilEvents(3)), ['1', '2', '3']);
    });
}

test('a broadcast reaches every stream once', async (t) => {
    const hub = await startHub();
    t.after(() => hub.stop());
    const streams = [];
    for (const [index, source] of allSources.entries()) {
        const topics = index === 0 ? [] : ['broadcast', `broadcast ${index}`];
        streams.push(await openFor(t, source, hub.events(topics)));
    }
    const reply = await hub.publish({ data: 'to all', type: 'message', id: 'b-1' });
    assert.equal(reply.receivers, streams.length);
    await hub.publish({ data: 'again' });
    for (const stream of streams) {
        assert.deepEqual(dataOf(await stream.untilEvents(2)), ['to all', 'again']);
    }
});

test('topics of all kinds', async (t) => {
    const topics = ['a b', 'a+b', 'a%20b', 'a&b=c', '/a/../b', 'ä\u2028\u{1f600}', '\n', '0',
        'x'.repeat(1024)];
    const streams = [];
    for (const topic of topics) {
        streams.push(await openFor(t, curlSources[0], hub.events(topic)));
    }
    for (const topic of topics) {
        const reply = await hub.publish({ topic, data: topic });
        assert.equal(reply.receivers, 1, JSON.stringify(topic));
    }
    for (const [index, stream] of streams.entries()) {
        assert.deepEqual(dataOf(await stream.untilEvents(1)), [topics[index]]);
    }
});

test('all clients see one order, with several publishers at the same time', async (t) => {
    const publishers = ['first', 'second', 'third'];
    const count = 500;
    const streams = [];
    for (const source of [...eventSources, fetchSource, curlSources[0]]) {
        streams.push(await openFor(t, source, hub.events('order')));
    }

    async function publishAll(publisher, index) {
        for (let number = index; number < count; number += publishers.length) {
            const event = { topic: 'order', id: String(number), data: `${publisher} ${number}` };
            assert.equal((await hub.publish(event)).status, 202);
        }
    }

    await Promise.all(publishers.map(publishAll));
    const orders = [];
    for (const stream of streams) {
        orders.push(dataOf(await stream.untilEvents(count)));
    }
    orders.forEach((order) => assert.deepEqual(order, orders[0]));
    for (const [index, publisher] of publishers.entries()) {
        const own = orders[0].filter((data) => data.startsWith(publisher));
        const expected = Array.from({ length: Math.ceil((count - index) / publishers.length) },
            (_, step) => `${publisher} ${index + step * publishers.length}`);
        assert.deepEqual(own, expected);
    }
});

test('complete ends the streams of its topic, and no others', async (t) => {
    const ending = await openFor(t, fetchSource, hub.events(['ending', 'shared']));
    const other = await openFor(t, fetchSource, hub.events(['other', 'shared']));
    await hub.publish({ topic: 'ending', data: 'last' });
    assert.deepEqual(await hub.complete('ending'), { status: 202, completed: 1 });
    await ending.untilEnd();
    const reply = await hub.publish({ topic: 'shared', data: 'only one is left' });
    assert.equal(reply.receivers, 1);
    await other.untilEvents(1);
    assert.deepEqual(dataOf(ending.events), ['last']);
    assert.deepEqual([ending.errors, other.errors, other.ended], [[], [], false]);
    assert.deepEqual(await hub.complete('ending'), { status: 202, completed: 0 });
});

test('lines of standard input are broadcast', async (t) => {
    const reader = await startHub(['--stdin'], { stdin: 'pipe' });
    t.after(() => reader.stop());
    const stream = await openFor(t, eventSources[0], reader.events('any'));
    reader.child.stdin.write('one\ntwo\r\n\n  four \ufffd\u{1f600}\nfi');
    await stream.untilEvents(4);
    reader.child.stdin.write(Buffer.from('ve \xff\nunended', 'latin1'));
    reader.child.stdin.end();
    const expected = ['one', 'two', '', '  four \ufffd\u{1f600}', 'five \ufffd', 'unended'];
    assert.deepEqual(dataOf(await stream.untilEvents(6)), expected);
});

test('a line of standard input that is too long for an event is split between characters', async (t) => {
    const reader = await startHub(['--stdin', '--queue-bytes', '2000'], { stdin: 'pipe' });
    t.after(() => reader.stop());
    const stream = await openFor(t, eventSources[0], reader.events('any'));
    const line = 'aé豆\u{1f600}\rb'.repeat(1000);
    reader.child.stdin.end(`${line}\nthe end\n`);
    await until(() => stream.events.at(-1)?.data === 'the end', 'the last line');
    const pieces = dataOf(stream.events).slice(0, -1);
    assert.ok(pieces.length > 10);
    assert.equal(pieces.join(''), line.replaceAll('\r', '\n'));
});

for (const events of ['0', '10000']) {
    test(`no line of standard input is lost, however long; a history of ${events} events`, async (t) => {
        const options = ['--stdin', '--history-events', events, '--queue-bytes', '8192'];
        const reader = await startHub(options, { stdin: 'pipe' });
        t.after(() => reader.stop());
        const stream = await openFor(t, eventSources[0], reader.events('any'));
        const lines = Array.from({ length: 300 }, (_, index) => 'x'.repeat(7950 + index));
        reader.child.stdin.end(`${[...lines, 'y'.repeat(100000)].join('\n')}\nthe end\n`);
        await until(() => stream.events.at(-1)?.data === 'the end', 'the last line', () => reader.stderr);
        const pieces = dataOf(stream.events).slice(0, -1);
        assert.equal(pieces.join(''), `${lines.join('')}${'y'.repeat(100000)}`);
        // Each line is split only where it must be.
        assert.ok(pieces.length >= lines.length && pieces.length < 2 * lines.length + 20, `${pieces.length}`);
        assert.deepEqual([stream.opens, stream.errors], [1, []]);
    });
}

test('a line of 3,000,000 bytes arrives completely, in pieces', async (t) => {
    const reader = await startHub(['--stdin'], { stdin: 'pipe' });
    t.after(() => reader.stop());
    const stream = await openFor(t, eventSources[0], reader.events('any'));
    reader.child.stdin.end(`${'0123456789'.repeat(300000)}\nthe end\n`);
    await until(() => stream.events.at(-1)?.data === 'the end', 'the last line', () => reader.stderr);
    assert.equal(dataOf(stream.events).slice(0, -1).join('').length, 3000000);
});

test('publishing and completing need the token', async (t) => {
    const guarded = await startHub(['--token', 'open-sesame']);
    t.after(() => guarded.stop());
    const stream = await openFor(t, eventSources[0], guarded.events('a'));
    for (const authorization of [undefined, 'Bearer open-sesam', 'Bearer open-sesames', 'Basic open']) {
        const headers = authorization === undefined ? {} : { authorization };
        const publishing = await guarded.publish({ topic: 'a', data: 'x' }, headers);
        const completing = await request(`${guarded.url}complete`, { method: 'POST', headers });
        assert.deepEqual([publishing.status, completing.status], [401, 401]);
        assert.equal(completing.headers['www-authenticate'], 'Bearer');
    }
    const headers = { authorization: 'Bearer open-sesame' };
    const accepted = await guarded.publish({ topic: 'a', data: 'secret' }, headers);
    assert.equal(accepted.status, 202);
    assert.deepEqual(dataOf(await stream.untilEvents(1)), ['secret']);
});

test('heartbeats keep a silent stream alive, and no client notices', async (t) => {
    const lively = await startHub(['--heartbeat', '20']);
    t.after(() => lively.stop());
    const streams = [];
    for (const source of allSources) {
        streams.push(await openFor(t, source, lively.events('a')));
    }
    const witness = await openFor(t, curlSources[0], lively.events('a'));
    await lively.publish({ topic: 'a', id: '1', data: 'before' });
    const heard = witness.parser.comments.length;
    await until(() => witness.parser.comments.length >= heard + 10, 'ten heartbeats');
    assert.ok(witness.parser.comments.every((comment) => comment === ''));
    await lively.publish({ topic: 'a', data: 'after' });
    for (const stream of [...streams, witness]) {
        assert.deepEqual(dataOf(await stream.untilEvents(2)), ['before', 'after']);
        assert.deepEqual([stream.opens, stream.errors], [1, []]);
    }
});

test('the head of a stream, in HTTP/1.1 and HTTP/1.0', async (t) => {
    const [modern, old] = [await openFor(t, curlSources[0], hub.events('a')),
        await openFor(t, curlSources[1], hub.events('a'))];
    for (const { head } of [modern, old]) {
        assert.match(head, /^HTTP\/1\.[01] 200 OK\r\n/);
        assert.match(head, /^content-type: text\/event-stream\r?$/im);
        assert.match(head, /^cache-control: no-cache, no-transform\r?$/im);
        assert.match(head, /^x-accel-buffering: no\r?$/im);
        assert.doesNotMatch(head, /content-length/i);
    }
    assert.match(modern.head, /^transfer-encoding: chunked\r?$/im);
    assert.doesNotMatch(old.head, /transfer-encoding/i);
});

test('a last event id of any kind gives a stream', async (t) => {
    const before = (await hub.stats()).gaps;
    const ids = ['nobody had it', 'a b', 'é\u2028\u{1f600}', 'x'.repeat(4000)];
    for (const id of ids) {
        const stream = openCurl(hub.events('a'), ['-H', `Last-Event-ID: ${id}`]);
        t.after(() => stream.close());
        await stream.untilOpen();
        assert.match(stream.head, /^HTTP\/1\.1 200 /);
    }
    assert.equal((await hub.stats()).gaps, before + ids.length);
});

test('a parameter that a proxy adds is ignored', async (t) => {
    const added = 'utm_source=mail&broken=%zz&topik=b&flag&=';
    const stream = openCurl(`${hub.events('added')}&${added}`, []);
    t.after(() => stream.close());
    await stream.untilOpen();
    const published = await request(`${hub.url}publish?${added}&topic=added`, { method: 'POST', body: 'heard' });
    assert.deepEqual([published.status, JSON.parse(published.text).receivers], [202, 1]);
    assert.deepEqual(dataOf(await stream.untilEvents(1)), ['heard']);
    const completed = await request(`${hub.url}complete?type=a&${added}&topic=added`, { method: 'POST' });
    assert.deepEqual([completed.status, JSON.parse(completed.text).completed], [202, 1]);
});

test('the answer to HEAD is the head of the answer to GET', async () => {
    for (const path of ['', 'events?topic=a', 'watch', 'topics', 'stats', 'metrics']) {
        const { status, headers, text } = await request(hub.url + path, { method: 'HEAD' });
        assert.deepEqual([status, text], [200, ''], path);
        const type = { '': 'text/html; charset=utf-8', 'events?topic=a': 'text/event-stream',
            watch: 'text/event-stream', metrics: 'text/plain; version=0.0.4; charset=utf-8' };
        assert.equal(headers['content-type'], type[path] ?? 'application/json', path);
    }
    assert.equal((await request(`${hub.url}publish`, { method: 'HEAD' })).status, 405);
});

test('curl that expects 100-continue receives it', async (t) => {
    const peer = await Peer.connect(hub.port);
    t.after(() => peer.close());
    peer.send('POST /publish?topic=a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-Continue\r\n'
        + 'Content-Length: 5\r\n\r\n');
    await peer.untilReceived('HTTP/1.1 100 Continue\r\n\r\n');
    peer.send('hello');
    await peer.untilReceived('HTTP/1.1 202 Accepted\r\n');
    const other = { method: 'POST', body: 'x', headers: { expect: 'a miracle' } };
    assert.equal((await request(`${hub.url}publish?topic=a`, other)).status, 417);
});

const refusals = [
    ['GET', '', 'events?topic=', 400],
    ['GET', '', 'events?topic=%zz', 400],
    ['GET', '', `events?topic=${'x'.repeat(1025)}`, 400],
    ['GET', '', 'nothing', 404],
    ['POST', '', 'events', 405],
    ['GET', '', 'publish', 405],
    ['DELETE', '', 'publish', 405],
    ['POST', 'x', 'publish?topic=', 400],
    ['POST', 'x', 'publish?topic=a&topic=b', 400],
    ['POST', 'x', 'publish?topic=a%00b', 400],
    ['GET', '', 'events?topic=a%00b', 400],
    ['POST', '', 'complete?topic=a%00b', 400],
    ['POST', 'x', 'publish?retry=0', 400],
    ['POST', 'x', 'publish?retry=1e3', 400],
    ['POST', 'x', 'publish?retry=%EF%BC%91', 400],
];

for (const [method, body, target, status] of refusals) {
    test(`${method} ${target.slice(0, 40)} is refused`, async () => {
        const reply = await request(hub.url + target, { method, body });
        assert.equal(reply.status, status);
        assert.ok(JSON.parse(reply.text).error.length > 0);
    });
}

test('a client that does not accept a stream is refused with 406', async () => {
    const headers = { accept: 'text/html, application/json;q=0.5' };
    const reply = await request(hub.events('a'), { headers });
    assert.equal(reply.status, 406);
});
