// SPDX-License-Identifier: MIT
// The stream: what is followed, what comes, and what is published.

const ROWS_MAX = 500;
const DEFAULT_EVENT_NAMES = ['message', 'update', 'notice', 'alarm'];
/* What the hub itself says in a stream. */
const MARKS = { gap: onGap, replay: onReplay, farewell: onFarewell };

let source = null;
let lastId = '';
let topics = [];
let eventNames = [];
let received = 0;
let reconnects = 0;
let replayed = 0;
let gaps = 0;
let rowsSinceOpen = [];
let paused = false;
let heldBack = [];

const fields = byId('publish-form').elements;
const clock = new Intl.DateTimeFormat(undefined, {
    hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3, hourCycle: 'h23',
});

function sameList(one, other) {
    return JSON.stringify(one) === JSON.stringify(other);
}

function encodePairs(prefix, pairs) {
    const parts = pairs.filter(([, value]) => value !== '')
        .map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    return parts.length > 0 ? prefix + parts.join('&') : '';
}

/* The stream */

function setState(state, label, notice = '') {
    byId('state').dataset.state = state;
    setText('state', label);
    setText('notice', notice);
    setText('connect-button', source === null ? 'Connect' : 'Disconnect');
}

// `after`: the id of the last event that was seen, to go on from there.
function connect(after = '') {
    source?.close();
    lastId = after;
    source = new EventSource('events' + encodePairs('?',
        [...topics.map((topic) => ['topic', topic]), ['lastEventId', after]]));
    source.addEventListener('open', onOpen);
    source.addEventListener('error', onError);
    eventNames.forEach((name) => source.addEventListener(name, onEvent));
    Object.entries(MARKS).forEach(([name, onMark]) => source.addEventListener(name, onMark));
    setText('last-event-id', after);
    setState('connecting', 'Connecting');
}

function disconnect(notice) {
    source.close();
    source = null;
    setState('closed', 'Closed', notice);
}

function toggleConnection() {
    if (source === null) {
        connect(lastId);
    } else {
        disconnect('You disconnected.');
    }
}

// A server may well send an event of type "open" or "error": that is a MessageEvent, and says
// nothing about the connection.
function onOpen(event) {
    if (!(event instanceof MessageEvent)) {
        rowsSinceOpen = [];
        setState('open', 'Open');
    }
}

function onError(event) {
    if (event instanceof MessageEvent) {
        return;
    }
    if (source.readyState === EventSource.CLOSED) {
        disconnect('The server refused the stream, or ended it for good.');
        return;
    }
    if (byId('state').dataset.state === 'open') {
        reconnects += 1;
        setText('reconnects', String(reconnects));
    }
    setState('connecting', 'Reconnecting');
}

function noteId(id) {
    lastId = id;
    setText('last-event-id', id);
}

function onEvent(event) {
    if (!(event instanceof MessageEvent)) {
        return;
    }
    const row = makeRow(event);
    received += 1;
    rowsSinceOpen = [...rowsSinceOpen.slice(1 - ROWS_MAX), row];
    setText('received', String(received));
    noteId(event.lastEventId);
    addRow(row);
}

function addRow(row) {
    if (paused) {
        heldBack = [...heldBack, row].slice(-ROWS_MAX);
        setText('pause-button', `Resume (${heldBack.length})`);
    } else {
        showRow(row);
    }
}

/* What the hub says about the stream: an event that was published with one of these types looks the
 * same, so what it says is shown, and never trusted. */

function onGap(event) {
    const [asked = '', oldest = ''] = event.data.split('\n');
    const after = asked === '' ? 'after the last one' : `after ${asked}`;
    const next = oldest === '' ? 'what is published from now on' : oldest;
    gaps += 1;
    setText('gaps', String(gaps));
    noteId(event.lastEventId);
    addMark('gap', 'Gap', `Events ${after} may be missing. Next: ${next}`);
}

function onReplay(event) {
    const count = /^[1-9][0-9]{0,8}$/.test(event.data) ? Number(event.data) : 0;
    rowsSinceOpen.slice(0, count).filter((row) => !('replayed' in row.dataset)).forEach((row) => {
        const badge = make('span', 'replayed');
        badge.className = 'replayed';
        row.dataset.replayed = '';
        row.querySelector('time').before(badge);
    });
    replayed += count;
    setText('replayed', replayed.toLocaleString());
    addMark('replay', 'Replay', `Missed, and sent again: ${event.data}`);
}

function onFarewell(event) {
    addMark('farewell', 'Farewell', event.data);
}

function addMark(kind, title, text) {
    const row = byId('mark-row').content.firstElementChild.cloneNode(true);
    row.dataset.kind = kind;
    row.querySelector('strong').textContent = title;
    row.querySelector('span').textContent = text;
    stamp(row.querySelector('time'));
    addRow(row);
}

/* The list */

function stamp(time) {
    const now = new Date();
    time.textContent = clock.format(now);
    time.dateTime = now.toISOString();
}

