// SPDX-License-Identifier: MIT
// The clients, with one interface: each opens a stream and records what it reports.
import { spawn } from 'node:child_process';
import diagnostics from 'node:diagnostics_channel';
import { EventSource as NpmEventSource } from 'eventsource';
import { createParser } from 'eventsource-parser';
import { Agent, EventSource as UndiciEventSource, fetch } from 'undici';
import { until } from './hub.mjs';
import { StrictParser } from './wire.mjs';

const requestErrors = [];
diagnostics.channel('undici:request:error').subscribe(({ request, error }) => {
    requestErrors.push({ url: `${request.origin}${request.path}`, error });
});

/** The failed requests for a stream, even if the client hides them. A closed one counts too. */
export function requestErrorsOf(events) {
    return requestErrors.filter(({ url }) => url === events).map(({ error }) => error);
}

/** Closes the connections. An abort is lost if the object that waits for it was garbage-collected. */
function destroy(agent) {
    agent.destroy().catch(() => {});
}

export class Source {
    events = [];
    opens = 0;
    errors = [];
    ended = false;
    /** The bytes, for clients that show them. */
    chunks = [];

    get body() {
        return Buffer.concat(this.chunks);
    }

    untilOpen(count = 1) {
        return until(() => this.opens >= count, `open number ${count}`, () => this.#describe());
    }

    async untilEvents(count) {
        await until(() => this.events.length >= count, `event number ${count}`, () => this.#describe());
        return this.events;
    }

    untilErrors(count) {
        return until(() => this.errors.length >= count, `error number ${count}`, () => this.#describe());
    }

    untilEnd() {
        return until(() => this.ended, 'the end of the stream', () => this.#describe());
    }

    #describe() {
        const { opens, errors, ended, events } = this;
        return JSON.stringify({ opens, errors, ended, events }).slice(0, 1000);
    }
}

/* The API of browsers: https://html.spec.whatwg.org/multipage/server-sent-events.html */

function openEventSource(makeClient, url, types = [], agentOptions = {}) {
    const source = new Source();
    const agent = new Agent(agentOptions);
    const client = makeClient(url, agent);

    function onEvent(event) {
        if ('data' in event) {
            source.events.push({ type: event.type, data: event.data, id: event.lastEventId });
        } else if (event.type === 'open') {
            source.opens += 1;
        } else {
            source.errors.push(event.message ?? '');
        }
    }

    new Set(['open', 'error', 'message', ...types]).forEach((type) => client.addEventListener(type, onEvent));
    source.close = () => {
        client.close();
        destroy(agent);
    };
    source.state = () => client.readyState;
    return source;
}

function makeNpmEventSource(url, dispatcher) {
    return new NpmEventSource(url, { fetch: (input, init) => fetch(input, { ...init, dispatcher }) });
}

/** With another fetch than undici's. */
export function openWithFetch(fetchOther, url, types) {
    return openEventSource(() => new NpmEventSource(url, { fetch: fetchOther }), url, types);
}

function makeUndiciEventSource(url, dispatcher) {
    return new UndiciEventSource(url, { dispatcher });
}

/* fetch with eventsource-parser, as in chat clients */

async function readFetch(source, url, dispatcher) {
    const response = await fetch(url, { dispatcher, headers: { Accept: 'text/event-stream' } });
    let lastId = '';
    const parser = createParser({
        onEvent({ event, data, id }) {
            lastId = id ?? lastId;
            source.events.push({ type: event ?? 'message', data, id: lastId });
        },
        onError: (error) => source.errors.push(error.message),
    });
    source.headers = response.headers;
    source.opens += 1;
    for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
        parser.feed(text);
    }
    source.ended = true;
}

function openFetch(url, types, agentOptions = {}) {
    const source = new Source();
    const agent = new Agent(agentOptions);
    readFetch(source, url, agent).catch((error) => {
        if (!agent.destroyed) {
            source.errors.push(`${error.message}: ${error.cause?.message}`);
        }
    });
    source.close = () => destroy(agent);
    return source;
}

/* curl, whose bytes the strict parser reads */

export function openCurl(url, options = []) {
    const source = new Source();
    const parser = new StrictParser();
    // -D - shows the head at once, where -i would wait for the body.
    const always = ['-q', '--noproxy', '*', '-sS', '-N', '-D', '-', '--max-time', '100'];
    const child = spawn('curl', [...always, ...options, url], { stdio: ['ignore', 'pipe', 'pipe'] });
    source.parser = parser;
    source.events = parser.events;
    source.head = '';

    function takeBody(chunk) {
        source.chunks.push(chunk);
        if (!options.includes('--raw')) {
            parser.feed(chunk);
        }
    }

    function take(chunk) {
        if (source.opens > 0) {
            takeBody(chunk);
            return;
        }
        const bytes = Buffer.concat([Buffer.from(source.head, 'latin1'), chunk]);
        const end = bytes.indexOf('\r\n\r\n');
        source.head = bytes.subarray(0, end < 0 ? bytes.length : end).toString('latin1');
        if (end >= 0) {
            source.opens = 1;
            takeBody(bytes.subarray(end + 4));
        }
    }

    child.stdout.on('data', (chunk) => {
        try {
            take(chunk);
        } catch (error) {
            source.errors.push(error.message);
        }
    });
    child.stderr.setEncoding('utf8').on('data', (text) => source.errors.push(text));
    child.on('close', (code) => {
        source.ended = true;
        source.exitCode = code;
    });
    source.close = () => child.kill();
    return source;
}

/**
 * `lastEventIds` is what a client reports for four events with the ids 1, none, empty, none. Where it differs from
 * the standard, the client has a known fault.
 */
const STANDARD_IDS = ['1', '1', '', ''];

export const eventSources = [
    {
        name: 'npm eventsource',
        open: (url, types, agentOptions) => openEventSource(makeNpmEventSource, url, types, agentOptions),
        // It loses the id of the previous event when it reports the next one.
        lastEventIds: ['1', '', '', ''],
    },
    {
        name: 'undici',
        open: (url, types, agentOptions) => openEventSource(makeUndiciEventSource, url, types, agentOptions),
        // Version 6 does not treat an empty id as a reset.
        lastEventIds: ['1', '1', '1', '1'],
        ignoresEmptyId: true,
    },
];

export const fetchSource = { name: 'fetch', open: openFetch, lastEventIds: STANDARD_IDS };

export const curlSources = [
    { name: 'curl', open: (url) => openCurl(url), lastEventIds: STANDARD_IDS },
    { name: 'curl --http1.0', open: (url) => openCurl(url, ['--http1.0']), lastEventIds: STANDARD_IDS },
];

export const allSources = [...eventSources, fetchSource, ...curlSources];

/** Opens a stream that closes with its test. */
export async function openFor(test, source, url, types, agentOptions) {
    const stream = source.open(url, types, agentOptions);
    test.after(() => stream.close());
    await stream.untilOpen();
    return stream;
}
