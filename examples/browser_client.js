// SPDX-License-Identifier: MIT
// A stream of events in a page. EventSource reads the events, reconnects after the server's `retry` and sends the
// id of its last event. This client handles three cases that EventSource leaves to the page:
//
// - A gap. Events are missing, so the page loads its whole state again.
// - The end. The server has sent everything. EventSource alone would reconnect.
// - A status such as 502, while a server restarts behind a proxy. EventSource alone would give up for good.
//
//     import { follow } from './browser_client.js';
//
//     const stop = follow('/events?topic=prices', {
//         types: ['price'],
//         onEvent: ({ type, data }) => show(JSON.parse(data)),
//         onGap: async () => showAll(await (await fetch('/prices')).json()),
//         onState: (state) => { line.textContent = state; },
//     });
//
// The server names the gap event in `gap_type` of its registry. It reads the last event id with
// sse_http_last_event_id, which knows the parameter `lastEventId`.

const DEFAULTS = {
    types: ['message'], // onEvent is called for these types; not 'open' and not 'error'
    gapType: 'gap',
    endType: 'end', // the type of the event after which no more events come
    withCredentials: false,
    firstDelayMs: 1000, // before the next attempt after a refusal; doubled each time
    longestDelayMs: 30000,
    onEvent: () => {},
    onGap: () => {}, // may return a promise: later events wait for it
    onState: () => {}, // 'open', 'waiting', 'ended', or 'refused' with the status
};

/** Follows a stream until it ends or is refused, or until you call the function that is returned. */
export function follow(url, options) {
    const { types, gapType, endType, withCredentials, firstDelayMs, longestDelayMs, onEvent, onGap, onState } = {
        ...DEFAULTS, ...options,
    };
    let source = null;
    let timer = null;
    let stopped = false;
    let failures = 0;
    let lastEventId = '';
    let work = Promise.resolve();

    /* Handles events one after the other, in the order of the stream. */
    function enqueue(task) {
        work = work.then(() => stopped || task()).catch((error) => console.error(error));
    }

    function stop() {
        stopped = true;
        clearTimeout(timer);
        source?.close();
    }

    function finish(state, status) {
        stop();
        onState(state, status);
    }

    /* A new EventSource sends no Last-Event-ID header. */
    function address() {
        const result = new URL(url, document.baseURI);
        if (lastEventId !== '') {
            result.searchParams.set('lastEventId', lastEventId);
        }
        return result;
    }

    function connect() {
        const listen = (type, take) => source.addEventListener(type, (event) => {
            lastEventId = event.lastEventId;
            enqueue(() => take(event));
        });

        source = new EventSource(address(), { withCredentials });
        source.onopen = () => {
            failures = 0;
            onState('open');
        };
        source.onerror = () => {
            onState('waiting');
            if (source.readyState === EventSource.CLOSED) {
                giveUpOrComeBack();
            }
        };
        types.forEach((type) => listen(type, onEvent));
        listen(gapType, onGap);
        listen(endType, () => finish('ended'));
        // Closes now, or EventSource would reconnect while earlier events are still being handled.
        source.addEventListener(endType, ({ target }) => target.close());
    }

    /* EventSource hides the status, so ask for it. 0: there was no answer. */
    async function askForStatus() {
        const question = new AbortController();
        try {
            const response = await fetch(address(), {
                headers: { Accept: 'text/event-stream' },
                credentials: withCredentials ? 'include' : 'same-origin',
                cache: 'no-store',
                signal: question.signal,
            });
            return response.status;
        } catch {
            return 0;
        } finally {
            // Only the status is needed, so the response is cancelled.
            question.abort();
        }
    }

    async function giveUpOrComeBack() {
        const status = await askForStatus();
        if (stopped) {
            return;
        }
        if (status === 204) {
            finish('ended');
        } else if (status >= 400 && status < 500 && status !== 408 && status !== 429) {
            finish('refused', status);
        } else {
            const delay = Math.min(firstDelayMs * 2 ** failures, longestDelayMs);
            failures += 1;
            // A random delay, so that not all pages reconnect at the same time.
            timer = setTimeout(connect, delay * (0.5 + Math.random() / 2));
        }
    }

    connect();
    return stop;
}
