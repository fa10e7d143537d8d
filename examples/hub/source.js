// SPDX-License-Identifier: MIT
// An EventSource made with fetch. It receives events of every type, shows the bytes, and reports why it was
// refused.

const RETRY_MS = 3000;

const utf8 = new TextEncoder();

/** A header carries one byte in each character. */
function toHeader(text) {
    return Array.from(utf8.encode(text), (byte) => String.fromCharCode(byte)).join('');
}

/** Reads the lines of a stream: WHATWG HTML 9.2.6. */
class StreamReader {
    lastId;
    #on;
    #rest = '';
    #id;
    #block = {};

    /** Calls `on.event` for each event, `on.line` for a line that belongs to no event, such as a heartbeat, and
     *  `on.retry` for a reconnection time. */
    constructor(lastId, on) {
        this.lastId = lastId;
        this.#id = lastId;
        this.#on = on;
        this.#begin();
    }

    #begin() {
        this.#block = { lines: [], comments: [], data: null, type: '' };
    }

    feed(text) {
        // A CR at the end may be the first half of a CR LF.
        const start = this.#rest.endsWith('\r') ? 1 : 0;
        const parts = (this.#rest.slice(this.#rest.length - start) + text).split(/\r\n|\n|\r(?!$)/);
        parts[0] = this.#rest.slice(0, this.#rest.length - start) + parts[0];
        this.#rest = parts.pop();
        parts.forEach((line) => this.#take(line));
    }

    #take(line) {
        const [, name, value] = line.match(/^([^:]*)(?:: ?)?(.*)$/su);
        const isFirst = this.#block.lines.length === 0;
        if (line === '') {
            this.#dispatch();
        } else if (isFirst && (line === ':' || name === 'retry')) {
            this.#on.line(line);
        } else {
            this.#block.lines.push(line);
        }
        this.#takeField(name, value, line);
    }

    #takeField(name, value, line) {
        if (line.startsWith(':')) {
            this.#block.comments.push(value);
        } else if (name === 'data') {
            this.#block.data = this.#block.data === null ? value : `${this.#block.data}\n${value}`;
        } else if (name === 'event') {
            this.#block.type = value;
        } else if (name === 'id' && !value.includes('\0')) {
            this.#id = value;
        } else if (name === 'retry' && /^[0-9]+$/.test(value)) {
            this.#on.retry(Number(value));
        }
    }

    #dispatch() {
        const { lines, comments, data, type } = this.#block;
        this.lastId = this.#id;
        this.#begin();
        if (data !== null) {
            this.#on.event({ type: type || 'message', data, id: this.lastId, comments, raw: lines.join('\n') });
        }
    }
}

/**
 * A stream that reconnects until it is closed or refused. `on` also has `open`; `broken`, called when the stream
 * has ended and will be tried again; and `refused`, called with the server's answer.
 */
class Source {
    #url;
    #headers;
    #on;
    #lastId;
    #retry = RETRY_MS;
    #abort = new AbortController();

    constructor(url, headers, lastId, on) {
        this.#url = url;
        this.#headers = headers;
        this.#lastId = lastId;
        this.#on = on;
        this.#run();
    }

    close() {
        this.#abort.abort();
    }

    get #isClosed() {
        return this.#abort.signal.aborted;
    }

    async #run() {
        while (!this.#isClosed) {
            await this.#connect();
            if (!this.#isClosed) {
                this.#on.broken();
                await new Promise((resolve) => { setTimeout(resolve, this.#retry); });
            }
        }
    }

    async #connect() {
        const headers = { ...this.#headers, Accept: 'text/event-stream' };
        if (this.#lastId !== '') {
            headers['Last-Event-ID'] = toHeader(this.#lastId);
        }
        // A connection that fails is tried again, like a stream that has ended.
        const response = await fetch(this.#url, { headers, cache: 'no-store', signal: this.#abort.signal })
            .catch(() => null);
        if (response === null) {
            return;
        }
        if (response.status === 200 && /^text\/event-stream\b/.test(response.headers.get('Content-Type'))) {
            this.#on.open();
            await this.#read(response.body.pipeThrough(new TextDecoderStream()).getReader());
            return;
        }
        const { error = '' } = parseObject(await response.text().catch(() => ''));
        this.close();
        this.#on.refused(response.status, String(error));
    }

    async #read(texts) {
        const reader = new StreamReader(this.#lastId, {
            event: (event) => this.#isClosed || this.#on.event(event),
            line: (line) => this.#isClosed || this.#on.line(line),
            retry: (milliseconds) => { this.#retry = milliseconds; },
        });
        for (;;) {
            const { done, value } = await texts.read().catch(() => ({ done: true }));
            if (done) {
                return;
            }
            reader.feed(value);
            this.#lastId = reader.lastId;
        }
    }
}
