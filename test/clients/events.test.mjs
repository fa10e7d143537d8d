// SPDX-License-Identifier: MIT
// Every client receives exactly what is published.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startHub } from './hub.mjs';
import { allSources, openFor } from './sources.mjs';

const QUEUE_BYTES = 1048576;
// Without a history, an event has an id only if the test gives it one.
const hub = await startHub(['--queue-bytes', String(QUEUE_BYTES), '--history-events', '0']);
after(() => hub.stop());

/* Data, and the expected data where they differ. */
const texts = {
    'a line': ['Hello, world'],
    'LF': ['one\ntwo\nthree'],
    'CR': ['one\rtwo\rthree', 'one\ntwo\nthree'],
    'CR LF': ['one\r\ntwo\r\nthree', 'one\ntwo\nthree'],
    'mixed line ends': ['a\n\rb\r\r\nc\r\n\nd\n\n', 'a\n\nb\n\nc\n\nd\n\n'],
    'nothing': [''],
    'a space': [' '],
    'leading white space': ['  two spaces'],
    'a leading tab': ['\ttab'],
    'trailing white space': ['text \t '],
    'a trailing LF': ['text\n'],
    'a trailing CR LF': ['text\r\n', 'text\n'],
    'a leading LF': ['\ntext'],
    'LF alone': ['\n'],
    'three LF': ['\n\n\n'],
    'a colon': [':'],
    'a comment': [': comment\n:\n: more'],
    'fields': ['data: x\nevent: y\nid: z\nretry: 1\n\ndata: w'],
    'an injection with CR': ['x\r\revent: evil\rid: 666\rdata: y', 'x\n\nevent: evil\nid: 666\ndata: y'],
    'unicode': ['Grüße, Ωμέγα, 豆, שלום, e\u0301'],
    'line ends of unicode': ['a\u2028b\u2029c\u0085d\u000be\u000cf'],
    'astral characters': ['\u{1f600}\u{10ffff}\u{1d11e}'],
    'a byte order mark': ['\ufefftext\ufeff'],
    'the replacement character': ['\ufffd'],
    'NUL': ['a\0b\0'],
    'control characters': ['\u0001\u0007\u001b[31m\u007f'],
    'a line of 70,000 bytes': ['x'.repeat(70000)],
    '20,000 lines': ['line\n'.repeat(20000)],
    '1,000,000 bytes': ['0123456789'.repeat(100000)],
    '900,000 bytes of unicode': ['\u2028\u{1f600}é'.repeat(100000)],
};

async function largestAccepted(topic) {
    for (let size = QUEUE_BYTES; size > 0; --size) {
        const { status } = await hub.publish({ topic, data: Buffer.alloc(size, 'x') });
        if (status !== 413) {
            assert.equal(status, 202);
            return size;
        }
    }
    return 0;
}

for (const source of allSources) {
    const topic = (name) => `${source.name} ${name}`;

    for (const [name, [sent, expected = sent]] of Object.entries(texts)) {
        test(`${source.name}: data: ${name}`, async (t) => {
            const stream = await openFor(t, source, hub.events(topic(name)));
            const reply = await hub.publish({ topic: topic(name), data: sent });
            assert.deepEqual([reply.status, reply.receivers], [202, 1]);
            await hub.publish({ topic: topic(name), data: 'after' });
            const [event, following] = await stream.untilEvents(2);
            assert.deepEqual(event, { type: 'message', data: expected, id: '' });
            assert.deepEqual(following, { type: 'message', data: 'after', id: '' });
            assert.deepEqual(stream.errors, []);
        });
    }

    test(`${source.name}: types`, async (t) => {
        const types = ['update', 'a b', ' x', 'ümlaut', 'error', 'open', 'data', 'a:b', '', 'message'];
        const stream = await openFor(t, source, hub.events(topic('types')), types);
        for (const type of types) {
            assert.equal((await hub.publish({ topic: topic('types'), type, data: type })).status, 202);
        }
        await hub.publish({ topic: topic('types'), data: 'without type' });
        const events = await stream.untilEvents(types.length + 1);
        assert.deepEqual(events.map(({ type, data }) => [type, data]),
            [...types.map((type) => [type || 'message', type]), ['message', 'without type']]);
        assert.equal(stream.opens, 1);
        assert.deepEqual(stream.errors, []);
    });

    test(`${source.name}: ids`, async (t) => {
        const stream = await openFor(t, source, hub.events(topic('ids')));
        for (const id of ['1', undefined, '', undefined]) {
            assert.equal((await hub.publish({ topic: topic('ids'), id, data: 'x' })).id, id ?? null);
        }
        const ids = (await stream.untilEvents(4)).map(({ id }) => id);
        assert.deepEqual(ids, source.lastEventIds);
    });

    test(`${source.name}: ids of all kinds`, async (t) => {
        const ids = ['0', '18446744073709551615', 'a b', '<>"{}', 'x'.repeat(500), 'é\u2028豆\u{1f600}', ':',
            'id: 1'];
        const stream = await openFor(t, source, hub.events(topic('all ids')));
        for (const id of ids) {
            assert.equal((await hub.publish({ topic: topic('all ids'), id, data: 'x' })).status, 202);
        }
        assert.deepEqual((await stream.untilEvents(ids.length)).map(({ id }) => id), ids);
    });

    test(`${source.name}: the largest event`, async (t) => {
        const stream = await openFor(t, source, hub.events(topic('largest')));
        const size = await largestAccepted('nobody listens');
        assert.ok(size > QUEUE_BYTES - 64, `only ${size} bytes`);
        const refused = await hub.publish({ topic: topic('largest'), data: Buffer.alloc(size + 1, 'x') });
        assert.deepEqual([refused.status, refused.field], [413, 'data']);
        await hub.publish({ topic: topic('largest'), data: Buffer.alloc(size, 'x') });
        await hub.publish({ topic: topic('largest'), data: 'after' });
        const [event, following] = await stream.untilEvents(2);
        assert.ok(event.data === 'x'.repeat(size), `${event.data.length} bytes came of ${size}`);
        assert.equal(following.data, 'after');
        assert.deepEqual(stream.errors, []);
    });
}
