// SPDX-License-Identifier: MIT
// Helpers of the other scripts. embed.py makes one module of all scripts.

const REQUEST_TIMEOUT_MS = 10000;

const byId = (id) => document.getElementById(id);

function setText(id, text) {
    // Does not set an unchanged text, so that screen readers do not repeat it.
    if (byId(id).textContent !== text) {
        byId(id).textContent = text;
    }
}

function make(tag, text) {
    const element = document.createElement(tag);
    element.textContent = text;
    return element;
}

function parseObject(text) {
    try {
        return Object(JSON.parse(text));
    } catch {
        return { error: text };
    }
}

function sameList(one, other) {
    return JSON.stringify(one) === JSON.stringify(other);
}

function encodePairs(prefix, pairs) {
    const parts = pairs.filter(([, value]) => value !== '')
        .map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    return parts.length > 0 ? prefix + parts.join('&') : '';
}
