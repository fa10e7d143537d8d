// SPDX-License-Identifier: MIT
// The rows of conformance.tsv that POST /publish can express, through HTTP.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startHub } from './hub.mjs';
import { allSources, curlSources, openFor } from './sources.mjs';
import { readVectors } from './vectors.mjs';

// Without a retry, heartbeats and assigned ids, the wire contains only the first byte of a stream and the events.
const hub = await startHub(['--retry', '0', '--heartbeat', '0', '--history-events', '0']);
after(() => hub.stop());

const FIRST_BYTE = ':\n';

// A published event always has data, and only the hub itself writes comments.
const notExpressible = ['enc/id-only-no-data', 'enc/retry-preamble', 'enc/comment', 'enc/comment-injection',
    'enc/heartbeat', 'enc/heartbeat-after-id', 'rej/event-without-data'];

const hasDataAlone = ({ data, comment }) => data !== undefined && comment === undefined;
const isExpressible = ({ events }) => events.every(hasDataAlone);
const encoded = readVectors('enc');
const rejected = readVectors('rej');

function publish(topic, { event, data, id, retry }) {
    return hub.publish({ topic, type: event, data, id, retry });
}

/** What a client reports: the row, except for the known fault of one client. */
function expectedEvents(source, row) {
    let last = '';
    return row.dispatched.map((event) => {
        last = source.ignoresEmptyId ? event.id || last : event.id;
        return { ...event, id: last };
    });
}

test('the list of rows that cannot be expressed is complete', () => {
    const names = [...encoded, ...rejected].filter((row) => !isExpressible(row)).map(({ name }) => name);
    assert.deepEqual(names, notExpressible);
    assert.ok(encoded.length > 40 && rejected.length > 10);
});

for (const source of allSources) {
    for (const row of encoded.filter(isExpressible)) {
        test(`${source.name}: ${row.name}`, async (t) => {
            const types = row.dispatched.map(({ type }) => type);
            const stream = await openFor(t, source, hub.events(row.name), types);
            for (const event of row.events) {
                assert.equal((await publish(row.name, event)).status, 202);
            }
            assert.deepEqual(await stream.untilEvents(row.dispatched.length), expectedEvents(source, row));
            if (stream.parser) {
                assert.deepEqual(stream.body, Buffer.concat([Buffer.from(FIRST_BYTE), row.wire]));
                stream.parser.end();
            }
            assert.deepEqual(stream.errors, []);
        });
    }
}

for (const row of rejected.filter(isExpressible)) {
    test(`${row.name} is refused`, async (t) => {
        const [, start] = row.name.match(/^rej\/(id|event|data|retry)-/);
        const stream = await openFor(t, curlSources[0], hub.events(row.name));
        for (const event of row.events) {
            const { status, field, error } = await publish(row.name, event);
            assert.deepEqual({ status, field }, { status: 400, field: start === 'event' ? 'type' : start });
            assert.ok(error.length > 0);
        }
        assert.equal((await publish(row.name, { data: 'still usable' })).status, 202);
        await stream.untilEvents(1);
        assert.equal(stream.body.toString(), `${FIRST_BYTE}data: still usable\n\n`);
    });
}
