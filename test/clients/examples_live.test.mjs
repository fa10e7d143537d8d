// SPDX-License-Identifier: MIT
// The numbered examples that show one situation each: current state, tokens, rooms.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { request, startExample, until } from './hub.mjs';
import { Peer } from './peer.mjs';

const JOINS = 100;
const CHANGES = 20;

async function start(t, name, ...options) {
    const server = await startExample(name, ['0', ...options]);
    t.after(() => server.stop());
    return server;
}

const get = (target, headers = '') => `GET /${target} HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}\r\n`;

async function openPeer(t, server, bytes) {
    const peer = await Peer.connect(server.port);
    t.after(() => peer.close());
    peer.send(bytes);
    await peer.untilReceived('\r\n\r\n');
    return peer;
}

function untilEvents(peer, count) {
    return until(() => peer.events.length >= count && peer.events, `${count} events`, () => peer.text.slice(-300));
}

/** A state, and changes each of which follows from what was there before. */
function checkChanges([{ type, data }, ...changes]) {
    assert.equal(type, 'state');
    const state = JSON.parse(data);
    assert.equal(state.length, 5);
    for (const change of changes) {
        const { hall, visitors } = JSON.parse(change.data);
        assert.equal(change.type, 'change');
        assert.equal(visitors, state[hall] + 1, `after ${state}: ${change.data}`);
        state[hall] = visitors;
    }
}

describe('the examples of one situation', { concurrency: true }, () => {
    test('07_state_then_live: each client gets the state and then every change once', async (t) => {
        const server = await start(t, '07_state_then_live', '50');
        for (let joined = 0; joined < JOINS; joined += 10) {
            await Promise.all(Array.from({ length: 10 }, async () => {
                const peer = await openPeer(t, server, get('events'));
                checkChanges(await untilEvents(peer, 1 + CHANGES));
                peer.close();
            }));
        }
    });

    test('07_state_then_live: the end is told', async (t) => {
        const server = await start(t, '07_state_then_live');
        const peer = await openPeer(t, server, get('events'));
        await untilEvents(peer, 1);
        await server.stop();
        await peer.untilEnd();
        assert.match(peer.text, /event: restart\ndata: back soon\n\n\r\n[^]*retry: \d+\n\n\r\n0\r\n\r\n$/);
        assert.equal((await request(`${server.url}`).catch(({ code }) => code)), 'ECONNREFUSED');
    });
});
