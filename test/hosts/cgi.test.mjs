// SPDX-License-Identifier: MIT
// One process for each stream: lines of files become events, and a client that reconnects misses none of them.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { until } from '../clients/hub.mjs';
import { eventSources, openCurl } from '../clients/sources.mjs';
import { Cgi, fronts, missing, program } from './cgi.mjs';
import { Stream } from './stream.mjs';

const LINE_SIZE_MAX = 65536;

const numbers = (count, from = 0) => Array.from({ length: count }, (_, index) => String(from + index));
const linesOf = (texts) => texts.map((text) => `${text}\n`).join('');

/** A stream that has its place in the file, so that it receives every later line. */
async function openAt(cgi, topic, options) {
    const stream = await Stream.open(cgi, topic, options);
    assert.equal(stream.status, 200);
    await until(() => stream.parser.lastId !== '', 'the first id');
    return stream;
}

async function untilData(stream, expected) {
    await stream.untilEvents(expected.length);
    assert.deepEqual(stream.data, expected);
}

function defineTests(front) {
    let cgi = null;

    before(async () => {
        cgi = await Cgi.start(front);
    });
    after(() => cgi?.stop());

    test('lines are events, whichever program adds them', async (t) => {
        const lines = ['a line', '', ' : data: x', 'Grüße, \u2028豆\u{1f600}\0', 'x'.repeat(LINE_SIZE_MAX - 1),
            'the last'];
        const stream = await openAt(cgi, 'app');
        const curl = openCurl(cgi.events('app'));
        const source = eventSources[0].open(cgi.events('app'), []);
        t.after(() => [curl, source, stream].forEach((client) => client.close()));
        await curl.untilOpen();
        await source.untilOpen();
        cgi.append('app', 'half');
        cgi.append('other', 'not for us\n');
        cgi.append('app', ' a line\n');
        for (const line of lines.slice(0, 3)) {
            await cgi.publish('app', line);
        }
        await stream.untilEvents(4);
        cgi.append('app', linesOf(lines.slice(3)));
        await cgi.publish('app', 'two\nlines\n');
        const expected = ['half a line', ...lines, 'two', 'lines'];
        for (const client of [stream, curl, source]) {
            const events = await client.untilEvents(expected.length);
            assert.deepEqual(events.map(({ data }) => data), expected);
            assert.equal(new Set(events.map(({ id }) => id)).size, expected.length);
        }
        assert.match(curl.head, /^HTTP\/1\.1 200 /);
        assert.match(curl.head, /^content-type: text\/event-stream\r?$/im);
        assert.match(curl.head, /^cache-control: no-cache, no-transform\r?$/im);
    });

    test('lines that are not UTF-8, and lines that are too long', async (t) => {
        const stream = await openAt(cgi, 'odd');
        t.after(() => stream.close());
        cgi.append('odd', Buffer.from('caf\xe9 \xff\n', 'latin1'));
        cgi.append('odd', `${'y'.repeat(2 * LINE_SIZE_MAX + 10)}\nshort\n`);
        const piece = 'y'.repeat(LINE_SIZE_MAX);
        await untilData(stream, ['caf? ?', piece, piece, 'y'.repeat(10), 'short']);
    });

    test('a topic without a file: its first lines arrive', async (t) => {
        const stream = await openAt(cgi, 'new');
        t.after(() => stream.close());
        await cgi.publish('new', 'first');
        await cgi.publish('new', 'second');
        await untilData(stream, ['first', 'second']);
    });

    test('a client that reconnects misses nothing, even without an event and after a rotation', async (t) => {
        writeFileSync(cgi.file('back'), 'before\n');
        const first = await openAt(cgi, 'back');
        first.close();
        cgi.append('back', linesOf(numbers(5)));
        const second = await openAt(cgi, 'back', { lastEventId: first.parser.lastId });
        await untilData(second, numbers(5));
        second.close();
        cgi.append('back', 'without an end');
        cgi.rotate('back');
        cgi.append('back', linesOf(numbers(5, 5)));
        const third = await openAt(cgi, 'back', { lastEventId: second.events[1].id });
        t.after(() => third.close());
        await untilData(third, ['2', '3', '4', 'without an end', ...numbers(5, 5)]);
        cgi.rotate('back');
        cgi.append('back', linesOf(numbers(5, 10)));
        await third.untilEvents(14);
        assert.deepEqual(third.data.slice(9), numbers(5, 10));
        assert.ok(third.events.every(({ type }) => type === 'message'));
    });

    test('clients are notified of lost lines', async (t) => {
        writeFileSync(cgi.file('gap'), linesOf(numbers(5)));
        const first = await openAt(cgi, 'gap');
        t.after(() => first.close());
        const ids = [first.parser.lastId, 'never given', '0-0-0', '-1--1-0', `${'f'.repeat(16)}-0-0`,
            'x'.repeat(200)];
        truncateSync(cgi.file('gap'));
        await first.untilEvents(1);
        cgi.append('gap', linesOf(numbers(20, 5)));
        await first.untilEvents(21);
        assert.deepEqual(first.events.map(({ type }) => type), ['gap', ...Array(20).fill('message')]);
        assert.deepEqual(first.data.slice(1), numbers(20, 5));
        for (const lastEventId of ids) {
            const stream = await openAt(cgi, 'gap', { lastEventId });
            t.after(() => stream.close());
            await until(() => stream.events.length === 1, 'the gap');
            assert.deepEqual(stream.events.map(({ type }) => type), ['gap']);
        }
        cgi.rotate('gap');
        cgi.rotate('gap');
        const last = await openAt(cgi, 'gap', { lastEventId: first.events.at(-1).id });
        t.after(() => last.close());
        await last.untilEvents(1);
        cgi.append('gap', 'x\n');
        await last.untilEvents(2);
        // A client that stayed connected cannot know what the file between the two contained.
        await first.untilEvents(23);
        for (const events of [last.events, first.events.slice(21)]) {
            assert.deepEqual(events.map(({ type, data }) => [type, data]), [['gap', ''], ['message', 'x']]);
        }
    });

    test('a file that is put back is followed, also by a client whose id it does not have', async (t) => {
        writeFileSync(`${cgi.file('restored')}.1`, 'before\n');
        const stream = await openAt(cgi, 'restored', { lastEventId: '1-0-0' });
        t.after(() => stream.close());
        await stream.untilEvents(1);
        renameSync(`${cgi.file('restored')}.1`, cgi.file('restored'));
        await stream.untilEvents(2);
        assert.deepEqual(stream.events.map(({ type, data }) => [type, data]), [['gap', ''], ['message', 'before']]);
    });

    test('twenty clients reconnect again and again, while others write', async () => {
        const count = 60;
        const follow = async (step) => {
            const data = [];
            for (let lastEventId; data.length < count;) {
                const stream = await openAt(cgi, 'busy', { lastEventId });
                opened += 1;
                await until(() => stream.events.length >= Math.min(step, count - data.length), 'events',
                    () => stream.ended ?? '');
                stream.close();
                const events = stream.events.slice(0, step);
                assert.ok(events.every(({ type }) => type === 'message'));
                data.push(...events.map((event) => event.data));
                lastEventId = events.at(-1).id;
            }
            return data;
        };
        let opened = 0;
        const clients = numbers(20).map((_, index) => follow(20 + index % 7));
        await until(() => opened === 20, 'the clients');
        const publishing = numbers(3).map(async (_, writer) => {
            for (const number of numbers(count / 3)) {
                await cgi.publish('busy', `${writer}: ${number}`);
            }
        });
        await Promise.all(publishing);
        const lines = readFileSync(cgi.file('busy'), 'utf8').split('\n').slice(0, -1);
        assert.equal(lines.length, count);
        for (const data of await Promise.all(clients)) {
            assert.deepEqual(data, lines);
        }
        assert.ok(opened > 50, `${opened} streams`);
    });

    test('a disconnect ends the process, without any new line', async () => {
        await cgi.untilProcesses(0);
        const stream = await openAt(cgi, 'silent');
        const curl = openCurl(cgi.events('silent'));
        await curl.untilOpen();
        await cgi.untilProcesses(2);
        stream.close();
        await cgi.untilProcesses(1);
        curl.close();
        await cgi.untilProcesses(0);
    });

    test('a slow client needs no memory', async (t) => {
        const line = 'z'.repeat(1000);
        writeFileSync(cgi.file('slow'), '');
        const stream = await openAt(cgi, 'slow');
        t.after(() => stream.close());
        const [pid] = cgi.processes();
        const memory = () => Number(readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1]) * 4096;
        const before = memory();
        stream.stopReading();
        for (let count = 0; count < 32; count += 1) {
            cgi.append('slow', linesOf(Array(1000).fill(line)));
        }
        const fast = await openAt(cgi, 'slow', { lastEventId: stream.parser.lastId });
        await fast.untilEvents(32000);
        fast.close();
        assert.ok(memory() - before < 8e6, `${memory() - before} bytes`);
        stream.goOnReading();
        await stream.untilEvents(32000);
        assert.ok(stream.events.every(({ data }) => data === line));
    });

    test('bad requests are refused', async () => {
        const topics = ['', '.', '..', '../gap', '%2e%2e/gap', 'gap.log', 'a/b', 'a%00b', '%ff', 'x'.repeat(201)];
        for (const topic of topics) {
            assert.equal((await cgi.request(`events?topic=${topic}`)).status, 400, topic);
            assert.equal((await cgi.request(`publish?topic=${topic}`, { method: 'POST', body: 'x' })).status, 400);
        }
        const refusals = [
            ['GET', 'events', 400], ['GET', 'nothing', 404], ['GET', 'publish?topic=a', 405],
            ['POST', 'events?topic=a', 405, 'x'], ['POST', 'publish', 400, 'x'],
            ['POST', 'publish?topic=a', 400, Buffer.from([0xff])],
            ['POST', 'publish?topic=a', 413, 'x'.repeat(2 ** 20 + 1)],
        ];
        for (const [method, target, status, body] of refusals) {
            const { status: answered, headers } = await cgi.request(target, { method, body });
            assert.equal(answered, status, `${method} ${target}`);
            const allowed = target.startsWith('publish') ? 'POST' : 'GET, HEAD';
            assert.equal(headers.allow, status === 405 ? allowed : undefined);
        }
        for (const headers of [{ Origin: 'https://evil.example' }, { Host: 'evil.example' }]) {
            const publication = { method: 'POST', headers, body: 'x' };
            assert.equal((await cgi.request('publish?topic=a', publication)).status, 403);
            assert.equal((await cgi.request('events?topic=a', { headers })).status, 403);
        }
    });

    test('HEAD is answered without a stream', async () => {
        const { status, headers, text } = await cgi.request('events?topic=a', { method: 'HEAD' });
        assert.deepEqual([status, headers['content-type'], text], [200, 'text/event-stream', '']);
    });

    test('SIGTERM ends a stream with a final event', async () => {
        await cgi.untilProcesses(0);
        const stream = await openAt(cgi, 'end');
        const [pid] = cgi.processes();
        process.kill(pid, 'SIGTERM');
        await stream.untilEnd();
        assert.equal(stream.ended, 'end');
        stream.parser.end();
        assert.deepEqual(stream.events.map(({ type }) => type), ['final']);
        assert.equal(stream.parser.retries.length, 1);
    });
}

