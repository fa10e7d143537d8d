// SPDX-License-Identifier: MIT
// The same tests for every server: requests that must be refused, and requests that must be accepted.
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { after, before, describe, test } from 'node:test';
import { until } from '../clients/hub.mjs';
import { buildsOf, missing, startHost } from './host.mjs';
import { hosts } from './list.mjs';
import { ask, Raw } from './raw.mjs';
import { Stream } from './stream.mjs';

const HOSTS_AT_A_TIME = 2;
const NAME = 'known.example';
const MEBIBYTE = 1024 * 1024;
const STREAM_HEAD = [/content-type: text\/event-stream\r\n/, /cache-control: no-cache, no-transform\r\n/];

function portOf(host) {
    return host.frontServer?.port ?? host.port;
}

/** Header fields, and whether a request with them may act. */
function pages(host) {
    const port = portOf(host);
    const scheme = host.tls ? 'https' : 'http';
    const own = `${scheme}://127.0.0.1:${port}`;
    return [
        [{}, true],
        [{ Origin: own }, true],
        [{ Origin: own, 'Sec-Fetch-Site': 'same-origin' }, true],
        [{ 'Sec-Fetch-Site': 'none' }, true],
        [{ Host: `localhost:${port}`, Origin: `${scheme}://LocalHost:${port}` }, true],
        [{ Host: `${NAME}:${port}`, Origin: `${scheme}://${NAME}:${port}` }, true],
        // FastCGI passes the port of the proxy, which is another one.
        [{ Host: NAME, Origin: `https://${NAME}` }, !host.frontServer],
        [{ Origin: 'https://evil.example' }, false],
        [{ Origin: 'https://evil.example', 'Sec-Fetch-Site': 'cross-site' }, false],
        [{ 'Sec-Fetch-Site': 'cross-site' }, false],
        [{ 'Sec-Fetch-Site': 'same-site' }, false],
        [{ Origin: 'null' }, false],
        [{ Origin: `https://${'x'.repeat(600)}.example` }, false],
        [{ Origin: `${scheme}://127.0.0.1:${port + 1}` }, false],
        [{ Host: `evil.example:${port}` }, false],
        [{ Host: `evil.example:${port}`, Origin: `${scheme}://evil.example:${port}`,
            'Sec-Fetch-Site': 'same-origin' }, false],
    ];
}

function testRequests(entry, build) {
    const it = { host: null };

    before(async () => {
        it.host = await startHost(entry, build, { names: [NAME] });
    });
    after(() => it.host?.remove());

    test('pages of another origin may neither publish nor listen', async () => {
        for (const [headers, mayAct] of pages(it.host)) {
            const what = JSON.stringify(headers);
            const posted = await ask(it.host, { method: 'POST', target: 'publish?topic=a', headers, body: 'x' });
            assert.equal(posted.status, mayAct ? 202 : 403, what);
            const opened = await ask(it.host, { method: 'GET', target: 'events?topic=a', headers });
            assert.equal(opened.status, mayAct ? 200 : 403, what);
        }
    });

    test('HEAD is answered as GET is, without a stream', async () => {
        const answer = await ask(it.host, { method: 'HEAD', target: 'events?topic=a' });
        assert.deepEqual([answer.status, answer.text], [200, '']);
        STREAM_HEAD.forEach((field) => assert.match(answer.head, field));
        for (const [method, target, status] of [['HEAD', 'publish?topic=a', 405], ['GET', 'publish?topic=a', 405],
            ['POST', 'events?topic=a', 405], ['HEAD', 'nothing', 404], ['GET', 'eventsx', 404]]) {
            const body = method === 'POST' ? 'x' : undefined;
            const refused = await ask(it.host, { method, target, body });
            assert.equal(refused.status, status, `${method} ${target}`);
            assert.ok(method !== 'HEAD' || refused.text === '', `${method} ${target}: ${refused.text}`);
            const [, allow = ''] = refused.head.match(/^allow: (.*?)\r?\n/m) ?? [];
            // Apache answers TRACE by itself.
            const names = allow.toUpperCase().split(/, */).filter((name) => name && name !== 'TRACE').sort();
            const allowed = target.startsWith('publish') ? ['POST'] : ['GET', 'HEAD'];
            assert.deepEqual(names, status === 405 ? allowed : [], `${method} ${target}`);
        }
    });
}

