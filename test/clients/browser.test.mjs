// SPDX-License-Identifier: MIT
// The hub's page in Chromium, and the browser's own EventSource.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { test } from 'node:test';
import { listen } from './chromium.mjs';
import { startHub, until } from './hub.mjs';
import { openPage, setUp, untilReconnects, untilShown } from './page.mjs';
import { Peer } from './peer.mjs';

test('the page shows events exactly', async (t) => {
    const scene = await setUp(t, ['--history-events', '0']);
    const { hub, page, complaints } = scene;
    await openPage(scene, '#topic=a&topic=b%20%26');
    const events = [
        { topic: 'a', type: 'greeting', id: 'g-1', data: 'Hello' },
        { topic: 'b &', data: 'one\r\n  two\rthree\n\n' },
        { topic: 'a', id: 'é…\u{1f600}', data: 'a\u2028b\u0085c\u{1f600}\u{10ffff}\0d\tשלום' },
        { topic: 'a', data: '' },
        { topic: 'a', data: '<b onclick="x">&amp;</b>' },
        { topic: 'a', id: '', data: 'x'.repeat(70000) },
        { id: 'last', data: 'a broadcast' },
    ];
    for (const event of events) {
        assert.equal((await hub.publish(event)).receivers, 1);
    }
    await hub.publish({ topic: 'c', data: 'not for us' });
    await hub.publish({ topic: 'a', type: 'constructor', data: 'any type' });
    await hub.publish({ topic: 'a', data: 'end' });
    assert.deepEqual(await untilShown(page, events.length + 2), [
        { type: 'greeting', id: 'g-1', data: 'Hello' },
        { type: 'message', id: 'g-1', data: 'one\n  two\nthree\n\n' },
        { type: 'message', id: 'é…\u{1f600}', data: 'a\u2028b\u0085c\u{1f600}\u{10ffff}\0d\tשלום' },
        { type: 'message', id: 'é…\u{1f600}', data: '' },
        { type: 'message', id: 'é…\u{1f600}', data: '<b onclick="x">&amp;</b>' },
        { type: 'message', id: '', data: 'x'.repeat(70000) },
        { type: 'message', id: 'last', data: 'a broadcast' },
        { type: 'constructor', id: 'last', data: 'any type' },
        { type: 'message', id: 'last', data: 'end' },
    ]);
    assert.equal(await page.textContent('#last-event-id'), 'last');
    assert.deepEqual(complaints, []);
});

test('the page publishes, ends streams, and reconnects with its last event id', async (t) => {
    const scene = await setUp(t, ['--retry', '50', '--history-events', '0']);
    const { proxy, page, complaints } = scene;
    await openPage(scene, '#topic=room');
    const publish = async (type, id, data) => {
        await page.fill('#publish-form [name=type]', type);
        await page.fill('#publish-form [name=id]', id);
        await page.fill('#publish-form [name=data]', data);
        await page.click('#publish-form button.primary');
    };
    assert.equal(await page.inputValue('#publish-form [name=topic]'), 'room');
    await publish('update', 'p-1 é', 'first line\nsecond line, \u{1f600}');
    await page.waitForSelector('#publish-result[data-outcome="ok"] strong');
    assert.match(await page.textContent('#publish-result'), /Published \(202\).*"receivers": 1/s);
    const first = { type: 'update', id: 'p-1 é', data: 'first line\nsecond line, \u{1f600}' };
    assert.deepEqual(await untilShown(page, 1), [first]);

    await page.click('#complete-button');
    await untilReconnects(page, 1);
    await page.waitForSelector('#state[data-state="open"]');
    await publish('', '', 'after');
    assert.deepEqual(await untilShown(page, 2), [first, { type: 'message', id: 'p-1 é', data: 'after' }]);
    assert.equal(await page.textContent('#reconnects'), '1');

    const [before, resumed] = proxy.streams;
    assert.equal(proxy.streams.length, 2);
    assert.equal(before.lastEventId, undefined);
    assert.equal(resumed.lastEventId, 'p-1 é');
    await proxy.untilEnded(1);
    assert.ok(before.endedWithLastChunk);
    assert.deepEqual(complaints, []);
});

test('the page says what was refused', async (t) => {
    const scene = await setUp(t, ['--token', 'open-sesame']);
    const { page } = scene;
    await openPage(scene, '#topic=a');
    const refusal = () => page.textContent('#publish-result[data-outcome="error"]');
    await page.click('#publish-form button.primary');
    await until(async () => /401/.test(await refusal()), 'the token to be demanded');
    await page.fill('#publish-form [name=token]', 'open-sesame');
    await page.fill('#publish-form [name=id]', 'x');
    await page.fill('#publish-form [name=retry]', '-1');
    await page.click('#publish-form button.primary');
    await until(async () => /400.*retry/s.test(await refusal()), 'the retry to be refused');
    assert.equal(await page.getAttribute('#publish-form [name=retry]', 'aria-invalid'), 'true');
    await page.fill('#publish-form [name=retry]', '');
    await page.click('#publish-form button.primary');
    await page.waitForSelector('#publish-result[data-outcome="ok"] strong');
    assert.equal((await untilShown(page, 1)).length, 1);
});

