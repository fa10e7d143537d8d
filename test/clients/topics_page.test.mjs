// SPDX-License-Identifier: MIT
// The page for a newcomer: topics that appear by themselves, every type, the bytes of the stream.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { until } from './hub.mjs';
import { openPage, setUp, shownEvents, untilShown, untilTopics } from './page.mjs';

const WIDE = { viewport: { width: 1280, height: 900 } };
const PHONE = { viewport: { width: 360, height: 780 } };

/** The bytes that the page shows, oldest first: of events, and of lines that belong to no event. */
function shownRaw(page, rows) {
    return page.$$eval(`#events > li.${rows} .raw`, (blocks) => blocks.reverse().map((block) => block.textContent));
}

test('an event of any topic and type appears', async (t) => {
    const scene = await setUp(t);
    const { hub, proxy, page, complaints } = scene;
    await openPage(scene);
    assert.ok(await page.locator('#empty').isVisible());
    assert.equal(await page.textContent('#publish-command'), `curl -d hello '${proxy.url}publish?topic=a'`);
    const type = '<b>storm</b>';
    const { id } = await hub.publish({ topic: 'sea & "sky"', type, data: 'one\ntwo' });
    assert.deepEqual(await untilShown(page, 1), [{ type, id, data: 'one\ntwo' }]);
    assert.equal(await page.textContent('#events .topic'), 'in sea & "sky"');
    assert.equal(await page.locator('#empty').isVisible(), false);
    assert.deepEqual(await shownRaw(page, 'event'),
        [`: topic "sea & \\"sky\\""\nevent: ${type}\ndata: one\ndata: two\nid: ${id}`]);
    await hub.publish({ data: 'to all' });
    await untilShown(page, 2);
    assert.equal(await page.textContent('#events li:first-child .topic'), 'to everyone');
    await untilTopics(page, [{ topic: 'sea & "sky"', subscribers: '0 subscribers', followed: false }]);
    assert.deepEqual(complaints, []);
});

test('the command that the page shows publishes', async (t) => {
    const scene = await setUp(t);
    const { page } = scene;
    await openPage(scene);
    const command = await page.textContent('#publish-command');
    // Not execFileSync, because the proxy runs in this process.
    await promisify(execFile)('sh', ['-c', command]);
    const [{ data }] = await untilShown(page, 1);
    assert.equal(data, 'hello');
});

test('a click follows a topic, and another one everything again', async (t) => {
    const scene = await setUp(t);
    const { hub, page } = scene;
    await openPage(scene);
    for (const topic of ['b', 'a, with a comma']) {
        await hub.publish({ topic, data: `first of ${topic}` });
    }
    await untilShown(page, 2);
    await page.click('#topic-list button[data-topic="a, with a comma"]');
    await until(async () => (await hub.stats()).emitters === 1, 'the stream of the topic');
    await page.waitForSelector('#state[data-state="open"]');
    await untilTopics(page, [
        { topic: 'a, with a comma', subscribers: '1 subscriber', followed: true },
        { topic: 'b', subscribers: '0 subscribers', followed: false },
    ]);
    assert.equal(new URL(page.url()).hash, '#topic=a%2C%20with%20a%20comma');
    assert.equal(await page.inputValue('#publish-form [name=topic]'), 'a, with a comma');
    await hub.publish({ topic: 'b', data: 'not followed' });
    await hub.publish({ topic: 'a, with a comma', data: 'followed' });
    assert.deepEqual((await untilShown(page, 3)).map(({ data }) => data).slice(2), ['followed']);

    await page.click('#everything');
    await until(async () => (await hub.stats()).watchers === 1, 'the stream of everything');
    await page.waitForSelector('#state[data-state="open"]');
    assert.equal(new URL(page.url()).hash, '');
    await hub.publish({ topic: 'b', data: 'followed again' });
    assert.equal((await untilShown(page, 4))[3].data, 'followed again');

    await page.fill('#followed', 'b, c');
    await page.keyboard.press('Enter');
    await until(async () => (await hub.topics()).c?.subscribers === 1, 'a topic that is new');
    assert.equal(new URL(page.url()).hash, '#topic=b&topic=c');
});

