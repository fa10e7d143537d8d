// SPDX-License-Identifier: MIT
// HTTP/2, over TLS or with prior knowledge: sessions that streams share, and a fetch over them. `ca` is the
// certificate to trust.
import http2 from 'node:http2';
import { Readable } from 'node:stream';

const STREAMS_MAX = 50;

export class Sessions {
    #open = new Map();
    #limits = new Map();

    /** For a server that serves only this many streams of a session at a time. */
    limit(origin, streams) {
        this.#limits.set(origin, streams);
    }

    /** Makes a request on a session that has room, or on a new one. */
    request(origin, headers, { alone = false, ca } = {}) {
        const session = this.#find(origin, alone) ?? this.#connect(origin, alone, ca);
        const stream = session.request(headers, { endStream: headers[':method'] === 'GET' });
        this.#open.get(session).count += 1;
        stream.on('close', () => this.#leave(session));
        return stream;
    }

    #find(origin, alone) {
        const limit = this.#limits.get(origin) ?? STREAMS_MAX;
        const rooms = [...this.#open].filter(([, room]) => (
            room.origin === origin && !room.alone && room.count < limit));
        return alone ? undefined : rooms[0]?.[0];
    }

    #connect(origin, alone, ca) {
        const session = http2.connect(origin, { ca });
        this.#open.set(session, { origin, count: 0, alone });
        // The streams of a session report its errors.
        session.on('error', () => {});
        session.on('goaway', () => this.#open.delete(session));
        session.on('close', () => this.#open.delete(session));
        return session;
    }

    /** Closes a session that no stream uses any more. */
    #leave(session) {
        const room = this.#open.get(session);
        if (room) {
            room.count -= 1;
        }
        if (!room || room.count === 0) {
            this.#open.delete(session);
            session.close();
        }
    }
}

export const sessions = new Sessions();

function headersFor(url, method, headers) {
    const { pathname, search, host, protocol } = new URL(url);
    const scheme = protocol.slice(0, -1);
    return { ':method': method, ':path': pathname + search, ':scheme': scheme, ':authority': host, ...headers };
}

export function open(url, headers, options) {
    return sessions.request(new URL(url).origin, headersFor(url, 'GET', headers), options);
}

/** Does the same as request of hub.mjs. */
export function request(url, { method = 'GET', headers = {}, body, ca } = {}) {
    return new Promise((resolve, reject) => {
        const stream = sessions.request(new URL(url).origin, headersFor(url, method, headers), { ca });
        let answer = {};
        stream.on('response', (response) => { answer = response; });
        stream.on('error', reject);
        const chunks = [];
        stream.on('data', (chunk) => chunks.push(chunk));
        stream.on('end', () => resolve({
            status: answer[':status'],
            headers: answer,
            text: Buffer.concat(chunks).toString(),
        }));
        if (method !== 'GET') {
            stream.end(body);
        }
    });
}

/** The part of fetch that npm eventsource needs. */
export function fetch(url, { headers = {}, signal, ca } = {}) {
    return new Promise((resolve, reject) => {
        const stream = open(String(url), Object.fromEntries(Object.entries(headers)
            .map(([name, value]) => [name.toLowerCase(), value])), { ca });
        signal?.addEventListener('abort', () => stream.close(http2.constants.NGHTTP2_CANCEL));
        stream.on('error', reject);
        stream.on('response', (response) => {
            const fields = Object.entries(response).filter(([name]) => !name.startsWith(':'));
            resolve(new Response(Readable.toWeb(stream), { status: response[':status'], headers: fields }));
        });
    });
}
