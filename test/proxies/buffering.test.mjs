// SPDX-License-Identifier: MIT
// What an operator must not do: let nginx ignore the header that ends its buffering, or let the others delay
// streams.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startNginx } from '../clients/front.mjs';
import { request, until } from '../clients/hub.mjs';
import { Scene } from './scene.mjs';
import { startCaddy, startLighttpdProxy } from './servers.mjs';

const EVENT_SIZE = 1000;
const EVENTS = 20;

/* Fronts that pass nothing on before the stream ends. */
const holding = {
    'Caddy, encode gzip without Content-Encoding': (port) => (
        startCaddy(port, { more: 'encode gzip', proxy: 'header_down -Content-Encoding' })),
    'lighttpd': (port) => startLighttpdProxy(port, { streams: false }),
};

for (const [name, start] of Object.entries(holding)) {
    test(`${name}: who comes back gets nothing before the end`, async (t) => {
        const scene = await Scene.begin(start);
        t.after(() => scene.end());
        const hub = await scene.startHub(t, ['--heartbeat', '0']);
        const { id } = await hub.publish({ topic: 'a', data: 'known' });
        await hub.publish({ topic: 'a', data: 'replayed '.padEnd(EVENT_SIZE) });
        const curl = scene.openCurl('a', ['--compressed', '-H', `Last-Event-ID: ${id}`]);
        await scene.untilStreams(1);
        for (let number = 1; number <= EVENTS; number += 1) {
            await hub.publish({ topic: 'a', data: `number ${number} ` });
            await until(() => scene.between.streams[0].response.includes(`number ${number} `), 'the event');
            // Long enough for an event to pass.
            assert.equal((await request(`${scene.front.url}stats`)).status, 200);
        }
        assert.deepEqual(curl.events, []);
        await hub.complete('a');
        await curl.untilEnd();
        assert.equal(curl.events.filter(({ type }) => type === 'message').length, 1 + EVENTS);
    });
}

test('nginx, proxy_ignore_headers X-Accel-Buffering: events wait until a buffer is full', async (t) => {
    const scene = await Scene.begin((port) => startNginx(
        `proxy_pass http://127.0.0.1:${port}; proxy_ignore_headers X-Accel-Buffering;`));
    t.after(() => scene.end());
    const hub = await scene.startHub(t, ['--heartbeat', '0']);
    const curl = scene.openCurl('a');
    await scene.untilStreams(1);
    let published = 0;
    const passed = () => scene.between.streams[0].response.toString('latin1').includes(`number ${published} `);
    while (curl.events.length === 0) {
        published += 1;
        assert.ok(published < 1000, 'nothing arrives at all');
        await hub.publish({ topic: 'a', data: `number ${published} `.padEnd(EVENT_SIZE) });
        await until(passed, 'the event on its way to nginx');
        // nginx has one worker. Once it has answered this request, it has read the event.
        await request(`${scene.front.url}stats`);
    }
    t.diagnostic(`the first event arrived when ${published} had been published`);
    assert.ok(published > 1);
    await hub.complete('a');
    await curl.untilEnd();
    assert.equal(curl.events.length, published);
});