test('Chromium reports no error when lifetimes end', async (t) => {
    const scene = await setUp(t, ['--lifetime', '200', '--retry', '20']);
    const { hub, proxy, page, complaints } = scene;
    await page.goto(`${proxy.url}#topic=a`);
    await hub.publishUntilHeard({ topic: 'a', id: 'kept', data: 'x' });
    await untilShown(page, 1);
    const before = proxy.streams.length;
    await untilReconnects(page, 5);
    const ended = await proxy.untilEnded(5);
    assert.ok(ended.every((exchange) => exchange.endedWithLastChunk));
    assert.ok(proxy.streams.slice(before).every(({ lastEventId }) => lastEventId === 'kept'));
    assert.deepEqual(complaints, []);
});

test('Chromium reports no error when the hub stops, and the page finds the next one', async (t) => {
    const scene = await setUp(t, ['--retry', '20', '--retry-range', '10-30']);
    const { hub, proxy, page, complaints } = scene;
    const next = await startHub(['--retry', '20']);
    t.after(() => next.stop());
    await openPage(scene, '#topic=a');
    await hub.publish({ topic: 'a', data: 'from the first' });
    await untilShown(page, 1);
    // The next hub listens already, as behind a load balancer.
    proxy.port = next.port;
    await hub.stop();
    await next.publishUntilHeard({ topic: 'a', data: 'from the next' });
    assert.equal((await untilShown(page, 2))[1].data, 'from the next');
    assert.deepEqual(complaints, []);
});

test('Chromium reports an error if the hub is killed', async (t) => {
    // This shows that the tests above would notice an aborted stream.
    const { hub, page, complaints, ...scene } = await setUp(t);
    hub.stop = async () => {};
    await openPage({ page, ...scene });
    await hub.kill();
    await until(() => complaints.some((text) => text.includes('ERR_INCOMPLETE_CHUNKED_ENCODING')
        || text.includes('ERR_CONNECTION_RESET')), 'a complaint', () => JSON.stringify(complaints));
    await page.waitForSelector('#state[data-state="connecting"]');
});

test('the policy of the page permits nothing but the page itself', async (t) => {
    const scene = await setUp(t);
    const { page, proxy, complaints } = scene;
    const response = await page.goto(proxy.url);
    await page.waitForSelector('#state[data-state="open"]');
    const policy = (await response.allHeaders())['content-security-policy'];
    const directives = new Map(policy.split(';').map((directive) => {
        const [name, ...values] = directive.trim().split(/ +/);
        return [name, values];
    }));
    assert.deepEqual(directives.get('default-src'), ["'none'"]);
    assert.deepEqual(directives.get('connect-src'), ["'self'"]);
    assert.deepEqual(directives.get('base-uri'), ["'none'"]);
    assert.deepEqual(directives.get('form-action'), ["'none'"]);
    assert.deepEqual(directives.get('frame-ancestors'), ["'none'"]);
    for (const name of ['script-src', 'style-src']) {
        assert.ok(directives.get(name).length > 0);
        directives.get(name).forEach((source) => assert.match(source, /^'sha256-[A-Za-z0-9+/]{43}='$/));
    }
    assert.doesNotMatch(policy, /unsafe|\*|https?:/);
    assert.deepEqual(complaints, []);
    await page.evaluate(() => {
        const script = document.createElement('script');
        script.textContent = 'window.wasRun = true;';
        document.body.append(script);
    });
    assert.equal(await page.evaluate(() => window.wasRun), undefined);
    await until(() => complaints.some((text) => text.includes('Content Security Policy')), 'a complaint');
});

test('without the token the page says why it cannot follow all topics', async (t) => {
    const scene = await setUp(t, ['--token', 'open-sesame']);
    const { hub, proxy, page } = scene;
    await page.goto(proxy.url);
    await page.waitForSelector('#state[data-state="closed"]');
    assert.match(await page.textContent('#notice'), /401.*Bearer TOKEN.*Type the token/);
    await page.fill('#publish-form [name=token]', 'open-sesame');
    await page.click('#connect-button');
    await page.waitForSelector('#state[data-state="open"]');
    await hub.publish({ topic: 'any', data: 'x' }, { authorization: 'Bearer open-sesame' });
    assert.equal((await untilShown(page, 1)).length, 1);
});

