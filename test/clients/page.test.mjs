// SPDX-License-Identifier: MIT
// The other parts of the page: gaps, replays, and graphs of the server.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from './hub.mjs';
import { openPage, setUp, shownEvents, untilReconnects, untilShown } from './page.mjs';
import { Peer } from './peer.mjs';

/** The marks between the events, oldest first. */
function shownMarks(page) {
    return page.$$eval('#events > li.mark', (items) => items.reverse().map((item) => ({
        kind: item.dataset.kind,
        text: item.querySelector('span').textContent,
        elements: item.querySelectorAll('span *').length,
    })));
}

function untilMarked(page, count) {
    return until(async () => {
        const marks = await shownMarks(page);
        return marks.length >= count && marks;
    }, `mark number ${count}`);
}

function replayedEvents(page) {
    return page.$$eval('#events > li[data-replayed]', (items) => items.reverse().map((item) => ({
        data: item.querySelector('.data').textContent,
        badge: item.querySelector('.replayed').textContent,
    })));
}

/** Ends the stream, publishes while the page is disconnected, and waits until it reconnects. */
async function publishMeanwhile({ hub, page }, texts) {
    const reconnects = Number(await page.textContent('#reconnects'));
    const { written } = await hub.stats();
    await hub.complete('a');
    const replies = [];
    for (const data of texts) {
        replies.push(await hub.publish({ topic: 'a', data }));
    }
    assert.equal((await hub.stats()).written, written, 'the page was to be away');
    await untilReconnects(page, reconnects + 1);
    await page.waitForSelector('#state[data-state="open"]');
    return replies.map(({ id }) => id);
}

test('the page marks replays, gaps, and the end', async (t) => {
    const scene = await setUp(t, ['--retry', '1000', '--history-events', '4']);
    const { hub, page, complaints } = scene;
    await openPage(scene, '#topic=a');
    await hub.publish({ topic: 'a', data: '1' });
    await untilShown(page, 1);

    const [, last] = await publishMeanwhile(scene, ['2', '3']);
    assert.deepEqual(await untilMarked(page, 1),
        [{ kind: 'replay', text: 'Missed, and sent again: 2', elements: 0 }]);
    assert.deepEqual(await replayedEvents(page), ['2', '3'].map((data) => ({ data, badge: 'replayed' })));
    assert.equal(await page.textContent('#gaps'), '0');

    const ids = await publishMeanwhile(scene, ['4', '5', '6', '7', '8', '9']);
    const [, gap, replay] = await untilMarked(page, 3);
    assert.equal(gap.kind, 'gap');
    assert.equal(gap.text, `Events after ${last} may be missing. Next: ${ids[2]}`);
    assert.deepEqual(replay, { kind: 'replay', text: 'Missed, and sent again: 4', elements: 0 });
    assert.deepEqual((await shownEvents(page)).map(({ data }) => data), ['1', '2', '3', '6', '7', '8', '9']);
    assert.deepEqual((await replayedEvents(page)).map(({ data }) => data), ['2', '3', '6', '7', '8', '9']);
    assert.deepEqual([await page.textContent('#gaps'), await page.textContent('#replayed')], ['1', '6']);

    await hub.publish({ topic: 'a', data: 'live' });
    await untilShown(page, 8);
    assert.equal((await replayedEvents(page)).length, 6);
    hub.child.kill('SIGTERM');
    assert.equal((await untilMarked(page, 4))[3].kind, 'farewell');
    // Here the browser does report the refused connection.
    assert.ok(complaints.every((text) => /ERR_|failed/.test(text)), JSON.stringify(complaints));
});

test('after Disconnect and Connect nothing is missing', async (t) => {
    const scene = await setUp(t);
    const { hub, page } = scene;
    await openPage(scene, '#topic=a');
    await hub.publish({ topic: 'a', data: 'seen' });
    await untilShown(page, 1);
    await page.click('#connect-button');
    await until(async () => (await hub.stats()).emitters === 0, 'the page to leave');
    await hub.publish({ topic: 'a', data: 'meanwhile' });
    await page.click('#connect-button');
    await untilShown(page, 2);
    assert.deepEqual(await replayedEvents(page), [{ data: 'meanwhile', badge: 'replayed' }]);
});

