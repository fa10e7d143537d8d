// SPDX-License-Identifier: MIT
// EventSource in a tab of Chromium, with the interface of the other clients.
import { after } from 'node:test';
import { launchBrowser } from '../clients/chromium.mjs';
import { Source } from '../clients/sources.mjs';

const browser = await launchBrowser();
after(() => browser.close());

/** Tabs that share their connections, and close with the test. */
export async function openContext(t) {
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    t.after(() => context.close());
    const blank = { contentType: 'text/html', body: '<!DOCTYPE html><link rel="icon" href="data:,">' };
    await context.route('**/blank', (route) => route.fulfill(blank));
    return context;
}

class Tab extends Source {
    /** The values of `readyState` at each error: 0 if the browser reconnects, 2 if it has given up. */
    states = [];

    take({ kind, state, ...event }) {
        if (kind === 'open') {
            this.opens += 1;
        } else if (kind === 'error') {
            this.errors.push('');
            this.states.push(state);
        } else {
            this.events.push(event);
        }
    }
}

/** Opens a stream in its own tab, without waiting for its beginning. */
export async function openTab(context, url, types = []) {
    const tab = new Tab();
    tab.page = await context.newPage();
    await tab.page.exposeFunction('tell', (what) => tab.take(what));
    await tab.page.goto(new URL('blank', url).href);
    await tab.page.evaluate(([address, names]) => {
        const source = new EventSource(address);
        const report = ({ type, data, lastEventId }) => window.tell(data === undefined
            ? { kind: type, state: source.readyState } : { kind: 'event', type, data, id: lastEventId });
        names.forEach((name) => source.addEventListener(name, report));
        window.source = source;
    }, [url, [...new Set(['open', 'error', 'message', ...types])]]);
    tab.state = () => tab.page.evaluate(() => window.source.readyState);
    tab.close = () => tab.page.close();
    return tab;
}
