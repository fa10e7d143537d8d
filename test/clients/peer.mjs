// SPDX-License-Identifier: MIT
// A client that does as it is told, however bad: a bare socket.
import { once } from 'node:events';
import net from 'node:net';
import { until } from './hub.mjs';

export class Peer {
    received = Buffer.alloc(0);
    ended = false;
    error = null;

    static async connect(port) {
        const peer = new Peer();
        peer.socket = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true });
        peer.socket.on('data', (chunk) => { peer.received = Buffer.concat([peer.received, chunk]); });
        peer.socket.on('end', () => { peer.ended = true; });
        peer.socket.on('error', (error) => { peer.error = error.code; });
        await once(peer.socket, 'connect');
        return peer;
    }

    /** Asks for a stream and waits for the head. */
    static async openStream(port, topic) {
        const peer = await Peer.connect(port);
        peer.send(`GET /events?topic=${topic} HTTP/1.1\r\nHost: hub\r\n\r\n`);
        await peer.untilReceived('\r\n\r\n');
        return peer;
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
