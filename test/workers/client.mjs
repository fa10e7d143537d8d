// SPDX-License-Identifier: MIT
// A bare client that reconnects with its id, and disconnects when a test says so.
import http from 'node:http';
import { encode } from '../clients/hub.mjs';
import { StrictParser } from '../clients/wire.mjs';

/** The place of an event in the common order, from its id. */
export function numberOf(id) {
    return Number(id.split('-')[1]);
}

export class Client {
    /** What it received on all its connections: type, data, id. */
    events = [];
    /** Connections that became a stream. */
    opens = 0;
    refusals = 0;
    lastId = '';
    #retry = 50;
    #closed = false;

    constructor(url, topic) {
        this.url = `${url}events?topic=${encode(topic)}`;
        this.topic = topic;
        this.#dial();
    }

    /** The published events, without those that only this client received. */
    get messages() {
        return this.events.filter(({ type }) => type === 'message');
    }

    count(type) {
        return this.events.filter((event) => event.type === type).length;
    }

    #dial() {
        const headers = this.lastId ? { 'Last-Event-ID': this.lastId } : {};
        this.outgoing = http.get(this.url, { agent: false, headers }, (response) => this.#read(response));
        this.outgoing.on('error', () => {});
        this.outgoing.on('close', () => this.#comeBack());
    }

    #read(response) {
        const parser = new StrictParser();
        if (response.statusCode === 200) {
            this.opens += 1;
        } else {
            this.refusals += 1;
        }
        // A broken connection is not an error here. The close event follows.
        response.on('error', () => {});
        response.on('data', (bytes) => {
            parser.feed(bytes);
            this.events.push(...parser.events.splice(0));
            this.lastId = parser.lastId || this.lastId;
            this.#retry = parser.retries.at(-1) ?? this.#retry;
        });
    }

    #comeBack() {
        if (!this.#closed) {
            this.timer = setTimeout(() => this.#dial(), this.#retry);
        }
    }

    /** Breaks its connection, and reconnects. */
    leave() {
        this.outgoing.destroy();
    }

    close() {
        this.#closed = true;
        clearTimeout(this.timer);
        this.outgoing.destroy();
    }
}
