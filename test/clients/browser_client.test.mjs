// SPDX-License-Identifier: MIT
// examples/browser_client.js in Chromium, with the events of a hub. A proxy between them answers with a status of
// its own when a test says so.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { launchBrowser, openWatchedPage } from './chromium.mjs';
import { startHub, until } from './hub.mjs';

const script = readFileSync(join(process.env.SSE_ROOT, 'examples/browser_client.js'));
const browser = await launchBrowser();
after(() => browser.close());

/** Passes a request on. Answers 502 without a server. */
function pass(request, response, port) {
    const { method, url: path, headers } = request;
    const upstream = http.request({ host: '127.0.0.1', port, method, path, headers, agent: false }, (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.on('error', () => response.destroy()).pipe(response);
    });
    upstream.on('error', () => (response.headersSent ? response.destroy() : response.writeHead(502).end()));
    response.on('close', () => upstream.destroy());
    upstream.end();
}

/** A page that follows the topic a of a hub. `front.status`: the answer of the proxy instead of the hub's. */
async function setUp(t, hubOptions = ['--retry', '50']) {
    const front = { hub: await startHub(hubOptions), status: 0, streams: 0 };
    const server = http.createServer((request, response) => {
        if (request.url === '/') {
            response.setHeader('Content-Type', 'text/html').end('<!DOCTYPE html><link rel="icon" href="data:,">');
        } else if (request.url === '/browser_client.js') {
            response.setHeader('Content-Type', 'text/javascript').end(script);
        } else {
            front.streams += 1;
            if (front.status) {
                response.writeHead(front.status).end();
            } else {
                pass(request, response, front.hub.port);
            }
        }
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { context, page } = await openWatchedPage(browser);
    t.after(async () => {
        await context.close();
        server.closeAllConnections();
        server.close();
        await front.hub.stop();
    });
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    return Object.assign(front, { page });
}

/** Follows the stream. `log()` returns what happened. */
async function follow(front) {
    await front.page.evaluate(async () => {
        const module = await import('/browser_client.js');
        window.log = [];
        window.stop = module.follow('/events?topic=a', {
            types: ['message', 'news'],
            firstDelayMs: 20,
            longestDelayMs: 100,
            onEvent: ({ type, data }) => window.log.push(`${type} ${data}`),
            onGap: async () => {
                window.log.push('gap');
                await new Promise((resolve) => { setTimeout(resolve, 50); });
                window.log.push('all is loaded');
            },
            onState: (state, status) => window.log.push(status ? `${state} ${status}` : state),
        });
    });
    front.log = () => front.page.evaluate(() => window.log);
    front.untilLog = (line, count = 1) => until(async () => {
        const log = await front.log();
        return log.filter((one) => one === line).length >= count && log;
    }, line, () => JSON.stringify(front.shown));
    return front.untilLog('open');
}

const publish = ({ hub }, data, type) => hub.publish({ topic: 'a', type, data });
const withoutWaiting = (log) => log.filter((line) => line !== 'waiting' && line !== 'replay');

/** Waits for a few more requests. */
function untilAsked(front, more) {
    const count = front.streams + more;
    return until(() => front.streams >= count, `${more} requests`);
}

test('events arrive, and after its retry the client continues a stream that the server has ended', async (t) => {
    const front = await setUp(t);
    await follow(front);
    await publish(front, 'one');
    await publish(front, 'two', 'news');
    await front.untilLog('news two');
    await front.hub.complete('a');
    await front.untilLog('open', 2);
    await publish(front, 'three');
    await front.untilLog('message three');
    assert.deepEqual(await front.log(),
        ['open', 'message one', 'news two', 'waiting', 'open', 'message three']);
});

test('after a status that ends an EventSource the client reconnects, and receives what it missed', async (t) => {
    const front = await setUp(t);
    await follow(front);
    await publish(front, 'one');
    await front.untilLog('message one');
    front.status = 503;
    await front.hub.complete('a');
    await publish(front, 'missed');
    await untilAsked(front, 6);
    front.status = 0;
    const log = await front.untilLog('message missed');
    assert.deepEqual(withoutWaiting(log), ['open', 'message one', 'open', 'message missed']);
});

test('after a restart of the server there is a gap: the state is loaded before the next event', async (t) => {
    const front = await setUp(t);
    await follow(front);
    await publish(front, 'one');
    await front.untilLog('message one');
    await front.hub.stop();
    await untilAsked(front, 3);
    front.hub = await startHub(['--retry', '50']);
    await front.untilLog('gap');
    await front.hub.publishUntilHeard({ topic: 'a', data: 'two' });
    const log = await front.untilLog('message two');
    assert.deepEqual(withoutWaiting(log), ['open', 'message one', 'open', 'gap', 'all is loaded', 'message two']);
});

for (const [what, end, state] of [
    ['an end event', (front) => publish(front, '', 'end'), 'ended'],
    ['204', (front) => { front.status = 204; return front.hub.complete('a'); }, 'ended'],
    ['403', (front) => { front.status = 403; return front.hub.complete('a'); }, 'refused 403'],
]) {
    test(`${what} is the end: the client sends no more requests`, async (t) => {
        const front = await setUp(t);
        await follow(front);
        await publish(front, 'one');
        await front.untilLog('message one');
        await end(front);
        const log = await front.untilLog(state);
        assert.deepEqual(withoutWaiting(log), ['open', 'message one', state]);
        const before = front.streams;
        // Longer than any delay of this client, and than the retry.
        await front.page.evaluate(() => new Promise((resolve) => { setTimeout(resolve, 300); }));
        assert.equal(front.streams, before);
        assert.equal((await front.log()).at(-1), state);
    });
}

test('a page that stops receives nothing more', async (t) => {
    const front = await setUp(t);
    await follow(front);
    await publish(front, 'one');
    await front.untilLog('message one');
    await front.page.evaluate(() => window.stop());
    await until(async () => (await publish(front, 'two')).receivers === 0, 'the page to leave');
    assert.deepEqual(await front.log(), ['open', 'message one']);
});
