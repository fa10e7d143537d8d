// SPDX-License-Identifier: MIT
// A proxy that records each connection: the bytes of both directions, and how the server ended it. It passes an end
// on as an end, and a reset as a reset.
import { once } from 'node:events';
import net from 'node:net';
import { until } from './hub.mjs';

const SOCKET_OPTIONS = { allowHalfOpen: true, noDelay: true };

class Exchange {
    requestChunks = [];
    responseChunks = [];
    /** null while it is open, then 'end' or the code of an error. */
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

    /** A header field of the request as UTF-8, or undefined. */
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

    /** Whether the server ended a chunked response correctly. */
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
        // None of our clients closes only its sending side. A client that ends has disconnected, or has everything
        // it wants.
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

    /** The requested streams, in order. */
    get streams() {
        return this.exchanges.filter((exchange) => /^GET \/events/.test(exchange.requestLine));
    }

    /** Waits until the server has ended this many streams, and returns them. */
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
