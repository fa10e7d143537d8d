// SPDX-License-Identifier: MIT
// GET /metrics: Prometheus's text format, and the numbers of GET /stats.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { request, startHub, until } from './hub.mjs';
import { closePeers, Peer } from './peer.mjs';

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABEL = `(?<label>${NAME})="(?<value>[^"\\\\\\n]*)"`;
const SAMPLE = new RegExp(`^(?<name>${NAME})(?:\\{${LABEL}\\})? (?<number>\\d+(?:\\.\\d+)?)$`);

/** Parses the format strictly: a HELP, a TYPE, then the samples of that metric. */
function readMetrics(text) {
    assert.ok(text.endsWith('\n'));
    const metrics = new Map();
    let current;
    for (const line of text.slice(0, -1).split('\n')) {
        const [, word, name, rest] = line.match(/^# (HELP|TYPE) (\S+) (.+)$/) ?? [];
        if (word === 'HELP') {
            assert.ok(!metrics.has(name), `${name} comes twice`);
            current = { name, help: rest, samples: [] };
            metrics.set(name, current);
        } else if (word === 'TYPE') {
            assert.deepEqual([name, current.type], [current.name, undefined]);
            assert.match(rest, /^(counter|gauge|histogram)$/);
            current.type = rest;
        } else {
            const { groups } = line.match(SAMPLE) ?? assert.fail(line);
            const suffix = groups.name.slice(current.name.length);
            assert.ok(groups.name.startsWith(current.name) && current.type !== undefined, line);
            assert.match(suffix, current.type === 'histogram' ? /^_(bucket|count)$/ : /^$/);
            current.samples.push({ ...groups, suffix, number: Number(groups.number) });
        }
    }
    metrics.forEach(({ name, type, samples }) => {
        assert.ok(samples.length > 0, name);
        assert.equal(type === 'counter', name.endsWith('_total'), name);
    });
    return metrics;
}

async function scrape(hub) {
    const { status, headers, text } = await request(`${hub.url}metrics`);
    assert.deepEqual([status, headers['content-type']], [200, 'text/plain; version=0.0.4; charset=utf-8']);
    return readMetrics(text);
}

test('the metrics have the numbers of /stats', async (t) => {
    const hub = await startHub(['--heartbeat', '0']);
    t.after(() => {
        closePeers();
        return hub.stop();
    });
    const peers = await Promise.all(['a', 'a', 'b'].map((topic) => Peer.openStream(hub.port, topic)));
    for (let number = 0; number < 20; ++number) {
        await hub.publish({ topic: ['a', 'b', 'c'][number % 3], data: 'x'.repeat(100 * number) });
    }
    await hub.complete('b');
    await peers[2].untilEnd();
    await until(() => peers[0].events.length === 7 && peers[1].events.length === 7, 'all events');

    const [stats, metrics] = [await hub.stats(), await scrape(hub)];
    const value = (name) => metrics.get(`sse_hub_${name}`).samples[0].number;
    const same = {
        streams: 'emitters', watchers: 'watchers', topics: 'topics', queued_bytes: 'backlog_bytes',
        history_events: 'history_events', history_bytes: 'history_bytes', memory_bytes: 'memory_bytes',
        streams_opened_total: 'added', streams_refused_total: 'refused', clients_shed_total: 'shed',
        events_published_total: 'published', deliveries_total: 'queued', events_written_total: 'written',
        bytes_written_total: 'bytes', events_dropped_total: 'dropped', replays_total: 'replays',
        events_replayed_total: 'replayed', gaps_total: 'gaps', stdin_lines_total: 'lines',
    };
    for (const [metric, name] of Object.entries(same)) {
        assert.equal(value(metric), stats[name], metric);
    }
    assert.equal(value('events_published_total'), 20);
    assert.equal(value('connections_accepted_total'), stats.accepted + 1, 'it counts its own connection');
    assert.ok(value('uptime_seconds') >= stats.uptime_ms / 1000);
    assert.deepEqual(Object.fromEntries(metrics.get('sse_hub_streams_ended_total').samples
        .map(({ label, value: reason, number }) => [label === 'reason' && reason, number])), stats.closed);
    assert.equal(stats.closed.completed, 1);

    const { samples } = metrics.get('sse_hub_delivery_seconds');
    const buckets = samples.filter(({ suffix }) => suffix === '_bucket');
    const [{ number: count }] = samples.filter(({ suffix }) => suffix === '_count');
    assert.equal(count, stats.written);
    assert.deepEqual([buckets.at(-1).value, buckets.at(-1).number], ['+Inf', count]);
    buckets.slice(0, -1).forEach(({ label, value: bound, number }, index) => {
        const below = stats.latency.filter(({ below_ns: nanoseconds }) => nanoseconds <= Number(bound) * 1.001e9);
        assert.deepEqual([label, number], ['le', below.reduce((sum, bucket) => sum + bucket.count, 0)], bound);
        assert.ok(index === 0 || Number(bound) > Number(buckets[index - 1].value));
    });
});
