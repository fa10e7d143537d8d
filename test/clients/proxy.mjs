// SPDX-License-Identifier: MIT
// A proxy that keeps what passes: each connection with the bytes of both directions, and how the
// server ended it. It passes the server's ends on as ends, and resets as resets.
import { once } from 'node:events';
import net from 'node:net';
import { until } from './hub.mjs';

const SOCKET_OPTIONS = { allowHalfOpen: true, noDelay: true };

class Exchange {
    requestChunks = [];
    responseChunks = [];
    /** null while it lasts, then 'end' or the code of an error. */
    serverEnd = null;

    get request() {
        return Buffer.concat(this.requestChunks).toString('latin1');
    }

    get response() {
        return Buffer.concat(this.responseChunks);
    }

    get requestLine() {
        return this.request.split('\r\n', 1)[0];
    }

    /** A header of the request, whose bytes are UTF-8; or undefined. */
    requestHeader(name) {
        const lines = this.request.split('\r\n\r\n', 1)[0].split('\r\n').slice(1);
        const line = lines.find((one) => one.toLowerCase().startsWith(`${name}:`));
        return line && Buffer.from(line.slice(name.length + 1).trim(), 'latin1').toString('utf8');
    }

    get lastEventId() {
        return this.requestHeader('last-event-id');
    }

    get hasLastChunk() {
        return this.response.subarray(-7).toString('latin1') === '\r\n0\r\n\r\n';
    }

    /** Whether the server ended a chunked response as it should. */
    get endedWithLastChunk() {
        return this.serverEnd === 'end' && this.hasLastChunk;
    }
}

function join(from, to, keep) {
    from.on('data', (chunk) => {
        keep.push(chunk);
        to.write(chunk);
    });
    from.on('error', () => to.resetAndDestroy());
}

class Proxy {
    exchanges = [];
    #sockets = new Set();

    constructor(port) {
        this.port = port;
        this.server = net.createServer(SOCKET_OPTIONS, (client) => this.#accept(client));
    }

    #accept(client) {
        const exchange = new Exchange();
        const server = net.connect({ ...SOCKET_OPTIONS, host: '127.0.0.1', port: this.port });
        this.exchanges.push(exchange);
        for (const socket of [client, server]) {
            this.#sockets.add(socket);
            socket.on('close', () => this.#sockets.delete(socket));
        }
        join(client, server, exchange.requestChunks);
        join(server, client, exchange.responseChunks);
        // None of our clients ends its sending side alone: one that ends has left, or has all it wants.
        client.on('end', () => {
            client.destroy();
            if (exchange.hasLastChunk) {
                server.end();
            } else {
                server.destroy();
            }
        });
        server.on('end', () => {
            exchange.serverEnd ??= 'end';
            client.end();
        });
        server.on('error', ({ code }) => { exchange.serverEnd ??= code; });
    }

    /** The streams that were asked for, in order. */
    get streams() {
        return this.exchanges.filter((exchange) => /^GET \/events/.test(exchange.requestLine));
    }

    /** Waits until the server has ended so many streams, and returns them. */
    async untilEnded(count) {
        const ended = () => this.streams.filter(({ serverEnd }) => serverEnd !== null);
        await until(() => ended().length >= count, `the end of ${count} streams`);
        return ended();
    }

    async stop() {
        this.server.close();
        this.#sockets.forEach((socket) => socket.destroy());
        await once(this.server, 'close');
    }
}

export async function startProxy(port) {
    const proxy = new Proxy(port);
    proxy.server.listen(0, '127.0.0.1');
    await once(proxy.server, 'listening');
    proxy.url = `http://127.0.0.1:${proxy.server.address().port}/`;
    return proxy;
}
