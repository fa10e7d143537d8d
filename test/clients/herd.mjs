// SPDX-License-Identifier: MIT
// Many bare clients that reconnect by themselves, each with its own log.
import net from 'node:net';
import { until } from './hub.mjs';

const TAIL_SIZE = 64;
const LAST_CHUNK = '\r\n0\r\n\r\n';

class Client {
    /** The events of this client, each with its time in milliseconds. */
    log = [];
    retry = null;
    #tail = '';

    constructor(port, topic) {
        this.port = port;
        this.topic = topic;
        this.#dial();
    }

    entries(what) {
        return this.log.filter((entry) => entry.what === what);
    }

    #note(what, value) {
        this.log.push({ at: performance.now(), what, value });
    }

    #dial() {
        this.#note('dial');
        this.#tail = '';
        this.socket = net.connect({ host: '127.0.0.1', port: this.port, noDelay: true });
        this.socket.on('connect', () => {
            this.socket.write(`GET /events?topic=${this.topic} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
        });
        this.socket.on('data', (chunk) => this.#read(chunk));
        this.socket.on('error', ({ code }) => this.#note('error', code));
        this.socket.on('close', () => this.#comeBack());
    }

    #read(chunk) {
        const text = this.#tail + chunk.toString('latin1');
        if (this.#tail === '' && text.startsWith('HTTP/1.1 200 OK\r\n')) {
            this.#note('open');
        }
        for (const [, retry] of text.matchAll(/\nretry: (\d+)\n/g)) {
            if (Number(retry) !== this.retry) {
                this.retry = Number(retry);
                this.#note('retry', this.retry);
            }
        }
        this.#tail = text.slice(-TAIL_SIZE);
    }

    #comeBack() {
        if (this.closed) {
            return;
        }
        this.#note(this.#tail.endsWith(LAST_CHUNK) ? 'end' : 'cut', this.retry);
        this.timer = setTimeout(() => this.#dial(), this.retry);
    }

    close() {
        this.closed = true;
        clearTimeout(this.timer);
        this.socket.destroy();
    }
}

/** Clients of a topic whose streams have all begun. They close with the test. */
export async function openHerd(t, port, topic, size) {
    const herd = Array.from({ length: size }, () => new Client(port, topic));
    t.after(() => herd.forEach((client) => client.close()));
    await untilLogged(herd, 'open', 1);
    return herd;
}

export function untilLogged(herd, what, times) {
    const missing = () => herd.filter((client) => client.entries(what).length < times);
    return until(() => missing().length === 0, `${what} in the log of each client`,
        () => `${missing().length} have none: ${JSON.stringify(missing()[0].log)}`);
}
