// SPDX-License-Identifier: MIT
// A bare socket as a client that a test controls completely.
import { once } from 'node:events';
import net from 'node:net';
import { until } from './hub.mjs';
import { readWholeChunks, StrictParser } from './wire.mjs';

const peers = new Set();

/** A hub waits a little for its clients to close, so they close before it is stopped. */
export function closePeers() {
    peers.forEach((peer) => peer.close());
    peers.clear();
}

export class Peer {
    ended = false;
    error = null;
    /** The number of received bytes. */
    size = 0;
    #chunks = [];

    static async connect(port) {
        const peer = new Peer();
        peers.add(peer);
        peer.socket = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true });
        peer.socket.on('data', (chunk) => peer.#take(chunk));
        peer.socket.on('end', () => { peer.ended = true; });
        peer.socket.on('error', (error) => { peer.error = error.code; });
        await once(peer.socket, 'connect');
        return peer;
    }

    /** Requests a stream, with a last event id if given, and waits for the head. */
    static async openStream(port, topic, lastEventId) {
        const peer = await Peer.connect(port);
        const resume = lastEventId === undefined ? '' : `Last-Event-ID: ${lastEventId}\r\n`;
        peer.send(`GET /events?topic=${topic} HTTP/1.1\r\nHost: localhost\r\n${resume}\r\n`);
        await peer.untilReceived('\r\n\r\n');
        return peer;
    }

    #take(chunk) {
        this.#chunks.push(chunk);
        this.size += chunk.length;
    }

    get received() {
        if (this.#chunks.length > 1) {
            this.#chunks = [Buffer.concat(this.#chunks)];
        }
        return this.#chunks[0] ?? Buffer.alloc(0);
    }

    get text() {
        return this.received.toString('latin1');
    }

    get status() {
        return Number(this.text.match(/^HTTP\/1\.[01] (\d{3}) /)?.[1]);
    }

    send(bytes) {
        this.socket.write(bytes);
    }

    untilReceived(text) {
        return until(() => this.text.includes(text), JSON.stringify(text), () => this.#describe());
    }

    untilEnd() {
        return until(() => this.ended || this.error, 'the end', () => this.#describe());
    }

    #describe() {
        return `${this.error} ${this.text.slice(-300)}`;
    }

    stopReading() {
        this.socket.pause();
    }

    readAgain() {
        this.socket.resume();
    }

    /** The events so far, without chunks, parsed strictly. */
    get events() {
        const parser = new StrictParser();
        const body = this.received.subarray(this.received.indexOf('\r\n\r\n') + 4);
        readWholeChunks(body).forEach((chunk) => parser.feed(chunk));
        return parser.events;
    }

    endSending() {
        this.socket.end();
    }

    reset() {
        this.socket.resetAndDestroy();
    }

    close() {
        this.socket.destroy();
    }
}
