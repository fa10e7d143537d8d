// SPDX-License-Identifier: MIT
// One stream on its own connection, or of HTTP/2. It is cheap enough for hundreds, and can stop reading.
import http from 'node:http';
import https from 'node:https';
import { constants } from 'node:http2';
import { until } from '../clients/hub.mjs';
import { StrictParser } from '../clients/wire.mjs';
import { open as openHttp2 } from './http2.mjs';

export class Stream {
    parser = new StrictParser();
    status = null;
    headers = null;
    /** 'end' once the body has ended correctly, otherwise the error. */
    ended = null;
    /** Sends bytes that the server has no reason to read, where HTTP allows that. */
    sendMore = () => {};
    #source;
    #close;

    /** `lastEventId` is for a client that reconnects. `more` is added to the query. */
    constructor(host, topic, { lastEventId, alone, headers: others = {}, more = '' } = {}) {
        const headers = { accept: 'text/event-stream', 'cache-control': 'no-store', ...others };
        const url = host.events(topic) + more;
        if (lastEventId !== undefined) {
            headers['last-event-id'] = lastEventId;
        }
        if (host.http2) {
            this.#openHttp2(url, headers, { alone, ca: host.ca });
        } else {
            this.#openHttp1(url, headers, host.ca);
        }
    }

    static async open(host, topic, options) {
        const stream = new Stream(host, topic, options);
        await stream.untilOpen();
        return stream;
    }

    #openHttp1(url, headers, ca) {
        const { get } = url.startsWith('https:') ? https : http;
        // Sends the headers of EventSource. The agent belongs to this request, and closes the connection at its
        // end.
        const request = get(url, { headers: { ...headers, connection: 'keep-alive' }, agent: false, ca });
        this.#close = () => request.destroy();
        this.sendMore = () => request.socket.write('GET / HTTP/1.1\r\n');
        request.on('error', (error) => { this.ended ??= error.code ?? error.message; });
        request.on('response', (response) => {
            this.status = response.statusCode;
            this.headers = response.headers;
            this.#take(response, () => (response.complete ? 'end' : 'broken off'));
        });
    }

    #openHttp2(url, headers, options) {
        const stream = openHttp2(url, headers, options);
        this.#close = () => stream.close(constants.NGHTTP2_CANCEL);
        stream.on('response', (response) => {
            this.status = response[':status'];
            this.headers = response;
        });
        this.#take(stream, () => `reset ${stream.rstCode}`);
    }

    #take(source, howClosed) {
        this.#source = source;
        source.on('data', (chunk) => {
            try {
                this.parser.feed(chunk);
            } catch (error) {
                this.ended ??= error.message;
            }
        });
        source.on('end', () => {
            const isWhole = source.rstCode === undefined ? source.complete : source.rstCode === 0;
            this.ended ??= isWhole ? 'end' : howClosed();
        });
        source.on('error', (error) => { this.ended ??= error.code ?? error.message; });
        source.on('close', () => { this.ended ??= howClosed(); });
    }

    get events() {
        return this.parser.events;
    }

    get data() {
        return this.events.map(({ data }) => data);
    }

    get heartbeats() {
        return this.parser.comments.length;
    }

    untilOpen() {
        return until(() => this.status ?? this.ended, 'an answer', () => this.ended);
    }

    async untilEvents(count) {
        await until(() => this.events.length >= count || this.ended, `event number ${count}`,
            () => `of ${this.events.length}`);
        if (this.events.length < count) {
            throw new Error(`${this.ended} after ${this.events.length} events of ${count}`);
        }
        return this.events;
    }

    untilEnd() {
        return until(() => this.ended, 'the end of the stream', () => JSON.stringify(this.data.slice(-3)));
    }

    stopReading() {
        this.#source.pause();
    }

    goOnReading() {
        this.#source.resume();
    }

    close() {
        this.#close();
    }
}