test('a page under a name that the hub does not know receives nothing, and says why', async (t) => {
    const scene = await setUp(t);
    const { hub, proxy, page } = scene;
    const url = proxy.url.replace('127.0.0.1', 'rebound.example');
    await page.goto(url);
    await page.waitForSelector('#state[data-state="closed"]');
    assert.match(await page.textContent('#notice'), /403.*does not know the name in Host/);
    const statuses = await page.evaluate(async () => {
        const paths = ['stats', 'metrics', 'topics', 'watch', 'events?topic=a', 'publish', 'complete'];
        const methodOf = (path) => (/^[pc]/.test(path) ? 'POST' : 'GET');
        const replies = await Promise.all(paths.map((path) => fetch(path, { method: methodOf(path) })));
        return replies.map(({ status }) => status);
    });
    assert.deepEqual([...new Set(statuses)], [403]);

    const named = await startHub(['--name', 'rebound.example']);
    t.after(() => named.stop());
    proxy.port = named.port;
    await page.goto(url);
    await page.waitForSelector('#state[data-state="open"]');
    assert.equal((await hub.stats()).published, 0);
});

/* Pages of other origins */

async function otherOrigin(t) {
    const server = http.createServer((request, response) => {
        response.setHeader('Content-Type', 'text/html');
        response.end('<!DOCTYPE html><link rel="icon" href="data:,"><title>elsewhere</title>');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    return `http://127.0.0.1:${server.address().port}`;
}

function untilLogged(page, count) {
    return until(async () => {
        const log = await page.evaluate(() => window.log);
        return log.length >= count && log;
    }, `entry number ${count}`);
}

test('a page of an origin that --cors permits', async (t) => {
    const origin = await otherOrigin(t);
    const { hub, proxy, page, complaints } = await setUp(t, ['--cors', origin, '--retry', '20']);
    await page.goto(origin);
    await listen(page, hub.events('a', proxy.url));
    await untilLogged(page, 1);
    await hub.publish({ topic: 'a', id: '<1>', data: 'before' });
    await untilLogged(page, 2);
    await hub.complete('a');
    await untilLogged(page, 4);
    await hub.publish({ topic: 'a', id: '<2>', data: 'after' });
    assert.deepEqual(await untilLogged(page, 5), ['open', '<1>: before', 'error 0', 'open', '<2>: after']);
    assert.equal(proxy.streams[1].lastEventId, '<1>');
    assert.deepEqual(complaints, []);
});

test('a preflight is answered', async (t) => {
    const origin = await otherOrigin(t);
    const { hub, proxy, page, complaints } = await setUp(t, ['--cors', origin, '--token', 'open-sesame']);
    await page.goto(origin);
    const statuses = await page.evaluate(async ([events, publish]) => {
        // Chromium sends no preflight for EventSource, but one for fetch, because this id contains bytes that
        // require it.
        const stream = await fetch(events, { headers: { 'Last-Event-ID': '<1>' } });
        const headers = { Authorization: 'Bearer open-sesame' };
        const publication = await fetch(publish, { method: 'POST', headers, body: 'x' });
        return [stream.status, publication.status];
    }, [hub.events('a', proxy.url), `${proxy.url}publish`]);
    assert.deepEqual(statuses, [200, 202]);
    const methods = proxy.exchanges.map(({ requestLine }) => requestLine.split(' ')[0]);
    assert.deepEqual(methods, ['OPTIONS', 'GET', 'OPTIONS', 'POST']);
    assert.equal(proxy.streams[0].lastEventId, '<1>');
    assert.deepEqual(complaints, []);
});

test('a page of an origin that is not permitted receives nothing, and its requests do nothing', async (t) => {
    for (const options of [[], ['--cors', 'https://good.example']]) {
        const origin = await otherOrigin(t);
        const { hub, proxy, page } = await setUp(t, options);
        await page.goto(origin);
        await listen(page, hub.events('a', proxy.url));
        assert.deepEqual(await untilLogged(page, 1), ['error 2']);
        const stream = await Peer.openStream(hub.port, 'a');
        await page.evaluate(async (url) => {
            for (const path of ['publish?topic=a', 'complete', 'stats', 'topics', 'watch']) {
                const method = /^[pc]/.test(path) ? 'POST' : 'GET';
                await fetch(url + path, { method, mode: 'no-cors' }).catch(() => {});
                await fetch(url + path, { method }).catch(() => {});
            }
        }, proxy.url);
        const statuses = proxy.exchanges.map(({ response }) => response.toString('latin1').split(' ')[1]);
        assert.deepEqual([...new Set(statuses)], ['403'], `${statuses}`);
        assert.deepEqual([stream.events, stream.ended], [[], false]);
    }
});
