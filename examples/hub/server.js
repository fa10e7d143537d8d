// SPDX-License-Identifier: MIT
// The server: graphs of the last minute, and all its counters.

const STATS_INTERVAL_MS = 1000;
const WINDOW_MS = 60000;

let samples = [];

const isNumber = (value) => typeof value === 'number' && Number.isFinite(value);
const count = (number) => Math.round(number).toLocaleString();

function bytes(number) {
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
    let power = 0;
    while (number >= 1024 && power < units.length - 1) {
        number /= 1024;
        power += 1;
    }
    const digits = power > 0 && number < 10 ? 1 : 0;
    return `${number.toLocaleString(undefined, { maximumFractionDigits: digits })} ${units[power]}`;
}

function duration(nanoseconds) {
    const units = [[1e9, 's'], [1e6, 'ms'], [1e3, 'µs'], [1, 'ns']];
    const [size, unit] = units.find(([one]) => nanoseconds >= one) ?? units.at(-1);
    return `${Number((nanoseconds / size).toPrecision(2))} ${unit}`;
}

/** Reads a number of an answer. A wrong answer gives 0. */
function read(stats, ...names) {
    const value = names.reduce((object, name) => Object(object)[name], stats);
    return isNumber(value) ? value : 0;
}

const byTime = (name) => (sample) => read(sample.stats, name);
const perSecond = (name) => (sample, before) => {
    const seconds = before ? (sample.time - before.time) / 1000 : 0;
    return seconds > 0 ? Math.max(0, read(sample.stats, name) - read(before.stats, name)) / seconds : 0;
};

const graphs = [
    {
        name: 'clients', label: 'Clients', format: count,
        series: ({ stats }) => read(stats, 'emitters') + read(stats, 'watchers'),
        detail: (stats) => `${count(read(stats, 'emitters'))} follow topics, `
            + `${count(read(stats, 'watchers'))} everything`,
    }, {
        name: 'events', label: 'Events sent per second', series: perSecond('written'), format: count,
        detail: (stats) => `${count(read(stats, 'published'))} published, `
            + `${count(read(stats, 'replayed'))} replayed`,
    }, {
        name: 'queued', label: 'Queued', series: byTime('backlog_bytes'), format: bytes,
        detail: (stats) => `${bytes(read(stats, 'memory_bytes'))} of memory, `
            + `${count(read(stats, 'history_events'))} kept`,
    }, {
        name: 'dropped', label: 'Dropped per second', series: perSecond('dropped'), format: count,
        detail: (stats) => `${count(read(stats, 'dropped'))} in all, `
            + `${count(read(stats, 'closed', 'overflow') + read(stats, 'closed', 'stall'))} clients cut off`,
    },
];

function makeGraph(name, label, kind) {
    const figure = byId('graph').content.firstElementChild.cloneNode(true);
    figure.dataset.graph = name;
    figure.dataset.kind = kind;
    figure.querySelector('figcaption').textContent = label;
    byId('graphs').append(figure);
    return (part) => figure.querySelector(`.${part}`);
}

/** The next number of 1, 2, 5, 10, 20 and so on, or the next power of two for bytes. */
function roundUp(number, format) {
    if (format === bytes) {
        return 2 ** Math.ceil(Math.log2(Math.max(number, 1024)));
    }
    const power = 10 ** Math.floor(Math.log10(Math.max(number, 1)));
    return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= number);
}

function drawLine(graph, part) {
    const { time: now } = samples.at(-1);
    const values = samples.map((sample, index) => graph.series(sample, samples[index - 1]));
    const top = roundUp(Math.max(...values) * 1.1, graph.format);
    const points = samples.map(({ time }, index) => {
        const x = Math.max(0, 60 - (now - time) * 60 / WINDOW_MS);
        return `${x.toFixed(2)} ${(20 - 20 * values[index] / top).toFixed(2)}`;
    });
    const [start] = points[0].split(' ');
    part('line').setAttribute('d', `M${points.join('L')}`);
    part('area').setAttribute('d', `M${start} 20L${points.join('L')}L60 20Z`);
    part('value').textContent = graph.format(values.at(-1));
    part('scale').textContent = graph.format(top);
    part('detail').textContent = graph.detail(samples.at(-1).stats);
}

