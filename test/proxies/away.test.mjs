// SPDX-License-Identifier: MIT
// Without a hub, a front answers with an error, which ends an EventSource for good, unless the operator replaces it
// with a stream.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startHaproxy, startNginx } from '../clients/front.mjs';
import { request, until } from '../clients/hub.mjs';
import { startCaddyWithAway, startHaproxyWithAway, startNginxWithAway, startVarnishWithAway } from './fronts.mjs';
import { Scene } from './scene.mjs';
import { startApache, startCaddy, startLighttpdProxy, startNghttpx, startVarnish } from './servers.mjs';

const CLOSED = 2;
const CONNECTING = 0;

const fronts = {
    'nginx, your server is down': {
        status: 502,
        start: (port) => startNginx(`proxy_pass http://127.0.0.1:${port};`),
        startWithAway: startNginxWithAway,
    },
    'haproxy, your server is down': {
        status: 503,
        start: (port) => startHaproxy(port, { more: 'retries 0' }),
        startWithAway: startHaproxyWithAway,
    },
    'Caddy, your server is down': { status: 502, start: (port) => startCaddy(port), startWithAway: startCaddyWithAway },
    'Varnish, your server is down': { status: 503, start: (port) => startVarnish(port), startWithAway: startVarnishWithAway },
    // These fronts cannot answer an error with the status 200.
    'Apache, your server is down': { status: 503, start: (port) => startApache(port) },
    'lighttpd, your server is down': { status: 503, start: (port) => startLighttpdProxy(port) },
    'nghttpx, your server is down': { status: '502 or 503', start: (port) => startNghttpx(port) },
};

async function openBefore(t, start) {
    const scene = await Scene.begin(start);
    t.after(() => scene.end());
    const hub = await scene.startHub(t, ['--retry-range', '10-30']);
    const clients = await scene.openEventSources(t, 'a');
    const { id } = await hub.publish({ topic: 'a', data: 'before' });
    for (const client of clients) {
        await client.untilEvents(1);
    }
    await scene.takeHubAway();
    return { scene, clients, id };
}

for (const [name, { status, start, startWithAway }] of Object.entries(fronts)) {
    test(`${name}: a ${status}, and an EventSource gives up`, async (t) => {
        const { scene, clients } = await openBefore(t, start);
        assert.ok(String(status).includes((await request(scene.front.url)).status));
        for (const client of clients) {
            await until(async () => await client.state() === CLOSED, 'the client to give up');
        }
        assert.deepEqual(clients.at(-1).states, [CONNECTING, CLOSED]);
    });

    if (!startWithAway) {
        continue;
    }
    test(`${name}, but an empty stream for it: an EventSource comes back, with nothing lost`, async (t) => {
        const { scene, clients, id } = await openBefore(t, startWithAway);
        const answer = await request(scene.front.url);
        assert.equal(answer.status, 200);
        assert.match(answer.headers['content-type'], /^text\/event-stream\b/);
        for (const client of clients) {
            await client.untilErrors(4);
        }
        const next = await scene.replaceHub();
        await next.publish({ topic: 'a', id: 'known', data: 'x' });
        await next.publish({ topic: 'a', id, data: 'before' });
        await next.publish({ topic: 'a', data: 'meanwhile' });
        await scene.bringHubBack();
        await scene.untilStreams(clients.length);
        await next.publish({ topic: 'a', data: 'after' });
        for (const client of clients) {
            await client.untilEvents(3);
            assert.deepEqual(client.events.map(({ data }) => data), ['before', 'meanwhile', 'after']);
        }
        assert.ok(clients.at(-1).states.every((state) => state === CONNECTING));
    });
}
