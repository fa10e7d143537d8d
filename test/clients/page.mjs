// SPDX-License-Identifier: MIT
// Chromium, and the hub's page in it.
import { after } from 'node:test';
import { launchBrowser, openWatchedPage } from './chromium.mjs';
import { startHub, until } from './hub.mjs';
import { closePeers } from './peer.mjs';
import { startProxy } from './proxy.mjs';

const browser = await launchBrowser();
after(() => browser.close());

/** A hub, a proxy that records the traffic, and a page with the errors that the browser reports. */
export async function setUp(t, options = [], look = {}) {
    const hub = await startHub(options);
    const proxy = await startProxy(hub.port);
    const { context, page, complaints } = await openWatchedPage(browser, look);
    t.after(async () => {
        closePeers();
        await context.close();
        await proxy.stop();
        await hub.stop();
    });
    return { hub, proxy, page, complaints };
}

export async function openPage({ page, proxy }, hash = '') {
    await page.goto(proxy.url + hash);
    await page.waitForSelector('#state[data-state="open"]');
}

/** The events that the page shows, oldest first. */
export function shownEvents(page) {
    return page.$$eval('#events > li.event', (items) => items.reverse().map((item) => ({
        type: item.dataset.type,
        id: item.dataset.id,
        data: item.querySelector('.data').textContent,
    })));
}

/** The topics that the page lists, without the first entry. */
export function shownTopics(page) {
    return page.$$eval('#topic-list button[data-topic]', (buttons) => buttons.map((button) => ({
        topic: button.querySelector('.name').textContent,
        subscribers: button.querySelector('.subscribers').textContent,
        followed: button.getAttribute('aria-pressed') === 'true',
    })));
}

export function untilTopics(page, expected) {
    let topics;
    return until(async () => {
        topics = await shownTopics(page);
        return JSON.stringify(topics) === JSON.stringify(expected);
    }, 'these topics', () => JSON.stringify(topics));
}

export function untilShown(page, count) {
    return until(async () => {
        const events = await shownEvents(page);
        return events.length >= count && events;
    }, `event number ${count}`);
}

export function untilReconnects(page, count) {
    const reconnects = async () => Number(await page.textContent('#reconnects'));
    return until(async () => await reconnects() >= count, `reconnect number ${count}`);
}
