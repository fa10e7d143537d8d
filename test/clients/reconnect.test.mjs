// SPDX-License-Identifier: MIT
// Ends of streams: what clients notice, and how they reconnect.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startHub } from './hub.mjs';
import { startProxy } from './proxy.mjs';
import { curlSources, eventSources, fetchSource, openCurl, openFor, requestErrorsOf } from './sources.mjs';
import { readChunks } from './wire.mjs';

const NEVER_MS = 1000000;
const BACK_SOON = ['--retry', '20', '--retry-range', '10-30'];
const hub = await startHub(['--retry', '10']);
after(() => hub.stop());

/** A proxy before a hub, for one test. */
async function record(t, port) {
    const proxy = await startProxy(port);
    t.after(() => proxy.stop());
    return proxy;
}

/** The delays of the timers that are set while `run` runs. */
async function timersDuring(run) {
    const original = globalThis.setTimeout;
    const delays = [];
    globalThis.setTimeout = (callback, delay, ...rest) => {
        delays.push(delay);
        return original(callback, delay, ...rest);
    };
    try {
        await run();
    } finally {
        globalThis.setTimeout = original;
    }
    return delays;
}

for (const source of eventSources) {
    test(`${source.name}: reconnects after complete, with its last event id`, async (t) => {
        const proxy = await record(t, hub.port);
        const before = await hub.stats();
        const url = hub.events(source.name, proxy.url);
        const stream = await openFor(t, source, url);
        await hub.publish({ topic: source.name, id: 'epoch-41', data: 'before' });
        await hub.publish({ topic: source.name, id: 'epoch-42 <"x">', data: 'before, too' });
        await stream.untilEvents(2);
        assert.equal((await hub.complete(source.name)).completed, 1);
        await stream.untilOpen(2);
        await hub.publish({ topic: source.name, data: 'after' });
        assert.equal((await stream.untilEvents(3))[2].data, 'after');

        const [first, second] = proxy.streams;
        assert.equal(first.lastEventId, undefined);
        assert.equal(second.lastEventId, 'epoch-42 <"x">');
        assert.equal(first.requestHeader('accept'), 'text/event-stream');
        await proxy.untilEnded(1);
        assert.ok(first.endedWithLastChunk, 'the stream did not end with a last chunk');
        assert.deepEqual(stream.errors, [''], 'the reconnection is the only error, without a message');
        assert.deepEqual(requestErrorsOf(url), []);
        const now = await hub.stats();
        assert.deepEqual([now.replays, now.gaps], [before.replays + 1, before.gaps]);
    });

    test(`${source.name}: reconnects at the end of each lifetime`, async (t) => {
        const restless = await startHub(['--lifetime', '100', '--retry', '5']);
        t.after(() => restless.stop());
        const proxy = await record(t, restless.port);
        const url = restless.events('a', proxy.url);
        const stream = await openFor(t, source, url);
        await restless.publishUntilHeard({ topic: 'a', id: 'kept', data: 'x' });
        await stream.untilEvents(1);
        const opens = stream.opens;
        await stream.untilOpen(opens + 4);

        const ended = await proxy.untilEnded(4);
        assert.ok(ended.every((exchange) => exchange.endedWithLastChunk));
        const ids = proxy.streams.slice(opens).map(({ lastEventId }) => lastEventId);
        assert.ok(ids.length >= 4 && ids.every((id) => id === 'kept'), JSON.stringify(ids));
        assert.ok(stream.errors.every((message) => message === ''), JSON.stringify(stream.errors));
        assert.deepEqual(requestErrorsOf(url), []);
        assert.ok((await restless.stats()).closed.lifetime >= 4);
    });

    test(`${source.name}: waits as long as the last retry says`, async (t) => {
        for (const retry of [1, 3750, NEVER_MS, 2147483647]) {
            const topic = `${source.name} ${retry}`;
            const stream = await openFor(t, source, hub.events(topic));
            await hub.publish({ topic, retry, data: 'x' });
            await stream.untilEvents(1);
            const delays = await timersDuring(async () => {
                await hub.complete(topic);
                await stream.untilErrors(1);
            });
            stream.close();
            assert.ok(delays.includes(retry), `${delays}`);
        }
    });

    test(`${source.name}: waits as long as the retry at the beginning says`, async (t) => {
        const slow = await startHub(['--retry', '987654']);
        t.after(() => slow.stop());
        const stream = await openFor(t, source, slow.events('a'));
        // undici uses a retry only if an event follows.
        await slow.publish({ topic: 'a', data: 'x' });
        await stream.untilEvents(1);
        const delays = await timersDuring(async () => {
            await slow.complete();
            await stream.untilErrors(1);
        });
        stream.close();
        assert.ok(delays.includes(987654), `${delays}`);
    });

    test(`${source.name}: finds the next hub when one stops`, async (t) => {
        const [first, next] = [await startHub(BACK_SOON), await startHub()];
        t.after(() => next.stop());
        const proxy = await record(t, first.port);
        const url = first.events('a', proxy.url);
        const stream = await openFor(t, source, url);
        await first.publish({ topic: 'a', id: 'old', data: 'x' });
        await stream.untilEvents(1);
        // The next hub listens before the first one stops, as behind a load balancer.
        proxy.port = next.port;
        await first.stop();
        await next.publishUntilHeard({ topic: 'a', data: 'from the next' });
        assert.equal((await stream.untilEvents(2))[1].data, 'from the next');
        await proxy.untilEnded(1);
        assert.ok(proxy.streams[0].endedWithLastChunk);
        assert.equal(proxy.streams.at(-1).lastEventId, 'old');
        assert.deepEqual(requestErrorsOf(url), []);
    });
}

