// SPDX-License-Identifier: MIT
// Many tabs of one browser. Over HTTP/1.1 it opens six connections. Over HTTP/2 one connection carries all streams
// that the front permits.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startHaproxy, startNginx } from '../clients/front.mjs';
import { until } from '../clients/hub.mjs';
import { startApache, startCaddy, startNghttpx } from './servers.mjs';
import { Scene } from './scene.mjs';
import { openContext, openTab } from './tab.mjs';

const TABS = 20;
const CONNECTIONS_MAX = 6;

const startNginxFor = (tls) => (port) => startNginx(`proxy_pass http://127.0.0.1:${port};`, { tls });
const startHaproxyFor = (tls) => (port) => startHaproxy(port, { tls, more: 'option abortonclose' });

async function openTabs(t, start) {
    const scene = await Scene.begin(start);
    t.after(() => scene.end());
    const hub = await scene.startHub(t);
    const context = await openContext(t);
    const tabs = await Promise.all(Array.from({ length: TABS }, () => openTab(context, scene.url('a'))));
    return { scene, hub, tabs };
}

const many = {
    'nginx, HTTP/2 and TLS': startNginxFor(true),
    'haproxy, HTTP/2 and TLS': startHaproxyFor(true),
    'Caddy, HTTP/2 and TLS': (port) => startCaddy(port, { tls: true }),
    'nghttpx, HTTP/2 and TLS': (port) => startNghttpx(port, { tls: true }),
};

const few = {
    'nginx, HTTP/1.1': startNginxFor(false),
    'haproxy, HTTP/1.1': startHaproxyFor(false),
};

describe('tabs', { concurrency: 2 }, () => {
    for (const [name, start] of Object.entries(many)) {
        test(`${name}: ${TABS} tabs of one browser all receive an event`, async (t) => {
            const { scene, hub, tabs } = await openTabs(t, start);
            for (const tab of tabs) {
                await tab.untilOpen();
            }
            await scene.untilStreams(TABS);
            await hub.publish({ topic: 'a', data: 'for all' });
            for (const tab of tabs) {
                assert.equal((await tab.untilEvents(1))[0].data, 'for all');
            }
            const protocol = await tabs[0].page.evaluate(async () => {
                await (await fetch('/stats')).text();
                const [entry] = performance.getEntriesByType('resource').filter(({ name: url }) => /stats$/.test(url));
                return entry.nextHopProtocol;
            });
            assert.equal(protocol, 'h2');
        });
    }

    for (const [name, start] of Object.entries(few)) {
        test(`${name}: of ${TABS} tabs of one browser ${CONNECTIONS_MAX} have their stream`, async (t) => {
            const { scene, hub, tabs } = await openTabs(t, start);
            const opened = () => tabs.filter((tab) => tab.opens > 0);
            await until(() => opened().length === CONNECTIONS_MAX, 'the first tabs');
            await hub.publish({ topic: 'a', data: 'for some' });
            for (const tab of opened()) {
                await tab.untilEvents(1);
            }
            // Each tab that closes lets exactly one other in.
            const closed = [];
            for (const [index, tab] of opened().slice(0, 3).entries()) {
                await tab.close();
                closed.push(tab);
                await until(() => opened().length > CONNECTIONS_MAX + index, 'the next tab');
                await scene.untilStreams(CONNECTIONS_MAX);
                assert.equal(opened().length, CONNECTIONS_MAX + closed.length);
            }
            const waiting = tabs.filter((tab) => tab.opens === 0);
            assert.equal(waiting.length, TABS - CONNECTIONS_MAX - closed.length);
            for (const tab of waiting) {
                assert.deepEqual([await tab.state(), tab.events, tab.errors], [0, [], []]);
            }
        });
    }

    const apache = 'Apache, HTTP/2 and TLS';
    test(`${apache}: of ${TABS} tabs of one browser six have their stream, all else waits`, async (t) => {
        const { scene, hub, tabs } = await openTabs(t, (port) => startApache(port, { tls: true }));
        const opened = () => tabs.filter((tab) => tab.opens > 0);
        await until(() => opened().length === CONNECTIONS_MAX, 'the first tabs');
        const [{ page }] = opened();
        await page.evaluate(() => {
            fetch('/stats').then(() => { window.answered = true; });
        });
        await hub.publish({ topic: 'a', data: 'for some' });
        for (const tab of opened()) {
            await tab.untilEvents(1);
        }
        await scene.untilStreams(CONNECTIONS_MAX);
        assert.equal(await page.evaluate(() => window.answered), undefined);
        // The other tabs come first.
        await until(async () => {
            await hub.complete('a');
            return page.evaluate(() => window.answered);
        }, 'the answer');
    });
});
