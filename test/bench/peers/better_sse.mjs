// SPDX-License-Identifier: MIT
// The contract of serving.h on better-sse: a session for each client, and the broadcast of a channel. The
// next event follows when the broadcast has returned and no socket is above its high-water mark. As by
// default each event has a type, and an id that is made once for all; the serialiser leaves out the quotes
// of JSON.
import { createServer } from 'node:http';
import { createChannel, createSession } from 'better-sse';

const STAMP_DIGITS = 19;
const channel = createChannel();
const responses = new Set();

function drained(response) {
    return new Promise((resolve) => {
        response.once('drain', resolve);
        response.once('close', resolve);
    });
}

async function publish(count, size) {
    const filler = 'x'.repeat(size - STAMP_DIGITS);
    for (let left = count; left > 0; left--) {
        channel.broadcast(String(process.hrtime.bigint()).padStart(STAMP_DIGITS, '0') + filler);
        const full = [...responses].filter((response) => response.writableNeedDrain);
        await (full.length ? Promise.all(full.map(drained)) : new Promise(setImmediate));
    }
}

async function open(request, response) {
    const options = { keepAlive: null, retry: null, serializer: (data) => data };
    channel.register(await createSession(request, response, options));
    responses.add(response);
    response.once('close', () => responses.delete(response));
}

const server = createServer((request, response) => {
    const url = new URL(request.url, 'http://bench');
    if (url.pathname === '/events')
        return open(request, response);
    response.writeHead(204).end();
    const size = Number(url.searchParams.get('size'));
    if (size >= STAMP_DIGITS)
        publish(Number(url.searchParams.get('n')), size);
});

server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => console.log(server.address().port));
process.on('SIGTERM', () => process.exit(0));