for (const front of Object.keys(fronts)) {
    const reason = missing(front);
    describe(`cgi under ${front}`, { concurrency: 1, skip: reason }, () => {
        if (!reason) {
            defineTests(front);
        }
    });
}

const skip = missing('lighttpd');
test('lighttpd without stream-response-body: nothing is sent before the end', { skip }, async () => {
    const cgi = await Cgi.start('lighttpd', { heartbeatMs: 20, streams: false });
    const stream = new Stream(cgi, 'held');
    await cgi.untilProcesses(1);
    const [pid] = cgi.processes();
    const written = () => Number(readFileSync(`/proc/${pid}/io`, 'latin1').match(/^wchar: (\d+)$/m)[1]);
    const before = await until(written, 'the head');
    cgi.append('held', 'x\n');
    await until(() => written() > before + 20, 'an event and heartbeats');
    assert.equal(stream.status, null);
    process.kill(pid, 'SIGTERM');
    await stream.untilEnd();
    assert.deepEqual(stream.events.map(({ type }) => type), ['message', 'final']);
    await cgi.stop();
});

// RFC 3875 section 4.1.2. nginx passes on such a variable, for example to fcgiwrap.
test('an empty CONTENT_LENGTH means that there is no body, unless it comes in chunks', { skip }, () => {
    const directory = mkdtempSync(join(tmpdir(), 'sse-cgi-'));
    const publish = (more) => spawnSync(program, [directory], { encoding: 'utf8', input: 'x', env: {
        GATEWAY_INTERFACE: 'CGI/1.1', REQUEST_METHOD: 'POST', PATH_INFO: '/publish', QUERY_STRING: 'topic=a',
        ...more } }).stdout;
    assert.match(publish({ CONTENT_LENGTH: '' }), /^Status: 202 /);
    assert.match(publish({ CONTENT_LENGTH: '1', HTTP_TRANSFER_ENCODING: 'chunked' }), /^Status: 202 /);
    assert.match(publish({ CONTENT_LENGTH: '', HTTP_TRANSFER_ENCODING: 'chunked' }), /^Status: 411 /);
    assert.match(publish({ HTTP_TRANSFER_ENCODING: 'chunked' }), /^Status: 411 /);
    assert.equal(readFileSync(join(directory, 'a.log'), 'utf8'), '\nx\n');
    rmSync(directory, { recursive: true });
});