function makeRow(event) {
    const row = byId('event-row').content.firstElementChild.cloneNode(true);
    const [type, id, time, data] = ['.type', '.id', 'time', '.data'].map((name) => row.querySelector(name));
    row.dataset.type = event.type;
    row.dataset.id = event.lastEventId;
    type.textContent = event.type;
    type.style.setProperty('--hue', hueOf(event.type));
    id.textContent = describeId(event.lastEventId);
    stamp(time);
    data.textContent = event.data;
    return row;
}

// An event that has no id of its own carries the one before.
function describeId(id) {
    const kept = id === byId('last-event-id').textContent;
    return id === '' ? '' : `id ${kept ? 'still ' : ''}${id}`;
}

function hueOf(type) {
    const mixed = [...type].reduce((hue, character) => (hue * 31 + character.codePointAt(0)) % 360, 0);
    return type === 'message' ? 262 : mixed;
}

function showRow(row) {
    byId('events').prepend(row);
    if (byId('events').childElementCount > ROWS_MAX) {
        byId('events').lastElementChild.remove();
    }
}

function togglePause() {
    paused = !paused;
    setText('pause-button', paused ? 'Resume' : 'Pause');
    heldBack.forEach(showRow);
    heldBack = [];
}

function clearList() {
    byId('events').replaceChildren();
    heldBack = [];
    setText('pause-button', paused ? 'Resume' : 'Pause');
}

/* What to follow: in two fields, and in the address as #topic=a&topic=b&event=c */

function follow(newTopics, newNames) {
    const before = topics;
    topics = [...new Set(newTopics)];
    byId('topics').value = topics.join(', ');
    setEventNames(newNames);
    if (fields.topic.value === (before[0] ?? '')) {
        fields.topic.value = topics[0] ?? '';
    }
    if (source === null || !sameList(topics, before)) {
        connect();
    }
}

function setEventNames(names) {
    eventNames.forEach((name) => source?.removeEventListener(name, onEvent));
    eventNames = names.length > 0 ? [...new Set(names)] : DEFAULT_EVENT_NAMES;
    eventNames.forEach((name) => source?.addEventListener(name, onEvent));
    byId('event-names').value = eventNames.join(', ');

    const shared = sameList(eventNames, DEFAULT_EVENT_NAMES) ? [] : eventNames;
    const pairs = [...topics.map((topic) => ['topic', topic]), ...shared.map((name) => ['event', name])];
    history.replaceState(null, '', location.pathname + location.search + encodePairs('#', pairs));
}

function followAddress() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    follow(wanted.getAll('topic').filter(Boolean), wanted.getAll('event').filter(Boolean));
}

// A name that was not typed here may hold a comma: a field that was not edited is not split.
function readList(id, current) {
    const text = byId(id).value;
    return text === current.join(', ') ? current : text.split(',').map((item) => item.trim()).filter(Boolean);
}

function followFields(event) {
    event.preventDefault();
    follow(readList('topics', topics), readList('event-names', eventNames));
}

/* Publishing */

function showResult(outcome, title, detail, field = '') {
    [...fields].forEach((input) => input.removeAttribute('aria-invalid'));
    fields.namedItem(field)?.setAttribute('aria-invalid', 'true');
    const body = make(outcome === 'ok' ? 'code' : 'span', detail);
    byId('publish-result').dataset.outcome = outcome;
    byId('publish-result').replaceChildren(make('strong', title), ' ', body);
}

async function post(done, path, pairs, body) {
    const token = fields.token.value;
    try {
        const response = await fetch(path + encodePairs('?', pairs), {
            method: 'POST',
            headers: token === '' ? {} : { Authorization: `Bearer ${token}` },
            body,
            signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
        });
        const reply = parseObject(await response.text());
        if (response.ok) {
            showResult('ok', `${done} (${response.status})`, JSON.stringify(reply, null, 1));
            return;
        }
        const { error = '', field = response.status === 401 ? 'token' : '' } = reply;
        showResult('error', `Refused (${response.status})${field && `: ${field}`}`, error, field);
    } catch (error) {
        showResult('error', 'No answer', error.message);
    }
}

function publish(event) {
    event.preventDefault();
    const pairs = ['topic', 'type', 'id', 'retry', 'key'].map((name) => [name, fields[name].value]);
    setEventNames([...eventNames, fields.type.value || 'message']);
    post('Published', 'publish', pairs, fields.data.value);
}

function completeTopic() {
    post('Ended', 'complete', [['topic', fields.topic.value]]);
}

byId('follow-form').addEventListener('change', followFields);
byId('follow-form').addEventListener('submit', followFields);
byId('publish-form').addEventListener('submit', publish);
byId('complete-button').addEventListener('click', completeTopic);
byId('pause-button').addEventListener('click', togglePause);
byId('clear-button').addEventListener('click', clearList);
byId('connect-button').addEventListener('click', toggleConnection);
window.addEventListener('hashchange', followAddress);
// A page that is kept for the back button holds no stream meanwhile.
window.addEventListener('pagehide', () => source?.close());
window.addEventListener('pageshow', (event) => event.persisted && source && connect(lastId));

followAddress();