test('a published event with the type of a mark is only text', async (t) => {
    const scene = await setUp(t);
    const { hub, page, complaints } = scene;
    await openPage(scene, '#topic=a');
    const html = '<img src=x onerror="window.wasRun = true"><script>window.wasRun = true</script>';
    await hub.publish({ topic: 'a', data: 'before' });
    for (const data of [html, '', '1e3', '-1', 'NaN', '9'.repeat(30), '0', '\0\n\u2028', '5']) {
        for (const type of ['gap', 'replay', 'farewell']) {
            assert.equal((await hub.publish({ topic: 'a', type, data })).status, 202);
        }
    }
    await hub.publish({ topic: 'a', data: 'after' });
    assert.deepEqual((await untilShown(page, 2)).map(({ data }) => data), ['before', 'after']);
    const marks = await untilMarked(page, 27);
    assert.ok(marks.every(({ elements }) => elements === 0));
    assert.equal(marks[2].text, html);
    assert.equal(await page.evaluate(() => window.wasRun), undefined);
    assert.equal(await page.textContent('#replayed'), '5');
    assert.deepEqual(complaints, []);
});

/** The numbers that the graphs show. */
function shownGraphs(page) {
    return page.$$eval('.graph', (figures) => Object.fromEntries(figures.map((figure) => {
        const part = (name) => figure.querySelector(`.${name}`);
        return [figure.dataset.graph, {
            value: part('value').textContent,
            detail: part('detail').textContent,
            line: part('line').getAttribute('d') ?? 'M0 20',
            bars: part('bars').getAttribute('d') ?? '',
        }];
    })));
}

function untilGraphs(page, condition, what) {
    let graphs;
    return until(async () => {
        graphs = await shownGraphs(page);
        return Object.keys(graphs).length > 0 && condition(graphs) && graphs;
    }, what, () => JSON.stringify(graphs));
}

/** The heights of a line, from 0 at the bottom to 20. */
const heights = (line) => line.slice(1).split('L').map((point) => 20 - Number(point.split(' ')[1]));

/** The heights of the bars. */
const bars = (path) => [...path.matchAll(/v(-?[\d.]+)h/g)].map(([, height]) => -Number(height));

test('the graphs follow the server', async (t) => {
    const scene = await setUp(t, ['--queue-bytes', '2100000', '--overflow', 'drop-oldest', '--stall', '0']);
    const { hub, page, complaints } = scene;
    await openPage(scene, '#topic=elsewhere');
    const before = await untilGraphs(page, ({ clients }) => clients.value === '1', 'the first numbers');
    assert.deepEqual(Object.keys(before), ['clients', 'events', 'queued', 'dropped', 'latency']);
    assert.equal(before.queued.value, '0 B');
    assert.ok(bars(before.latency.bars).every((height) => height === 0));

    const peers = await Promise.all(Array.from({ length: 5 }, () => Peer.openStream(hub.port, 'load')));
    await untilGraphs(page, ({ clients }) => clients.value === '6' && heights(clients.line).at(-1) > 0,
        'six clients');
    peers[0].stopReading();
    const data = Buffer.alloc(500000, 'x');
    await until(async () => {
        await hub.publish({ topic: 'load', data });
        return (await hub.stats()).dropped > 0;
    }, 'a full queue');
    const stats = await hub.stats();
    const moved = await untilGraphs(page, ({ events, queued, dropped, latency }) =>
        [events, queued, dropped].every(({ line }) => Math.max(...heights(line)) > 0)
        && Math.max(...bars(latency.bars)) > 0, 'all to have moved');
    assert.match(moved.queued.value, /^[12](\.\d)? MiB$/);
    assert.ok(moved.events.detail.startsWith(`${stats.published} published`), moved.events.detail);
    assert.ok(moved.dropped.detail.startsWith(`${stats.dropped} in all`), moved.dropped.detail);
    assert.match(moved.latency.value, /^< \d+(\.\d)? (ns|µs|ms|s)$/);

    peers.forEach((peer) => peer.close());
    const after = await untilGraphs(page, ({ clients }) => clients.value === '1', 'the clients to be gone');
    assert.equal(after.queued.value, '0 B');
    assert.ok(Math.max(...heights(after.clients.line)) > heights(after.clients.line).at(-1));
    assert.equal(await page.locator('#stats').isVisible(), false);
    await page.click('summary');
    assert.ok(await page.locator('#stats').isVisible());
    assert.deepEqual(complaints, []);
});

