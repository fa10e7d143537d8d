// SPDX-License-Identifier: MIT
// The stream section of the page: which topics are followed, and the events that arrive.

const ROWS_MAX = 500;
/* The types of the events that the hub itself sends in a stream. */
const MARKS = { gap: onGap, replay: onReplay, farewell: onFarewell };

let source = null;
let lastId = '';
let topics = [];
let received = 0;
let reconnects = 0;
let replayed = 0;
let gaps = 0;
let rowsSinceOpen = [];
let paused = false;
let heldBack = [];

const clock = new Intl.DateTimeFormat(undefined, {
    hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3, hourCycle: 'h23',
});

function setState(state, label, notice = '') {
    byId('state').dataset.state = state;
    setText('state', label);
    setText('notice', notice);
    setText('connect-button', source === null ? 'Connect' : 'Disconnect');
}

// `after`: the id of the last event that was received. The stream continues after it.
function connect(after = '') {
    const query = encodePairs('?', topics.map((topic) => ['topic', topic]));
    source?.close();
    lastId = after;
    source = new Source(topics.length === 0 ? 'watch' : `events${query}`, tokenHeader(), after, {
        open: onOpen, event: onEvent, line: onLine, broken: onBroken, refused: onRefused,
    });
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

function onOpen() {
    rowsSinceOpen = [];
    setState('open', 'Open');
}

function onBroken() {
    if (byId('state').dataset.state === 'open') {
        reconnects += 1;
        setText('reconnects', String(reconnects));
    }
    setState('connecting', 'Reconnecting');
}

function onRefused(status, error) {
    const advice = status === 401 ? ' Type the token under Publish, then connect.' : '';
    disconnect(`The server refused the stream (${status}): ${error}.${advice}`);
}

function noteId(id) {
    lastId = id;
    setText('last-event-id', id);
}

function onEvent(event) {
    const onMark = Object.hasOwn(MARKS, event.type) ? MARKS[event.type] : null;
    if (onMark !== null) {
        onMark(event);
        return;
    }
    const row = makeRow(event);
    received += 1;
    rowsSinceOpen = [...rowsSinceOpen.slice(1 - ROWS_MAX), row];
    setText('received', String(received));
    noteId(event.id);
    addRow(row);
}

function addRow(row) {
    if (paused) {
        heldBack = [...heldBack, row].slice(-ROWS_MAX);
        setText('pause-button', `Resume (${heldBack.filter((held) => !held.matches('.wire')).length})`);
    } else {
        showRow(row);
    }
}

/* Events of the hub itself. A client can publish events with the same types, so the page only displays them. */

function onGap({ data, id, raw }) {
    const [asked = '', oldest = ''] = data.split('\n');
    const after = asked === '' ? 'after the last one' : `after ${asked}`;
    const next = oldest === '' ? 'the next event that is published' : oldest;
    gaps += 1;
    setText('gaps', String(gaps));
    noteId(id);
    addMark('gap', 'Gap', `Events ${after} may be missing. Next: ${next}`, raw);
}

function onReplay({ data, raw }) {
    const count = /^[1-9][0-9]{0,8}$/.test(data) ? Number(data) : 0;
    rowsSinceOpen.slice(0, count).filter((row) => !('replayed' in row.dataset)).forEach((row) => {
        const badge = make('span', 'replayed');
        badge.className = 'replayed';
        row.dataset.replayed = '';
        row.querySelector('time').before(badge);
    });
    replayed += count;
    setText('replayed', replayed.toLocaleString());
    addMark('replay', 'Replay', `Missed, and sent again: ${data}`, raw);
}

function onFarewell({ data, raw }) {
    addMark('farewell', 'Farewell', data, raw);
}

function addMark(kind, title, text, raw) {
    const row = makeFrom('mark-row', raw);
    row.dataset.kind = kind;
    row.querySelector('strong').textContent = title;
    row.querySelector('span').textContent = text;
    addRow(row);
}

/** A line that belongs to no event is shown only in the raw stream. */
function onLine(line) {
    const row = makeFrom('wire-row', line);
    row.querySelector('span').textContent = line === ':' ? 'Heartbeat' : 'Reconnection time';
    addRow(row);
}

/* The list */

function makeFrom(template, raw) {
    const row = byId(template).content.firstElementChild.cloneNode(true);
    const time = row.querySelector('time');
    const now = new Date();
    time.textContent = clock.format(now);
    time.dateTime = now.toISOString();
    row.querySelector('.raw').textContent = raw;
    return row;
}

function makeRow({ type, data, id, comments, raw }) {
    const row = makeFrom('event-row', raw);
    const [typeBadge, topic, idText, text] = ['.type', '.topic', '.id', '.data']
        .map((name) => row.querySelector(name));
    row.dataset.type = type;
    row.dataset.id = id;
    typeBadge.textContent = type;
    typeBadge.style.setProperty('--hue', hueOf(type));
    topic.textContent = describeTopic(comments);
    idText.textContent = describeId(id);
    text.textContent = data;
    return row;
}

/** While everything is followed, a comment in front of each event names its topic. */
function describeTopic(comments) {
    const quoted = comments.find((comment) => /^topic "/.test(comment))?.slice('topic '.length);
    if (quoted === undefined) {
        return topics.length === 0 ? 'to everyone' : '';
    }
    try {
        return `in ${JSON.parse(quoted)}`;
    } catch {
        return '';
    }
}

// An event without its own id has the id of the event before it.
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

function showRaw(shown) {
    byId('raw-button').setAttribute('aria-pressed', String(shown));
    byId('events').toggleAttribute('data-raw', shown);
}

function toggleRaw() {
    showRaw(byId('raw-button').getAttribute('aria-pressed') !== 'true');
}

/* The topics to follow are in a field, in the list of topics, and in the address as #topic=a&topic=b. Without
 * topics, everything is followed. */

function follow(wanted) {
    const before = topics;
    const isNew = source === null || !sameList(wanted, before);
    topics = [...new Set(wanted)];
    byId('followed').value = topics.join(', ');
    if (fields.topic.value === (before[0] ?? '')) {
        fields.topic.value = topics[0] ?? '';
    }
    const hash = encodePairs('#', topics.map((topic) => ['topic', topic]));
    history.replaceState(null, '', location.pathname + location.search + hash);
    setText('publish-command', publishCommand());
    showFollowed();
    if (isNew) {
        connect();
    }
}

function publishCommand() {
    const url = new URL('publish' + encodePairs('?', [['topic', topics[0] ?? 'a']]), location.href);
    return `curl -d hello '${url}'`;
}

function followAddress() {
    follow(new URLSearchParams(location.hash.slice(1)).getAll('topic').filter(Boolean));
}

// A field that was not edited is not split, because a name from elsewhere may contain a comma.
function followField(event) {
    const text = byId('followed').value;
    const edited = text !== topics.join(', ');
    event.preventDefault();
    follow(edited ? text.split(',').map((item) => item.trim()).filter(Boolean) : topics);
}

byId('follow-form').addEventListener('change', followField);
byId('follow-form').addEventListener('submit', followField);
byId('raw-button').addEventListener('click', toggleRaw);
byId('pause-button').addEventListener('click', togglePause);
byId('clear-button').addEventListener('click', clearList);
byId('connect-button').addEventListener('click', toggleConnection);
window.addEventListener('hashchange', followAddress);
// A page that the browser keeps for the back button must not hold a stream.
window.addEventListener('pagehide', () => source?.close());
window.addEventListener('pageshow', (event) => event.persisted && source && connect(lastId));

showRaw(window.matchMedia('(min-width: 75rem)').matches);