test('the list keeps the focus while topics come and go', async (t) => {
    const scene = await setUp(t, ['--history-age', '2000']);
    const { hub, page } = scene;
    await openPage(scene);
    await hub.publish({ topic: 'b', data: 'x' });
    const button = page.locator('#topic-list button[data-topic="b"]');
    await button.waitFor();
    await button.focus();
    await hub.publish({ topic: 'a', data: 'x' });
    await page.waitForSelector('#topic-list button[data-topic="a"]');
    assert.equal(await page.evaluate(() => document.activeElement.dataset.topic), 'b');
    await untilTopics(page, []);
});

test('a wrong list of topics breaks nothing', async (t) => {
    const scene = await setUp(t);
    const { hub, page, complaints } = scene;
    const answers = ['null', '[]', 'no JSON', '{"topics": 3}', '{"topics": [null, 1, {"topic": 5}, "x"]}',
        '{"topics": [{"topic": "<b>x</b>", "subscribers": "many", "unused_ms": -1e300}]}'];
    let asked = 0;
    await page.route('**/topics', (route) => {
        route.fulfill({ contentType: 'application/json', body: answers[asked % answers.length] });
        asked += 1;
    });
    await openPage(scene);
    await until(() => asked > answers.length, 'every answer to be asked for');
    assert.equal(await page.locator('#topic-list b').count(), 0);
    await page.unroute('**/topics');
    await hub.publish({ topic: 'a', data: 'x' });
    await untilTopics(page, [{ topic: 'a', subscribers: '0 subscribers', followed: false }]);
    assert.deepEqual(complaints, []);
});

for (const [name, look, beside] of [['wide', WIDE, true], ['on a phone', PHONE, false]]) {
    test(`the raw stream ${beside ? 'beside' : 'below'} the parsed events: ${name}`, async (t) => {
        const scene = await setUp(t, ['--heartbeat', '300'], look);
        const { hub, page } = scene;
        await openPage(scene, '#topic=a');
        const { id } = await hub.publish({ topic: 'a', type: 'x', data: 'y'.repeat(300) });
        await untilShown(page, 1);
        const raw = page.locator('#events .event .raw');
        assert.equal(await raw.isVisible(), beside);
        if (!beside) {
            await page.click('#raw-button');
        }
        assert.equal(await page.getAttribute('#raw-button', 'aria-pressed'), 'true');
        const [left, right] = [await page.locator('#events .event .parsed').boundingBox(), await raw.boundingBox()];
        const isThere = beside ? right.x >= left.x + left.width : right.y >= left.y + left.height;
        assert.ok(isThere, JSON.stringify([left, right]));
        assert.deepEqual(await shownRaw(page, 'event'), [`event: x\ndata: ${'y'.repeat(300)}\nid: ${id}`]);
        await until(async () => (await shownRaw(page, 'wire')).includes(':'), 'a heartbeat');
        assert.equal((await shownRaw(page, 'wire')).filter((line) => line === 'retry: 2000').length, 1);
        const width = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(width <= look.viewport.width, `${width} is too wide`);
        await page.click('#raw-button');
        assert.equal(await raw.isVisible(), false);
        assert.equal(await page.locator('#events .wire').first().isVisible(), false);
        assert.equal((await shownEvents(page)).length, 1);
    });
}

/** Where the focus is, and whether it is visible. */
function focused(page) {
    return page.evaluate(() => {
        const element = document.activeElement;
        // Between the last control and the first, the focus is on the page itself.
        if (element === document.body) {
            return { name: 'page', visible: true };
        }
        const { outlineStyle, outlineWidth } = getComputedStyle(element);
        return {
            name: element.dataset.topic ?? (element.id || element.name || element.textContent.trim()),
            visible: outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2,
        };
    });
}

