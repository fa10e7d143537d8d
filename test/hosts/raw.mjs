// SPDX-License-Identifier: MIT
// A client that sends any bytes: requests in pieces, incomplete ones, and header fields that no browser would send.
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import tls from 'node:tls';
import { until } from '../clients/hub.mjs';

/** One connection to a host, or to the proxy in front of it. */
export class Raw {
    received = '';
    closed = false;
    #socket;

    constructor(socket) {
        this.#socket = socket;
        socket.setEncoding('latin1').on('data', (text) => { this.received += text; });
        socket.on('error', () => {});
        socket.on('end', () => { this.closed = true; });
        socket.on('close', () => { this.closed = true; });
    }

    static async connect({ port, frontServer, tls: isTls, ca }, { encrypted = isTls, behindFront = true } = {}) {
        const to = { host: '127.0.0.1', port: (behindFront && frontServer?.port) || port };
        const socket = encrypted ? tls.connect({ ...to, ca }) : net.connect(to);
        const raw = new Raw(socket);
        await Promise.race([once(socket, encrypted ? 'secureConnect' : 'connect'), once(socket, 'close')]);
        return raw;
    }

    send(text) {
        this.#socket.write(text, 'latin1');
    }

    untilReceived(pattern) {
        return until(() => this.received.match(pattern) ?? this.closed, String(pattern), () => this.received);
    }

    untilClosed() {
        return until(() => this.closed, 'the end of a connection', () => this.received.slice(0, 200));
    }

    close() {
        this.#socket.destroy();
    }
}

async function askHttp1(host, { method, target, headers, body }) {
    const raw = await Raw.connect(host);
    const fields = { Host: `127.0.0.1:${host.frontServer?.port ?? host.port}`, ...headers };
    if (body !== undefined && fields['Content-Length'] === undefined) {
        fields['Content-Length'] = Buffer.byteLength(body, 'latin1');
    }
    const lines = Object.entries(fields).filter(([, value]) => value !== null)
        .flatMap(([name, values]) => [values].flat().map((value) => `${name}: ${value}\r\n`));
    raw.send(`${method} /${target} HTTP/1.1\r\n${lines.join('')}\r\n${body ?? ''}`);
    await raw.untilReceived(/^HTTP[^]*?\r\n\r\n/);
    raw.close();
    const [head = ''] = raw.received.match(/^HTTP[^]*?\r\n\r\n/) ?? [];
    return {
        status: Number(head.match(/^HTTP\/1\.[01] (\d+)/)?.[1] ?? 0),
        head: head.toLowerCase(),
        text: raw.received.slice(head.length),
    };
}

async function askHttp2(host, { method, target, headers = {}, body }) {
    const names = Object.entries(headers).map(([name, value]) => [
        name === 'Host' ? ':authority' : name.toLowerCase(), value]);
    const session = http2.connect(host.origin, { ca: host.ca }).on('error', () => {});
    const stream = session.request({
        ':method': method, ':path': `/${target}`, ':authority': `127.0.0.1:${host.port}`,
        ...Object.fromEntries(names.filter(([, value]) => value !== null)),
    }, { endStream: body === undefined });
    const answer = { status: 0, head: '', text: '' };
    let over = false;
    stream.on('error', () => {}).on('close', () => { over = true; });
    stream.on('response', (response) => {
        answer.status = response[':status'];
        answer.head = Object.entries(response).map(([name, value]) => `${name}: ${value}\r\n`).join('');
        over = true;
    });
    if (body !== undefined) {
        stream.end(Buffer.from(body, 'latin1'));
    }
    await until(() => over, 'an answer');
    session.destroy();
    return answer;
}

/** Sends one request. Returns `status` (0 if the connection ended without an answer), `head` in lower case, and
 *  `text`. A header field that is null is omitted. A field that is a list is sent once for each element. */
export function ask(host, request) {
    return host.http2 ? askHttp2(host, request) : askHttp1(host, request);
}
