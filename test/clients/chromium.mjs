// SPDX-License-Identifier: MIT
// Chromium, and pages with a list of the errors that the browser reports.
import { chromium } from 'playwright-core';

export function launchBrowser() {
    return chromium.launch({
        executablePath: process.env.SSE_CHROMIUM,
        args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync',
            '--disable-background-networking', '--disable-component-update', '--no-proxy-server',
            // A foreign name that leads to this machine.
            '--host-resolver-rules=MAP rebound.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'],
    });
}

/** A page and the errors that the browser reports in it. `options` are those of a browser context. */
export async function openWatchedPage(browser, look = {}) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...look });
    const page = await context.newPage();
    const complaints = [];
    page.on('console', (message) => {
        if (['error', 'warning'].includes(message.type())) {
            complaints.push(`${message.type()}: ${message.text()}`);
        }
    });
    page.on('pageerror', (error) => complaints.push(`uncaught: ${error.message}`));
    page.on('requestfailed', (request) => {
        complaints.push(`failed: ${request.url()} ${request.failure()?.errorText}`);
    });
    page.setDefaultTimeout(30000);
    return { context, page, complaints };
}

/** Opens an EventSource in a page, and records its events in `window.log`. */
export function listen(page, url) {
    return page.evaluate((address) => {
        window.log = [];
        const source = new EventSource(address);
        source.addEventListener('open', () => window.log.push('open'));
        source.addEventListener('error', () => window.log.push(`error ${source.readyState}`));
        source.addEventListener('message', (event) => window.log.push(`${event.lastEventId}: ${event.data}`));
    }, url);
}
