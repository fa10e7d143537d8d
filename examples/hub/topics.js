// SPDX-License-Identifier: MIT
// The list of topics with their subscribers. A click follows a topic.

const TOPICS_INTERVAL_MS = 1000;
const FRESH_MS = 3000;

const plural = (number, noun) => `${number.toLocaleString()} ${noun}${number === 1 ? '' : 's'}`;

function ago(milliseconds) {
    const units = [[86400000, 'd'], [3600000, 'h'], [60000, 'min'], [1000, 's']];
    const found = units.find(([size]) => milliseconds >= size);
    return found ? `${Math.floor(milliseconds / found[0])} ${found[1]} ago` : 'now';
}

/** The buttons of the list except the first one, which is for everything. */
function topicButtons() {
    return [...byId('topic-list').querySelectorAll('button')].slice(1);
}

function showFollowed() {
    byId('everything').setAttribute('aria-pressed', String(topics.length === 0));
    topicButtons().forEach((button) => {
        button.setAttribute('aria-pressed', String(topics.includes(button.dataset.topic)));
    });
}

function makeTopic(name) {
    const item = byId('topic-row').content.firstElementChild.cloneNode(true);
    const button = item.querySelector('button');
    button.dataset.topic = name;
    button.querySelector('.name').textContent = name;
    button.addEventListener('click', () => follow([name]));
    return item;
}

function setPart(button, part, text) {
    const element = button.querySelector(part);
    if (element.textContent !== text) {
        element.textContent = text;
    }
}

/** Keeps the existing buttons, so that the focus does not move. */
function showTopics(list) {
    const known = new Map(topicButtons().map((button) => [button.dataset.topic, button.parentElement]));
    const items = list.map(({ topic, subscribers, published, unused_ms: unused }) => {
        const item = known.get(topic) ?? makeTopic(topic);
        const button = item.querySelector('button');
        setPart(button, '.subscribers', plural(subscribers, 'subscriber'));
        setPart(button, '.hint', `${plural(published, 'event')}, ${ago(unused)}`);
        button.toggleAttribute('data-fresh', unused < FRESH_MS);
        return item;
    });
    const shown = [...byId('topic-list').children].slice(1);
    shown.filter((item) => !items.includes(item)).forEach((item) => item.remove());
    items.forEach((item, index) => {
        if (byId('topic-list').children[index + 1] !== item) {
            byId('topic-list').insertBefore(item, byId('topic-list').children[index + 1] ?? null);
        }
    });
    showFollowed();
}

/** Reads the topics of an answer. A wrong answer gives none. */
function readTopics(answer) {
    const list = Array.isArray(answer.topics) ? answer.topics : [];
    return list.map(Object).filter(({ topic }) => typeof topic === 'string').map((item) => ({
        topic: item.topic, subscribers: read(item, 'subscribers'), published: read(item, 'published'),
        unused_ms: read(item, 'unused_ms'),
    }));
}

async function refreshTopics() {
    const open = byId('state').dataset.state === 'open';
    if (open && !document.hidden) {
        const response = await fetch('topics', {
            headers: tokenHeader(), signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
        }).catch(() => null);
        const answer = parseObject(await response?.text().catch(() => '') ?? '');
        if (response?.ok) {
            showTopics(readTopics(answer));
        }
        // Without an answer the old list stays. The state of the stream shows that the server is not reachable.
        setText('topics-notice', response === null || response.ok ? '' : `No list of topics: ${answer.error}.`);
    }
    setTimeout(refreshTopics, TOPICS_INTERVAL_MS);
}

byId('everything').addEventListener('click', () => follow([]));

followAddress();
refreshTopics();
