// SPDX-License-Identifier: MIT
// A bare client that comes back with its id, and may leave whenever it is told to.
import http from 'node:http';
import { encode } from '../clients/hub.mjs';
import { StrictParser } from '../clients/wire.mjs';

/** The place of an event in the order of all, from its id. */
export function numberOf(id) {
    return Number(id.split('-')[1]);
}

export class Client {
    /** What it was sent, of all its connections: type, data, id. */
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

    /** The events that were published, without those that are this client's alone. */
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
        // A connection that breaks is no error here: the close follows.
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

    /** Breaks its connection, and comes back. */
    leave() {
        this.outgoing.destroy();
    }

    close() {
        this.#closed = true;
        clearTimeout(this.timer);
        this.outgoing.destroy();
    }
}