/** Answers a request whose client sends the body only after "100 Continue". */
async function expectContinue(host) {
    if (host.http2) {
        const session = http2.connect(host.origin, { ca: host.ca }).on('error', () => {});
        const stream = session.request({ ':method': 'POST', ':path': '/publish?topic=a', expect: '100-continue' });
        let [mayContinue, status] = [false, null];
        stream.on('continue', () => {
            mayContinue = true;
            stream.end('x');
        });
        stream.on('response', (response) => { status = response[':status']; });
        await until(() => status, 'an answer');
        session.destroy();
        return [mayContinue, status];
    }
    const raw = await Raw.connect(host);
    raw.send(`POST /publish?topic=a HTTP/1.1\r\nHost: 127.0.0.1:${portOf(host)}\r\nContent-Length: 1\r\n`
        + 'Expect: 100-continue\r\n\r\n');
    await raw.untilReceived(/\r\n\r\n/);
    const mayContinue = raw.received.startsWith('HTTP/1.1 100 ');
    raw.send('x');
    await raw.untilReceived(/HTTP\/1\.1 [2-5]\d\d\b/);
    raw.close();
    return [mayContinue, Number(raw.received.match(/HTTP\/1\.1 ([2-5]\d\d)\b/)?.[1])];
}

function testBodies(entry, build) {
    const it = { host: null };

    before(async () => {
        it.host = await startHost(entry, build);
    });
    after(() => it.host?.remove());

    if (entry.continues !== false) {
        test('a client that waits for 100 Continue receives it', async () => {
            assert.deepEqual(await expectContinue(it.host), [true, 202]);
        });
    }

    test('an event that does not fit into the queue of a client is refused, and ends no stream', async () => {
        const stream = await Stream.open(it.host, 'size');
        const large = 'x'.repeat(MEBIBYTE - 1000);
        const publish = (body) => ask(it.host, { method: 'POST', target: 'publish?topic=size', body });
        assert.equal((await publish(large)).status, 202);
        for (const size of [MEBIBYTE - 10, MEBIBYTE, 2 * MEBIBYTE]) {
            const { status } = await publish('x'.repeat(size));
            // A server that answers before it has read everything may reset the connection.
            assert.ok(status === 413 || (status === 0 && size > MEBIBYTE), `${status} to ${size} bytes`);
        }
        // Line ends need additional room.
        assert.equal((await publish('\n'.repeat(MEBIBYTE / 4))).status, 413);
        assert.equal((await publish('the last')).status, 202);
        await stream.untilEvents(2);
        assert.deepEqual(stream.data, [large, 'the last']);
        stream.close();
    });

    test('a request with a large header is answered', async () => {
        const headers = { Cookie: `large=${'x'.repeat(7000)}` };
        const posted = await ask(it.host, { method: 'POST', target: 'publish?topic=a', headers, body: 'x' });
        assert.equal(posted.status, 202);
        assert.equal((await ask(it.host, { method: 'GET', target: 'events?topic=a', headers })).status, 200);
    });

    if (!entry.http2) {
        const CHUNKS = '5\r\nhello\r\n0\r\n\r\n';

        test('a body in chunks is an event, or is refused as one without a length', async () => {
            const stream = await Stream.open(it.host, 'chunks');
            const publish = (coding, body, length = null) => ask(it.host, { method: 'POST',
                target: 'publish?topic=chunks', headers: { ...coding, 'Content-Length': length }, body });
            const expected = [];
            for (const [coding, body, data] of [[{ 'Transfer-Encoding': 'chunked' }, CHUNKS, 'hello'],
                [{ 'Transfer-Encoding': 'Chunked' }, CHUNKS, 'hello'], [{}, '', '']]) {
                const { status } = await publish(coding, body);
                assert.ok(status === 202 || status === 411, `${status}`);
                expected.push(...(status === 202 ? [data] : []));
            }
            for (const coding of ['identity', 'gzip, chunked', 'xchunked']) {
                const { status } = await publish({ 'Transfer-Encoding': coding }, CHUNKS);
                assert.ok(status === 400 || status === 411 || status === 501, `${status} to ${coding}`);
            }
            assert.equal((await publish({}, 'the last', '8')).status, 202);
            await stream.untilEvents(expected.length + 1);
            assert.deepEqual(stream.data, [...expected, 'the last']);
            stream.close();
        });

        // RFC 9112 section 6.1: otherwise the server and a proxy may not agree on where the next request begins.
        if (entry.lengths !== false) {
            test('a body in chunks that has a length too is refused, or the last of its connection', async () => {
                const stream = await Stream.open(it.host, 'both');
                const raw = await Raw.connect(it.host);
                raw.send(`POST /publish?topic=both HTTP/1.1\r\nHost: 127.0.0.1:${portOf(it.host)}\r\n`
                    + `Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNKS}`
                    + `GET /nothing HTTP/1.1\r\nHost: 127.0.0.1:${portOf(it.host)}\r\n\r\n`);
                await raw.untilClosed();
                const [status, ...more] = raw.received.match(/(?<=HTTP\/1\.1 )\d+/g) ?? assert.fail(raw.received);
                assert.match(status, /^(202|400|411)$/);
                assert.deepEqual(more, []);
                await it.host.publish('both', 'the last');
                await until(() => stream.data.includes('the last'), 'the last event');
                assert.deepEqual(stream.data, [...(status === '202' ? ['hello'] : []), 'the last']);
                stream.close();
            });
        }

        test('a client of HTTP/1.0 gets a stream without chunks, even if it keeps connections open', async () => {
            for (const more of ['', 'Connection: keep-alive\r\n']) {
                const raw = await Raw.connect(it.host);
                raw.send(`GET /events?topic=old HTTP/1.0\r\nHost: 127.0.0.1:${portOf(it.host)}\r\n${more}\r\n`);
                await raw.untilReceived(/\r\n\r\n:\n/);
                await it.host.publish('old', 'x');
                await raw.untilReceived(/\ndata: x\n/);
                assert.match(raw.received, /\ndata: x\n/);
                const [head] = raw.received.toLowerCase().split('\r\n\r\n');
                assert.doesNotMatch(head, /^(content-length|transfer-encoding|connection: keep-alive)/m);
                raw.close();
            }
        });

        test('an answer does not both keep and close the connection of a client of HTTP/1.0', async () => {
            const raw = await Raw.connect(it.host);
            raw.send(`POST /publish?topic=a HTTP/1.0\r\nHost: 127.0.0.1:${portOf(it.host)}\r\n`
                + 'Connection: keep-alive\r\nContent-Length: 1\r\n\r\nx');
            await raw.untilReceived(/\r\n\r\n/);
            assert.match(raw.received, /^HTTP\/1\.[01] 202\b/);
            assert.ok((raw.received.match(/^connection:/gim) ?? []).length < 2, raw.received);
            raw.close();
        });

        test('a client that wants a tunnel is refused', async () => {
            const raw = await Raw.connect(it.host);
            raw.send(`CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1:${portOf(it.host)}\r\n\r\n`);
            await raw.untilReceived(/^HTTP[^]*?\r\n\r\n/);
            assert.match(raw.received, /^HTTP\/1\.[01] [45]\d\d\b/);
            raw.close();
        });

        test('a kept connection on which a client offers an unknown protocol harms nobody', async () => {
            const host = `Host: 127.0.0.1:${portOf(it.host)}\r\n`;
            const post = `POST /publish?topic=a HTTP/1.1\r\n${host}Content-Length: 1\r\n\r\nx`;
            const offer = `GET /events?topic=a HTTP/1.1\r\n${host}Connection: Upgrade\r\nUpgrade: unknown\r\n\r\n`;
            for (const more of ['', post]) {
                const raw = await Raw.connect(it.host);
                raw.send(post);
                await raw.untilReceived(/^HTTP\/1\.[01] 202\b[^]*\r\n\r\n/);
                raw.send(offer + more);
                // A server may also close the connection after its first answer.
                await raw.untilReceived(/^HTTP[^]*HTTP\/1\.[01] \d|:\n/);
                raw.close();
                const { status } = await ask(it.host, { method: 'POST', target: 'publish?topic=a', body: 'x' });
                assert.equal(status, 202);
            }
        });

        test('a request behind another one is answered, or dropped with the connection', async () => {
            const host = `Host: 127.0.0.1:${portOf(it.host)}\r\n`;
            const post = (body, more = '') => `POST /publish?topic=behind HTTP/1.1\r\n${host}${more}`
                + `Content-Length: ${body.length}\r\n\r\n${body}`;
            const stream = await Stream.open(it.host, 'behind');
            const expected = [];
            // A server that reuses its buffer for the answer might not damage what is behind a large head.
            for (const more of ['', `Cookie: large=${'x'.repeat(600)}\r\n`]) {
                const raw = await Raw.connect(it.host);
                raw.send(post('first', more) + post('second'));
                await raw.untilReceived(/^HTTP[^]*HTTP\/1\.[01] \d/);
                raw.close();
                const statuses = raw.received.match(/(?<=HTTP\/1\.[01] )\d+/g) ?? assert.fail(raw.received);
                assert.ok(statuses.every((status) => status === '202'), raw.received);
                expected.push(...['first', 'second'].slice(0, statuses.length));
            }
            await stream.untilEvents(expected.length);
            assert.deepEqual(stream.data, expected);
            stream.close();
        });

        test('what follows the body of a request for a stream does not keep the server busy', async () => {
            const raw = await Raw.connect(it.host);
            raw.send(`GET /events?topic=a HTTP/1.1\r\nHost: 127.0.0.1:${portOf(it.host)}\r\n`
                + 'Content-Length: 5\r\n\r\nhelloGET /nothing');
            // A server that reads it over and over would never answer.
            await raw.untilReceived(/^HTTP/);
            raw.close();
        });

        if (!entry.front) {
            test('a client that offers HTTP/2 gets a stream', async () => {
                const raw = await Raw.connect(it.host);
                raw.send(`GET /events?topic=offer HTTP/1.1\r\nHost: 127.0.0.1:${portOf(it.host)}\r\n`
                    + 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n'
                    + 'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n');
                await raw.untilReceived(/:\n/);
                await it.host.publish('offer', 'x');
                // In a chunk, or in a frame of HTTP/2 if the server has accepted the offer.
                await raw.untilReceived(/data: x\n/);
                assert.match(raw.received, /data: x\n/);
                raw.close();
            });
        }
    }

    test('a condition in a request does not keep it from its stream', async () => {
        const date = 'Thu, 01 Jan 1970 00:00:00 GMT';
        for (const headers of [{ 'If-None-Match': '*' }, { 'If-Match': '"x"' }, { 'If-Modified-Since': date },
            { 'If-Unmodified-Since': date }, { Range: 'bytes=0-1' }]) {
            const { status } = await ask(it.host, { method: 'GET', target: 'events?topic=a', headers });
            assert.equal(status, 200, JSON.stringify(headers));
        }
    });

    test('an id that no event has is a gap', async () => {
        for (const lastEventId of ['x'.repeat(500), 'x'.repeat(2000), '%00', '0', '\xff']) {
            const stream = await Stream.open(it.host, 'ids', { lastEventId });
            assert.equal(stream.status, 200, lastEventId);
            const [gap] = await stream.untilEvents(1);
            assert.equal(gap.type, 'gap', lastEventId);
            stream.close();
        }
    });

    if (!entry.http2 && entry.lengths !== false) {
        test('a body with two lengths is refused', async () => {
            const publication = { method: 'POST', target: 'publish?topic=length' };
            const stream = await Stream.open(it.host, 'length');
            const posts = [
                [{ 'Content-Length': ['1', '2'] }, 'xy'], [{ 'Content-Length': ['2', '1'] }, 'xy'],
                [{ 'Content-Length': '1, 2' }, 'xy'], [{ 'Content-Length': '-1' }, 'xy'],
                [{ 'Content-Length': '1x' }, 'xy'], [{ 'Content-Length': '+1' }, 'xy'],
                [{ 'Content-Length': `${'0'.repeat(40)}1x` }, 'xy'],
            ];
            for (const [headers, body] of posts) {
                const answer = await ask(it.host, { ...publication, headers, body });
                assert.notEqual(answer.status, 202, JSON.stringify(headers));
            }
            assert.equal((await ask(it.host, { ...publication, body: 'z' })).status, 202);
            await stream.untilEvents(1);
            assert.deepEqual(stream.data, ['z']);
            stream.close();
        });
    }
}

describe('requests', { concurrency: HOSTS_AT_A_TIME }, () => {
    for (const entry of hosts) {
        const reason = missing(entry);
        if (reason) {
            test(entry.name, { skip: reason }, () => {});
        } else {
            describe(entry.name, { concurrency: 1 }, () => {
                testRequests(entry, buildsOf(entry)[0]);
                testBodies(entry, buildsOf(entry)[0]);
            });
        }
    }
});
