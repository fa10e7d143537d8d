// SPDX-License-Identifier: MIT
// The same tests for every front: what clients receive of a stream, and what the hub notices of its clients.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { request, until } from '../clients/hub.mjs';
import { fronts } from './fronts.mjs';
import { Scene } from './scene.mjs';

const FRONTS_AT_A_TIME = 3;

/* Data, and the expected data where they differ. */
const texts = [
    ['a line'], [''], ['one\ntwo\nthree'], ['a\r\nb\rc\n', 'a\nb\nc\n'], ['\n\n'], [' : data: x\n\nevent: y'],
    ['Grüße, Ωμέγα, 豆, שלום, a\u2028b\u{1f600}\u{10ffff}\0'], ['x'.repeat(4096)], ['x'.repeat(65536)],
    ['0123456\n'.repeat(8192)], ['é\u{1f600}'.repeat(11000)], ['line\n'.repeat(50000)], ['the last'],
];

const dataOf = (client) => client.events.filter(({ type }) => type === 'message').map(({ data }) => data);

function defineTests({ start, tls, compresses, late }) {
    let scene;
    before(async () => {
        scene = await Scene.begin(start);
    });
    after(() => scene?.end());

    test('each event is seen before the next one is published, and is exact', async (t) => {
        const hub = await scene.startHub(t);
        const clients = await scene.openAll(t, 'a & ü');
        const times = [];
        for (const [index, [text, other = text]] of texts.entries()) {
            const start = performance.now();
            assert.equal((await hub.publish({ topic: 'a & ü', data: text })).status, 202);
            for (const client of clients) {
                const { data } = (await client.untilEvents(index + 1))[index];
                assert.ok(data === other, `text ${index} is another`);
            }
            times.push(performance.now() - start);
        }
        t.diagnostic(`of ${times.length} events half took ${times.sort((a, b) => a - b)[6].toFixed(1)} ms or less`);
        clients.forEach((client) => assert.deepEqual(client.errors, []));
        const [curl] = clients;
        assert.match(curl.head, tls ? /^HTTP\/2 200/ : /^HTTP\/1\.1 200 /);
        assert.match(curl.head, /^content-type: text\/event-stream\r?$/im);
        assert.match(curl.head, /^cache-control: no-cache, no-transform\r?$/im);
        assert.doesNotMatch(curl.head, /^content-length:/im);
    });

    test('streams are not compressed', async (t) => {
        const hub = await scene.startHub(t);
        const headers = { 'Accept-Encoding': 'gzip' };
        const other = await request(`${scene.front.url}stats`, { headers, ca: scene.front.ca });
        assert.equal(other.headers['content-encoding'], compresses ? 'gzip' : undefined);
        const curl = await scene.curl('a', ['--compressed', '-H', 'Accept-Encoding: gzip']);
        const encoding = curl.head.match(/^content-encoding: (\S+)/im)?.[1];
        assert.equal(encoding, 'identity');
        await hub.publish({ topic: 'a', data: 'x' });
        await curl.untilEvents(1);
    });

    test('heartbeats pass, before any event and between events', async (t) => {
        const hub = await scene.startHub(t, ['--heartbeat', '20']);
        const curl = await scene.curl('a');
        const { comments } = curl.parser;
        const untilMore = (count) => {
            const goal = comments.length + count;
            return until(() => comments.length >= goal, `comment number ${goal}`);
        };
        await untilMore(3);
        await hub.publish({ topic: 'a', data: 'x' });
        await curl.untilEvents(1);
        await untilMore(3);
    });

    test('a stream that the hub ends: clients see a whole body', async (t) => {
        const hub = await scene.startHub(t);
        const clients = await scene.openBare('a');
        await hub.publish({ topic: 'a', data: 'x'.repeat(100000) });
        await hub.complete('a');
        for (const client of clients) {
            await client.untilEnd();
            assert.deepEqual([client.events.length, client.errors, client.exitCode ?? 0], [1, [], 0]);
        }
    });

    test('who comes back sends its last event id, and has lost nothing', async (t) => {
        const hub = await scene.startHub(t);
        const clients = await scene.openEventSources(t, 'a');
        const { id } = await hub.publish({ topic: 'a', data: 'before' });
        for (const client of clients) {
            await client.untilEvents(1);
        }
        await hub.complete('a');
        await hub.publish({ topic: 'a', data: 'meanwhile' });
        for (const client of clients) {
            await client.untilOpen(2);
        }
        await hub.publish({ topic: 'a', data: 'after' });
        for (const client of clients) {
            await client.untilEvents(3);
            assert.deepEqual(dataOf(client), ['before', 'meanwhile', 'after']);
            assert.deepEqual(client.errors, ['']);
        }
        const ids = scene.between.streams.map(({ lastEventId }) => lastEventId);
        assert.deepEqual(ids, [undefined, undefined, undefined, id, id, id]);
        assert.deepEqual(scene.front.errors(), []);
    });

    test(`a client that leaves is forgotten${late ? ' at a heartbeat' : ', though nothing is sent'}`, async (t) => {
        await scene.startHub(t, ['--heartbeat', late ? '20' : '0']);
        const clients = await scene.openAll(t, 'a');
        await scene.untilStreams(clients.length);
        for (const [index, client] of clients.entries()) {
            client.close();
            await scene.untilStreams(clients.length - index - 1);
        }
    });

    test('SIGTERM: the farewell arrives, and the next hub has all clients, that have lost nothing', async (t) => {
        const hub = await scene.startHub(t, ['--retry-range', '10-30']);
        const clients = await scene.openEventSources(t, 'a', ['farewell']);
        const { id } = await hub.publish({ topic: 'a', data: 'from the first' });
        for (const client of clients) {
            await client.untilEvents(1);
        }
        // The publisher tells the next hub the last event, and continues from there.
        const next = await scene.replaceHub();
        await next.publish({ topic: 'a', id: 'known', data: 'x' });
        await next.publish({ topic: 'a', id, data: 'from the first' });
        await next.publish({ topic: 'a', data: 'while nobody was there' });
        await hub.stop();
        const { clients: count, completed, cut } = hub.report;
        assert.deepEqual([count, completed, cut], [clients.length, clients.length, 0]);
        await scene.untilStreams(clients.length);
        await next.publish({ topic: 'a', data: 'from the next' });
        for (const client of clients) {
            await client.untilEvents(4);
            assert.deepEqual(dataOf(client), ['from the first', 'while nobody was there', 'from the next']);
            assert.equal(client.events[1].type, 'farewell');
            assert.deepEqual(client.errors, ['']);
        }
    });
}

describe('fronts', { concurrency: FRONTS_AT_A_TIME }, () => {
    for (const front of fronts) {
        describe(front.name, { concurrency: 1 }, () => defineTests(front));
    }
});