/** Presses Tab until the focus is on `name`. */
async function tabTo(page, name) {
    const seen = [];
    while (seen.at(-1) !== name) {
        await page.keyboard.press('Tab');
        const { name: found, visible } = await focused(page);
        assert.ok(visible, `the focus on ${found} cannot be seen`);
        seen.push(found);
        assert.ok(seen.length < 60, `${name} cannot be reached: ${seen}`);
    }
    return seen;
}

for (const colorScheme of ['light', 'dark']) {
    test(`the page works by the keyboard alone: ${colorScheme}`, async (t) => {
        const scene = await setUp(t, [], { ...WIDE, colorScheme });
        const { hub, page } = scene;
        await openPage(scene);
        await hub.publish({ topic: 'a', data: 'x' });
        await page.waitForSelector('#topic-list button[data-topic="a"]');
        const seen = await tabTo(page, 'a');
        await page.keyboard.press('Enter');
        await until(async () => (await hub.topics()).a.subscribers === 1, 'the topic to be followed');
        await page.waitForSelector('#state[data-state="open"]');
        seen.push(...await tabTo(page, 'raw-button'));
        await page.keyboard.press('Space');
        assert.equal(await page.getAttribute('#raw-button', 'aria-pressed'), 'false');
        seen.push(...await tabTo(page, 'type'));
        await page.keyboard.type('typed');
        await page.keyboard.press('Enter');
        const events = await untilShown(page, 2);
        assert.equal(events[1].type, 'typed');
        seen.push(...await tabTo(page, 'a'));
        const controls = await page.$$eval('button, input, textarea, summary', (elements) => elements
            .filter((element) => element.checkVisibility())
            .map((element) => element.dataset.topic ?? (element.id || element.name || element.textContent.trim())));
        assert.deepEqual(controls.filter((name) => !seen.includes(name)), []);
    });

    test(`the text has enough contrast: ${colorScheme}`, async (t) => {
        const scene = await setUp(t, [], { ...WIDE, colorScheme });
        const { hub, page } = scene;
        await openPage(scene);
        for (const type of ['update', 'alarm', 'note', 'gap', 'replay', 'farewell']) {
            await hub.publish({ topic: 'a', type, data: 'x' });
        }
        await untilShown(page, 3);
        await page.waitForSelector('#topic-list button[data-topic="a"]');
        await page.click('#publish-form button.primary');
        await page.waitForSelector('#publish-result[data-outcome="ok"] strong');
        await page.evaluate(() => document.getAnimations().forEach((animation) => animation.cancel()));
        const poor = await page.evaluate(() => {
            const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
            // Blends the colours as the browser does.
            const paint = (colours) => {
                context.clearRect(0, 0, 1, 1);
                colours.forEach((colour) => {
                    context.fillStyle = colour;
                    context.fillRect(0, 0, 1, 1);
                });
                return context.getImageData(0, 0, 1, 1).data;
            };
            const luminance = ([red, green, blue]) => [red, green, blue].map((value) => value / 255)
                .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
                .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
            const hasText = (element) => [...element.childNodes]
                .some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim() !== '');
            return [...document.body.querySelectorAll('*')].filter((element) => element.checkVisibility()
                && hasText(element)).flatMap((element) => {
                const behind = [];
                for (let one = element; one; one = one.parentElement) {
                    behind.unshift(getComputedStyle(one).backgroundColor);
                }
                const { color } = getComputedStyle(element);
                const [text, ground] = [[...behind, color], behind].map(paint).map(luminance);
                const ratio = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
                const name = element.className || element.id || element.tagName;
                return ratio < 4.5 ? [`${name} ${ratio.toFixed(2)}`] : [];
            });
        });
        assert.deepEqual(poor, []);
    });
}
