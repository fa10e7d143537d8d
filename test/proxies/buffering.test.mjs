// SPDX-License-Identifier: MIT
// What an operator must not do: have nginx ignore the header that ends its buffering.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startNginx } from '../clients/front.mjs';
import { request, until } from '../clients/hub.mjs';
import { Scene } from './scene.mjs';

const EVENT_SIZE = 1000;

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
        // nginx has one worker: once it has answered this, it has read that.
        await request(`${scene.front.url}stats`);
    }
    t.diagnostic(`the first event arrived when ${published} had been published`);
    assert.ok(published > 1);
    await hub.complete('a');
    await curl.untilEnd();
    assert.equal(curl.events.length, published);
});