test('wrong numbers break nothing', async (t) => {
    const scene = await setUp(t);
    const { hub, page, complaints } = scene;
    const answers = ['null', '[]', '"text"', '{}', 'not JSON', '7', '{"emitters": "many", "written": null}',
        '{"latency": [null, 1, {"count": "x"}, {"below_ns": -1, "count": -5}], "closed": 3}',
        '{"backlog_bytes": 1e300, "latency": {"length": 9}, "emitters": -4, "uptime_ms": 0}',
        '{"<b>": 1, "nested": {"<i>": {"x": 1e308}}}'];
    let asked = 0;
    await page.route('**/stats', (route) => {
        route.fulfill({ contentType: 'application/json', body: answers[asked % answers.length] });
        asked += 1;
    });
    await openPage(scene, '#topic=a');
    await until(() => asked > answers.length, 'every answer to be asked for');
    for (const { line, bars: path } of Object.values(await shownGraphs(page))) {
        assert.doesNotMatch(`${line}${path}`, /NaN|Infinity|undefined/);
    }
    assert.equal(await page.locator('#stats b, #stats i').count(), 0);
    await page.unroute('**/stats');
    await untilGraphs(page, ({ clients }) => clients.value === '1', 'the true numbers again');
    await hub.publish({ topic: 'a', data: 'still there' });
    await untilShown(page, 1);
    assert.deepEqual(complaints, []);
});

const pictures = {
    'hub-page': { viewport: { width: 1280, height: 900 } },
    'hub-page-dark': { viewport: { width: 1280, height: 900 }, colorScheme: 'dark' },
    'hub-page-360': { viewport: { width: 360, height: 780 } },
};

for (const [name, options] of Object.entries(pictures)) {
    test(`a picture: ${name}`, async (t) => {
        const scene = await setUp(t, ['--retry', '1000', '--history-events', '4'], options);
            const { hub, page, complaints } = scene;
        await openPage(scene, '#topic=a&topic=weather');
        const weather = JSON.stringify({ wind: 'Bft 5', sky: '☁' }, null, 2);
        await hub.publish({ topic: 'weather', type: 'update', id: '2026-41', data: weather });
        await hub.publish({ topic: 'a', type: 'alarm', id: '2026-42', data: 'Sturmwarnung für die Küste' });
        await hub.publish({ id: '2026-43', data: `A long word: ${'x'.repeat(300)}` });
        await hub.publish({ topic: 'a', data: '' });
        await untilShown(page, 4);
        await Promise.all(Array.from({ length: 9 }, () => Peer.openStream(hub.port, 'b')));
        await publishMeanwhile(scene, ['one', 'two', 'three', 'four', 'five']);
        await untilMarked(page, 2);
        await untilGraphs(page, ({ clients }) => clients.value === '10', 'all clients');
        for (let number = 0; number < 100; ++number) {
            await hub.publish({ topic: 'b', data: 'x'.repeat(100 * number) });
        }
        await page.click('#publish-form button.primary');
        await page.waitForSelector('#publish-result[data-outcome="ok"] strong');
        await untilGraphs(page, ({ events }) => Math.max(...heights(events.line)) > 0
            && heights(events.line).at(-1) === 0, 'some seconds');
        const width = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(width <= options.viewport.width, `${width} is too wide`);
        await page.evaluate(() => window.scrollTo(0, 0));
        const path = join(process.env.SSE_ARTEFACTS, `${name}.png`);
        await page.screenshot({ path, fullPage: true, animations: 'disabled' });
        assert.deepEqual(complaints, []);
    });
}
