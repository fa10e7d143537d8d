// SPDX-License-Identifier: MIT
// The end of a hub: what its clients receive, when they reconnect, and what the hub reports.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startHub, until } from './hub.mjs';
import { Peer } from './peer.mjs';
import { eventSources, fetchSource, openFor } from './sources.mjs';
import { LARGE, MORE_THAN_FITS, openStalled, PATIENT } from './stalled.mjs';

function terminate(hub, signal = 'SIGTERM') {
    hub.child.kill(signal);
}

for (const signal of ['SIGTERM', 'SIGINT']) {
    test(`${signal}: a farewell, a retry from the range, an end, and a report`, async (t) => {
        const hub = await startHub(['--retry', '0', '--retry-range', '2000-2009']);
        const peers = await Promise.all(Array.from({ length: 20 }, () => Peer.openStream(hub.port, 'a')));
        t.after(() => peers.forEach((peer) => peer.close()));
        terminate(hub, signal);
        await Promise.all(peers.map((peer) => peer.untilEnd()));
        for (const peer of peers) {
            assert.equal(peer.error, null);
            const [farewell, ...more] = peer.events;
            assert.deepEqual([farewell.type, more], ['farewell', []]);
            assert.match(peer.text, /\nretry: 200\d\n\n\r\n0\r\n\r\n$/);
            peer.close();
        }
        await hub.untilExit();
        const { duration, ...report } = hub.report;
        assert.deepEqual(report, { clients: 20, completed: 20, cut: 0, bytesLeft: 0 });
        assert.ok(duration >= 0);
    });
}

test('clients with an EventSource wait as long as the hub says', async (t) => {
    const hub = await startHub(['--retry-range', '4321-4321']);
    for (const source of eventSources) {
        const stream = await openFor(t, source, hub.events('a'), ['farewell']);
        source.stream = stream;
    }
    const delays = [];
    const original = globalThis.setTimeout;
    globalThis.setTimeout = (callback, delay, ...rest) => {
        delays.push(delay);
        return original(callback, delay, ...rest);
    };
    t.after(() => { globalThis.setTimeout = original; });
    await hub.stop();
    for (const { stream } of eventSources) {
        await stream.untilErrors(1);
        assert.deepEqual(stream.events.map(({ type }) => type), ['farewell']);
        stream.close();
    }
    assert.equal(delays.filter((delay) => delay === 4321).length, eventSources.length);
});

test('queued events are sent within the grace to a client that reads', async (t) => {
    const hub = await startHub([...PATIENT, '--grace', '100000']);
    const [slow] = await openStalled(t, hub, 1);
    terminate(hub);
    const refused = () => Peer.connect(hub.port).then((peer) => peer.close(), () => true);
    await until(refused, 'the hub to accept nobody any more');
    slow.readAgain();
    await slow.untilEnd();
    assert.ok(slow.text.endsWith('\r\n0\r\n\r\n'));
    assert.equal(slow.events.at(-1).type, 'farewell');
    slow.close();
    await hub.untilExit();
    const { clients, completed, cut, bytesLeft } = hub.report;
    assert.deepEqual([clients, completed, cut, bytesLeft], [1, 1, 0, 0]);
});

for (const grace of ['300', '0']) {
    test(`bytes that are not accepted within a grace of ${grace} ms are dropped and counted`, async (t) => {
        const hub = await startHub([...PATIENT, '--grace', grace, '--retry-range', '1000-9999']);
        const reader = await Peer.openStream(hub.port, 'stalled');
        const peers = await openStalled(t, hub, 2);
        await until(() => reader.size > MORE_THAN_FITS * LARGE.length, 'all events');
        terminate(hub);
        await reader.untilEnd();
        reader.close();
        await hub.untilExit();
        const { clients, completed, cut, bytesLeft, duration } = hub.report;
        assert.deepEqual([clients, completed, cut], [3, 1, 2]);
        assert.ok(duration >= Number(grace), `${duration} ms`);
        // All clients had the same queue, and bytes that the kernel accepted do arrive. The last chunk was never
        // queued.
        peers.forEach((peer) => peer.readAgain());
        await Promise.all(peers.map((peer) => peer.untilEnd()));
        const missing = peers.map((peer) => reader.size - '0\r\n\r\n'.length - peer.size);
        assert.equal(missing[0] + missing[1], bytesLeft);
        peers.forEach((peer) => assert.ok(peer.received.equals(reader.received.subarray(0, peer.received.length))));
    });
}

test('a second signal ends the hub at once, and the report is still printed', async (t) => {
    const hub = await startHub([...PATIENT, '--grace', '1000000']);
    await openStalled(t, hub, 1);
    const reader = await Peer.openStream(hub.port, 'a');
    terminate(hub);
    await reader.untilEnd();
    reader.close();
    terminate(hub, 'SIGINT');
    await hub.untilExit();
    const { clients, completed, cut, bytesLeft } = hub.report;
    assert.deepEqual([clients, completed, cut], [2, 1, 1]);
    assert.ok(bytesLeft > 0);
});

test('SIGPIPE does not end a hub, nor does a standard output that nobody reads', async (t) => {
    const hub = await startHub();
    hub.child.kill('SIGPIPE');
    const resetting = await Promise.all(Array.from({ length: 20 }, () => Peer.openStream(hub.port, 'a')));
    // The hub is writing when they disconnect.
    resetting.forEach((peer) => peer.stopReading());
    await hub.publish({ topic: 'a', data: LARGE });
    resetting.forEach((peer) => peer.reset());
    await until(async () => (await hub.publish({ topic: 'a', data: 'x' })).receivers === 0, 'them to be forgotten');
    const stream = await openFor(t, fetchSource, hub.events('b'));
    assert.equal((await hub.publish({ topic: 'b', data: 'still there' })).receivers, 1);
    await stream.untilEvents(1);
    hub.child.stdout.destroy();
    hub.child.kill('SIGTERM');
    await hub.untilExit();
});