/* The buckets of latencies are powers of two. Those from 1 µs to 17 s are drawn. */
const FIRST_BUCKET = 10;
const LAST_BUCKET = 34;

function bucketsOf({ stats }) {
    const { latency } = Object(stats);
    return Array.isArray(latency) ? latency.map((bucket) => ({
        below: read(bucket, 'below_ns'), count: read(bucket, 'count'),
    })) : [];
}

/** What was added during the window, or since the start if earlier numbers are not known. */
function recentBuckets() {
    const before = bucketsOf(samples[0]);
    const all = bucketsOf(samples.at(-1));
    return samples.length < 2 ? all : all.map(({ below, count: number }, index) => ({
        below, count: Math.max(0, number - read(before[index], 'count')),
    }));
}

function boundOf(buckets, share) {
    const total = buckets.reduce((sum, bucket) => sum + bucket.count, 0);
    let sum = 0;
    return buckets.find((bucket) => (sum += bucket.count) > 0 && sum >= total * share)?.below;
}

function drawBars(part) {
    const buckets = recentBuckets();
    const drawn = Array(LAST_BUCKET - FIRST_BUCKET + 1).fill(0);
    buckets.forEach((bucket, index) => {
        drawn[Math.min(Math.max(index, FIRST_BUCKET), LAST_BUCKET) - FIRST_BUCKET] += bucket.count;
    });
    const most = Math.max(...drawn, 1);
    const width = 60 / drawn.length;
    const bars = drawn.map((number, index) => {
        const height = number === 0 ? 0 : Math.max(0.6, 13 * number / most);
        const [left, up, right] = [index * width + 0.2, -height, width - 0.4].map((one) => one.toFixed(2));
        return `M${left} 20v${up}h${right}V20Z`;
    });
    const [half, most99] = [boundOf(buckets, 0.5), boundOf(buckets, 0.99)];
    part('bars').setAttribute('d', bars.join(''));
    part('value').textContent = half === undefined ? '–' : `< ${duration(half)}`;
    part('scale').textContent = most99 === undefined ? '' : `99 % < ${duration(most99)}`;
}

const drawings = graphs.map((graph) => {
    const part = makeGraph(graph.name, graph.label, 'line');
    return () => drawLine(graph, part);
});
const latencyPart = makeGraph('latency', 'Latency, median', 'bars');
latencyPart('detail').replaceChildren(...['1 µs', '1 ms', '1 s'].map((text) => make('span', text)));
drawings.push(() => drawBars(latencyPart));

function labelledNumbers(label, value) {
    if (isNumber(value)) {
        return [[label, value]];
    }
    const isGroup = typeof value === 'object' && value !== null && !Array.isArray(value);
    const members = isGroup ? Object.entries(value) : [];
    return members.flatMap(([name, member]) => labelledNumbers(`${label} ${name}`, member));
}

function showNumbers(numbers) {
    const boxes = numbers.map(([label, number]) => {
        const box = document.createElement('div');
        box.append(make('dt', label.replaceAll('_', ' ').trim()), make('dd', number.toLocaleString()));
        return box;
    });
    byId('stats').replaceChildren(...boxes);
    byId('server').hidden = boxes.length === 0;
}

function showStats(stats) {
    const time = performance.now();
    // If a counter has decreased, another hub answers now.
    if (samples.length > 0 && read(stats, 'uptime_ms') < read(samples.at(-1).stats, 'uptime_ms')) {
        samples = [];
    }
    samples = [...samples.filter((sample) => time - sample.time <= WINDOW_MS), { time, stats }];
    showNumbers(labelledNumbers('', stats));
    drawings.forEach((draw) => draw());
}

async function refreshStats() {
    const open = byId('state').dataset.state === 'open';
    byId('server').toggleAttribute('data-stale', !open);
    if (open && !document.hidden) {
        try {
            const response = await fetch('stats', { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
            if (!response.ok) {
                byId('server').hidden = true;
                return;
            }
            showStats(parseObject(await response.text()));
        } catch {
            // The state of the stream shows that the server is not reachable. The old numbers stay.
        }
    }
    setTimeout(refreshStats, STATS_INTERVAL_MS);
}

refreshStats();
