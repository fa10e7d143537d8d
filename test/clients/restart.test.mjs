// SPDX-License-Identifier: MIT
// A hub with 1,000 clients is stopped, and another one replaces it. The clients do not all reconnect at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openHerd, untilLogged } from './herd.mjs';
import { startHub, until } from './hub.mjs';
import { LARGE, MORE_THAN_FITS, PATIENT } from './stalled.mjs';

const SIZE = 1000;
const STALLED = 10;
const RETRY = 1500;
const [RETRY_MIN, RETRY_MAX] = [2000, 3999];
const BUCKETS = 10;

// With this many draws from ten equal buckets, the value exceeds this less than once in a million times.
const CHI_SQUARED_MAX = 45;

/** Counts the numbers in each tenth of the range. */
function tenths(numbers, minimum, maximum) {
    const counts = Array(BUCKETS).fill(0);
    for (const number of numbers) {
        const share = (number - minimum) / (maximum + 1 - minimum);
        counts[Math.min(Math.max(Math.floor(share * BUCKETS), 0), BUCKETS - 1)] += 1;
    }
    return counts;
}

function chiSquared(counts) {
    const expected = counts.reduce((sum, count) => sum + count, 0) / counts.length;
    return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

test('1,000 clients at a SIGTERM: the report adds up, and the reconnects are spread over the range', async (t) => {
    const options = [...PATIENT, '--retry', String(RETRY)];
    const hub = await startHub([...options, '--grace', '300', '--retry-range', `${RETRY_MIN}-${RETRY_MAX}`]);
    t.after(() => hub.kill());
    const readers = await openHerd(t, hub.port, 'readers', SIZE - STALLED);
    const stalled = await openHerd(t, hub.port, 'stalled', STALLED);
    stalled.forEach((client) => client.socket.pause());
    for (let i = 0; i < MORE_THAN_FITS; ++i) {
        assert.equal((await hub.publish({ topic: 'stalled', data: LARGE })).status, 202);
    }
    assert.equal((await hub.publish({ topic: 'readers', data: 'x' })).receivers, readers.length);
    assert.equal((await hub.stats()).emitters, SIZE);

    hub.child.kill('SIGTERM');
    await untilLogged(readers, 'end', 1);
    await hub.untilExit();
    const next = await startHub(options, { port: hub.port });
    t.after(() => next.stop());
    stalled.forEach((client) => client.socket.resume());

    const { clients, completed, cut, bytesLeft, duration } = hub.report;
    t.diagnostic(`the hub said: ${hub.stdout.trim().split('\n').at(-1)}`);
    assert.deepEqual([clients, completed + cut, completed, cut], [SIZE, SIZE, readers.length, STALLED]);
    assert.ok(bytesLeft > STALLED * MORE_THAN_FITS * LARGE.length / 2, `${bytesLeft} bytes`);
    assert.ok(duration >= 300);

    // From the logs: the retry of each client, and the time of its reconnect.
    await untilLogged([...readers, ...stalled], 'open', 2);
    const told = readers.map((client) => client.entries('end')[0].value);
    assert.ok(told.every((retry) => retry >= RETRY_MIN && retry <= RETRY_MAX));
    const drawn = tenths(told, RETRY_MIN, RETRY_MAX);
    t.diagnostic(`retries in each tenth of the range: ${drawn.join(' ')}`);
    assert.ok(drawn.every((count) => count > 0), `${drawn}`);
    assert.ok(chiSquared(drawn) < CHI_SQUARED_MAX, `${drawn}`);
    assert.ok(new Set(told).size > readers.length / 2, `only ${new Set(told).size} different ones`);

    const absences = readers.map((client) => client.entries('dial')[1].at - client.entries('end')[0].at);
    // A timer of node counts whole milliseconds.
    absences.forEach((absence, index) => assert.ok(absence > told[index] - 2, JSON.stringify(readers[index].log)));
    const spread = tenths(absences, RETRY_MIN, RETRY_MAX);
    // Not a condition: those whose time passes while this process waits for the processor come back together.
    t.diagnostic(`they came back in each tenth of the range: ${spread.join(' ')}`);

    // Clients that were cut off did not receive a time from the range.
    assert.ok(stalled.every((client) => client.entries('cut')[0].value === RETRY));
    await until(async () => (await next.stats()).emitters === SIZE, 'the next hub to have all of them');
    assert.equal((await next.publish({ data: 'welcome back' })).receivers, SIZE);
});