test('npm eventsource: finds a restarted hub', async (t) => {
    // undici 6 gives up if the connection is refused.
    const first = await startHub(BACK_SOON);
    const proxy = await record(t, first.port);
    const stream = await openFor(t, eventSources[0], first.events('a', proxy.url));
    await first.publish({ topic: 'a', id: 'old', data: 'x' });
    await stream.untilEvents(1);
    await first.stop();
    await stream.untilErrors(2);
    const second = await startHub();
    t.after(() => second.stop());
    proxy.port = second.port;
    await second.publishUntilHeard({ topic: 'a', data: 'from the new one' });
    assert.equal((await stream.untilEvents(2))[1].data, 'from the new one');
    assert.equal(proxy.streams.at(-1).lastEventId, 'old');
});

test('an emptied id is not sent back', async (t) => {
    const proxy = await record(t, hub.port);
    const stream = await openFor(t, eventSources[0], hub.events('emptied', proxy.url));
    await hub.publish({ topic: 'emptied', id: '1', data: 'x' });
    await hub.publish({ topic: 'emptied', id: '', data: 'y' });
    await stream.untilEvents(2);
    await hub.complete('emptied');
    await stream.untilOpen(2);
    assert.equal(proxy.streams[1].lastEventId, undefined);
});

/* Bodies that end without an error */

const ends = {
    'complete': [(to) => to.complete('a'), []],
    'complete of all': [(to) => to.complete(), []],
    'the stop of the hub': [(to) => to.stop(), ['farewell']],
};

for (const [name, [end, lastTypes]] of Object.entries(ends)) {
    test(`fetch: no error at ${name}`, async (t) => {
        const ending = await startHub();
        t.after(() => ending.stop());
        const stream = await openFor(t, fetchSource, ending.events('a'));
        await ending.publish({ topic: 'a', data: 'x'.repeat(900000) });
        await ending.publish({ topic: 'a', data: 'last words' });
        await end(ending);
        await stream.untilEnd();
        const types = stream.events.map(({ type }) => type);
        assert.deepEqual(types, ['message', 'message', ...lastTypes]);
        assert.deepEqual(stream.events.slice(0, 2).map(({ data }) => data.length), [900000, 10]);
        assert.deepEqual([stream.errors, requestErrorsOf(ending.events('a'))], [[], []]);
    });
}

test('fetch: no error at the end of a lifetime', async (t) => {
    const brief = await startHub(['--lifetime', '50']);
    t.after(() => brief.stop());
    const stream = await openFor(t, fetchSource, brief.events('a'));
    await stream.untilEnd();
    assert.deepEqual([stream.errors, requestErrorsOf(brief.events('a'))], [[], []]);
});

test('fetch: an error if the hub is killed', async (t) => {
    // This shows that the tests above would notice an error.
    const killed = await startHub();
    const stream = await openFor(t, fetchSource, killed.events('a'));
    await killed.kill();
    await stream.untilErrors(1);
    assert.equal(stream.ended, false);
    assert.equal(requestErrorsOf(killed.events('a')).length, 1);
});

test('curl: exits without an error, in HTTP/1.1 and HTTP/1.0', async (t) => {
    for (const source of curlSources) {
        const stream = await openFor(t, source, hub.events('curl'));
        await hub.publish({ topic: 'curl', data: 'x' });
        await hub.complete('curl');
        await stream.untilEnd();
        assert.deepEqual([stream.exitCode, stream.errors, stream.events.length], [0, [], 1]);
        stream.parser.end();
    }
});

test('curl: an error if the hub is killed', async (t) => {
    const killed = await startHub();
    const stream = await openFor(t, curlSources[0], killed.events('a'));
    await killed.kill();
    await stream.untilEnd();
    assert.notEqual(stream.exitCode, 0);
});

test('curl --raw: each event is one chunk, and the last chunk is the end', async (t) => {
    const raw = await startHub(['--retry', '77', '--heartbeat', '0', '--history-events', '0']);
    t.after(() => raw.stop());
    const stream = openCurl(raw.events('a'), ['--raw']);
    t.after(() => stream.close());
    await stream.untilOpen();
    const sizes = [0, 1, 9, 10, 200, 250, 4000, 70000, 900000];
    for (const size of sizes) {
        await raw.publish({ topic: 'a', data: Buffer.alloc(size, 'x') });
    }
    await raw.complete('a');
    await stream.untilEnd();
    assert.equal(stream.exitCode, 0);
    const chunks = readChunks(stream.body).map(String);
    assert.deepEqual(chunks, ['retry: 77\n', ...sizes.map((size) => `data: ${'x'.repeat(size)}\n\n`)]);
});
