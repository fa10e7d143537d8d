// SPDX-License-Identifier: MIT
// The fronts' time limits for silence. Heartbeats keep a stream open, and without them no event is lost either.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startHaproxy, startNginx } from '../clients/front.mjs';
import { until } from '../clients/hub.mjs';
import { Scene } from './scene.mjs';
import { startApache, startLighttpdProxy, startNghttpx, startVarnish, VARNISH_PIPE } from './servers.mjs';

const TESTS_AT_A_TIME = 4;
const HEARTBEAT_MS = 300;
/** Long compared with a heartbeat, even on a busy machine. */
const LONG_MS = 6000;
/** Long compared with a hub's answer, because a late answer is an error, which ends an EventSource. */
const SHORT_MS = 6000;

const limits = {
    'nginx, proxy_read_timeout': (ms) => (port) => startNginx(
        `proxy_pass http://127.0.0.1:${port}; proxy_read_timeout ${ms}ms;`),
    'haproxy, timeout server': (ms) => (port) => startHaproxy(port, { more: `timeout server ${ms}` }),
    'lighttpd, server.max-write-idle': (ms) => (port) => (
        startLighttpdProxy(port, { more: `server.max-write-idle = ${ms / 1000}` })),
    'Varnish, between_bytes_timeout': (ms) => (port) => (
        startVarnish(port, { parameters: [`between_bytes_timeout=${ms / 1000}`] })),
    'Varnish, pipe_timeout': (ms) => (port) => (
        startVarnish(port, { vcl: VARNISH_PIPE, parameters: [`pipe_timeout=${ms / 1000}`] })),
    'nghttpx, backend-read-timeout': (ms) => (port) => (
        startNghttpx(port, { more: `backend-read-timeout=${ms}ms` })),
    'Apache, ProxyTimeout': (ms) => (port) => startApache(port, { more: `ProxyTimeout ${ms / 1000}` }),
};

/* Limits that do not count the silence of a server. */
const others = {
    'haproxy, timeout client': (port) => startHaproxy(port, { more: `timeout client ${SHORT_MS}` }),
    'haproxy, timeout client, HTTP/2': (port) => (
        startHaproxy(port, { more: `timeout client ${SHORT_MS}`, tls: true })),
    'nghttpx, frontend-read-timeout': (port) => (
        startNghttpx(port, { more: `frontend-read-timeout=${SHORT_MS}ms` })),
};

/* Varnish's limit for a whole response. Heartbeats do not extend it. */
const sendTimeout = 'Varnish, send_timeout';
const SEND_TIMEOUT = [`send_timeout=${SHORT_MS / 1000}`];

describe('timeouts', { concurrency: TESTS_AT_A_TIME }, () => {
    for (const [name, startWith] of Object.entries(limits)) {
        test(`${name} longer than the heartbeat: a silent stream stays`, async (t) => {
            const scene = await Scene.begin(startWith(LONG_MS));
            t.after(() => scene.end());
            const hub = await scene.startHub(t, ['--heartbeat', String(HEARTBEAT_MS)]);
            const start = performance.now();
            const [curl] = await scene.openBare('a');
            await until(() => performance.now() - start > 1.5 * LONG_MS && curl.parser.comments.length > 3,
                'more silence than the limit');
            await hub.publish({ topic: 'a', data: 'x' });
            await curl.untilEvents(1);
            assert.equal((await hub.stats()).added, scene.between.streams.length);
            assert.deepEqual([curl.ended, curl.errors], [false, []]);
        });
    }

    for (const [name, start] of Object.entries(others)) {
        test(`${name}: a silent stream stays without heartbeats`, async (t) => {
            const scene = await Scene.begin(start);
            t.after(() => scene.end());
            const hub = await scene.startHub(t, ['--heartbeat', '0']);
            const opened = performance.now();
            const curl = await scene.curl('a');
            await until(() => performance.now() - opened > 2.5 * SHORT_MS, 'more silence than the limit');
            await hub.publish({ topic: 'a', data: 'x' });
            await curl.untilEvents(1);
            assert.deepEqual([curl.ended, curl.errors], [false, []]);
        });
    }

    for (const [name, startWith] of Object.entries(limits)) {
        test(`${name} without heartbeats: the stream ends, and nothing is lost`, async (t) => {
            const scene = await Scene.begin(startWith(SHORT_MS));
            t.after(() => scene.end());
            const hub = await scene.startHub(t, ['--heartbeat', '0']);
            const clients = await scene.openEventSources(t, 'a');
            const published = [];
            const publish = async () => {
                published.push(`number ${published.length}`);
                await hub.publish({ topic: 'a', data: published.at(-1) });
            };
            // A client that has received nothing yet has no last event id, and continues with new events.
            await until(async () => {
                await publish();
                return clients.every((client) => client.events.length > 0);
            }, 'an event at each client',
            () => clients.map(({ events, opens, errors }) => `${events.length}/${opens} ${errors}`));
            for (let round = 0; round < 3; ++round) {
                const opens = clients.map((client) => client.opens);
                await publish();
                for (const [index, client] of clients.entries()) {
                    await client.untilOpen(opens[index] + 1);
                }
            }
            await publish();
            for (const client of clients) {
                await until(() => client.events.at(-1).data === published.at(-1), 'the last event');
                const data = client.events.map((event) => event.data);
                assert.deepEqual(data, published.slice(published.indexOf(data[0])));
                assert.notEqual(await client.state(), 2);
            }
        });
    }

    test(`${sendTimeout}: a stream ends, whatever is sent`, async (t) => {
        const scene = await Scene.begin((port) => startVarnish(port, { parameters: SEND_TIMEOUT }));
        t.after(() => scene.end());
        await scene.startHub(t, ['--heartbeat', '50']);
        const curl = await scene.curl('a');
        await curl.untilEnd();
    });

    test(`${sendTimeout}: a stream that is piped stays`, async (t) => {
        const options = { vcl: VARNISH_PIPE, parameters: SEND_TIMEOUT };
        const scene = await Scene.begin((port) => startVarnish(port, options));
        t.after(() => scene.end());
        const hub = await scene.startHub(t, ['--heartbeat', '50']);
        const start = performance.now();
        const curl = await scene.curl('a');
        await until(() => performance.now() - start > 2.5 * SHORT_MS, 'more than the limit');
        await hub.publish({ topic: 'a', data: 'x' });
        await curl.untilEvents(1);
        assert.deepEqual([curl.ended, curl.errors], [false, []]);
    });
});
