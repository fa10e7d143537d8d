// SPDX-License-Identifier: MIT
// The payment page in Chromium.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { launchBrowser, openWatchedPage } from './chromium.mjs';
import { startExample, until } from './hub.mjs';
import { startProxy } from './proxy.mjs';

const browser = await launchBrowser();
after(() => browser.close());

async function setUp(t) {
    const directory = mkdtempSync(join(tmpdir(), 'payments-'));
    const options = [join(directory, 'payments.txt'), '1000'];
    const server = await startExample('05_payment_page', ['0', ...options]);
    const { context, page, complaints } = await openWatchedPage(browser);
    t.after(async () => {
        await context.close();
        await server.stop();
        rmSync(directory, { recursive: true });
    });
    return { server, options, page, complaints };
}

const untilStatus = (page, text) => until(async () => await page.textContent('#status') === text, text);
const shownStates = (page) => page.$$eval('#states > li', (items) => items.map((item) => item.textContent));
const shownIds = (page) => page.$$eval('#states > li', (items) => items.map((item) => item.title));

/** Opens the page and pays, and repeats that if the bank was faster than the browser. */
function payInTime(page, url) {
    return until(async () => {
        await page.goto('about:blank');
        await page.goto(url);
        await page.click('#pay');
        await until(async () => (await shownStates(page)).length > 0, 'a state');
        return (await shownStates(page))[0] === 'pending';
    }, 'a browser that is quicker than the bank');
}

test('the result that was published between two connections is shown, once', async (t) => {
    const { server, page, complaints } = await setUp(t);
    const proxy = await startProxy(server.port);
    t.after(() => proxy.stop());
    await payInTime(page, proxy.url);
    await untilStatus(page, 'done');
    assert.deepEqual(await shownStates(page), ['pending', 'authorised', 'paid']);
    const ids = await shownIds(page);
    const [before, resumed] = proxy.streams.slice(-2);
    assert.equal(before.lastEventId, undefined);
    assert.doesNotMatch(before.response.toString(), /paid/);
    assert.equal(resumed.lastEventId, ids[1]);

    await page.reload();
    await untilStatus(page, 'done');
    assert.deepEqual([await shownStates(page), await shownIds(page)], [['paid'], [ids[2]]]);
    // The page itself closes the stream after the result, sometimes before the server has.
    assert.deepEqual(complaints.filter((text) => !text.endsWith('net::ERR_ABORTED')), []);
});

test('the page finds its payment after a restart of the server', async (t) => {
    const { server, options, page } = await setUp(t);
    await payInTime(page, server.url);
    await server.stop();
    await untilStatus(page, 'between two connections');
    const next = await startExample('05_payment_page', [String(server.port), ...options]);
    t.after(() => next.stop());
    await untilStatus(page, 'done');
    const states = await shownStates(page);
    assert.equal(states.at(-1), 'paid');
    assert.equal(states.filter((state) => state === 'paid').length, 1);
    const epochs = (await shownIds(page)).map((id) => id.slice(0, 16));
    assert.notEqual(epochs[0], epochs.at(-1));
});

test('a payment that does not exist', async (t) => {
    const { server, page } = await setUp(t);
    await page.goto(`${server.url}#0`);
    await untilStatus(page, 'refused');
    assert.deepEqual(await shownStates(page), []);
});
