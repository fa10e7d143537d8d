// SPDX-License-Identifier: MIT
// nginx in front, with the settings that it has by itself: buffering on, whatever HTTP it speaks to the hub.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startNginx } from './front.mjs';
import { encode, startHub, until } from './hub.mjs';
import { startProxy } from './proxy.mjs';
import { curlSources, eventSources, fetchSource, openFor, requestErrorsOf } from './sources.mjs';

const LATENCY_MAX_MS = 100;

function startNginxBefore(upstream, more) {
    return startNginx(`proxy_pass http://127.0.0.1:${upstream};`, { http: more });
}

const settings = {
    'default settings': '',
    'gzip': 'gzip on; gzip_types text/event-stream; gzip_proxied any; gzip_min_length 0;',
};

for (const [name, more] of Object.entries(settings)) {
    // What nginx sends to the hub passes a proxy that keeps it.
    const hub = await startHub(['--retry', '20']);
    const proxy = await startProxy(hub.port);
    const nginx = await startNginxBefore(new URL(proxy.url).port, more);
    after(async () => {
        await nginx.stop();
        await proxy.stop();
        await hub.stop();
    });

    test(`nginx, ${name}: each event arrives within ${LATENCY_MAX_MS} ms`, async (t) => {
        const proxied = await openFor(t, fetchSource, hub.events('a', nginx.url));
        const direct = await openFor(t, fetchSource, hub.events('a'));
        assert.equal(proxied.headers.get('content-encoding'), name === 'gzip' ? 'gzip' : null);
        const latencies = [];
        for (let count = 1; count <= 50; ++count) {
            const start = performance.now();
            const arrival = (stream) => stream.untilEvents(count).then(() => performance.now() - start);
            const published = hub.publish({ topic: 'a', data: `event ${count}` });
            const [late, prompt] = await Promise.all([arrival(proxied), arrival(direct)]);
            await published;
            // If the direct one is late as well, then the machine is busy.
            assert.ok(late <= LATENCY_MAX_MS || prompt > LATENCY_MAX_MS,
                `event ${count} took ${late} ms through nginx, ${prompt} ms without`);
            latencies.push(late);
        }
        t.diagnostic(`the slowest took ${Math.max(...latencies).toFixed(1)} ms`);
        assert.deepEqual(proxied.events, direct.events);
    });

    test(`nginx, ${name}: events of all sizes are whole`, async (t) => {
        const stream = await openFor(t, curlSources[0], hub.events('sizes', nginx.url));
        const texts = ['', 'a\nb', '\u2028\u{1f600}\0', 'x'.repeat(4096), 'y'.repeat(70000),
            'line\n'.repeat(50000)];
        for (const [index, data] of texts.entries()) {
            assert.equal((await hub.publish({ topic: 'sizes', data })).status, 202);
            assert.ok((await stream.untilEvents(index + 1))[index].data === data, `text ${index} is another`);
        }
    });

    for (const source of eventSources) {
        test(`nginx, ${name}: ${source.name} comes back, with its last event id`, async (t) => {
            const topic = `back ${source.name}`;
            const isOurs = ({ requestLine }) => requestLine.includes(encode(topic));
            const url = hub.events(topic, nginx.url);
            const stream = await openFor(t, source, url);
            await hub.publish({ topic, id: 'n-1', data: 'before' });
            await stream.untilEvents(1);
            await hub.complete(topic);
            await stream.untilOpen(2);
            await hub.publish({ topic, id: 'n-2', data: 'after' });
            assert.deepEqual((await stream.untilEvents(2)).map(({ id }) => id), ['n-1', 'n-2']);
            const ids = proxy.streams.filter(isOurs).map(({ lastEventId }) => lastEventId);
            assert.deepEqual(ids, [undefined, 'n-1']);
            assert.deepEqual(stream.errors, ['']);
            assert.deepEqual(requestErrorsOf(url), []);
            assert.deepEqual(nginx.errors(), []);
        });
    }

    test(`nginx, ${name}: fetch and curl see a body that ends without an error`, async (t) => {
        const streams = [];
        for (const source of [fetchSource, ...curlSources]) {
            streams.push(await openFor(t, source, hub.events('end', nginx.url)));
        }
        await hub.publish({ topic: 'end', data: 'x'.repeat(100000) });
        await hub.complete('end');
        for (const stream of streams) {
            await stream.untilEnd();
            assert.equal(stream.events.length, 1);
            assert.deepEqual(stream.errors, []);
            assert.equal(stream.exitCode ?? 0, 0);
        }
    });

    test(`nginx, ${name}: a client that leaves is forgotten`, async (t) => {
        const stream = await openFor(t, fetchSource, hub.events('leaving', nginx.url));
        await until(async () => (await hub.stats()).emitters === 1, 'the hub to forget all the others');
        stream.close();
        await until(async () => (await hub.stats()).emitters === 0, 'the hub to forget it');
    });
}
