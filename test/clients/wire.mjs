// SPDX-License-Identifier: MIT
// Parses what the hub may write, and nothing else. It is stricter than any client, so that a client's tolerance
// hides nothing.
import assert from 'node:assert/strict';

const FIELD_ORDER = ['comment', 'event', 'data', 'id', 'retry'];
const LINE = /^(?:(?<field>data|event|id|retry): (?<value>[^]*)|:(?: (?<comment>[^]*))?)$/;

/** Parses the bytes of a stream as they arrive, and collects events, comments and retries. */
export class StrictParser {
    events = [];
    comments = [];
    retries = [];
    #rest = [];
    #lastId = '';
    #atStart = true;
    #block = {};

    /** The id that a client would send when it reconnects, also after an event without data. */
    get lastId() {
        return this.#lastId;
    }

    feed(bytes) {
        let start = 0;
        for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
            this.#takeLine(Buffer.concat([...this.#rest, bytes.subarray(start, end)]));
            this.#rest = [];
            start = end + 1;
        }
        if (start < bytes.length) {
            this.#rest.push(bytes.subarray(start));
        }
    }

    /** The id with which a client would reconnect, if this stream has set one. */
    get lastId() {
        return this.#lastId;
    }

    /** Checks that a stream has ended between two events. */
    end() {
        assert.equal(Buffer.concat(this.#rest).length, 0, 'the stream ends inside a line');
        assert.deepEqual(this.#block, {}, 'the stream ends inside an event');
    }

    #takeLine(bytes) {
        const line = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
        assert.ok(!line.includes('\r'), `a CR in ${JSON.stringify(line)}`);
        if (line === '') {
            this.#dispatch();
            return;
        }
        const match = line.match(LINE);
        assert.ok(match, `neither field nor comment: ${JSON.stringify(line.slice(0, 100))}`);
        const { field, value, comment } = match.groups;
        if (field === 'retry') {
            assert.match(value, /^[1-9][0-9]*$/);
            this.retries.push(Number(value));
        }
        // The retry at the beginning of a stream is alone, and so is each comment.
        if (field === undefined) {
            assert.ok(!('data' in this.#block) && !('event' in this.#block), 'a comment inside an event');
            this.comments.push(comment ?? '');
        } else if (field !== 'retry' || !this.#atStart) {
            this.#takeField(field, value);
        }
        this.#atStart = false;
    }

    #takeField(field, value) {
        const last = Object.keys(this.#block).at(-1);
        const position = FIELD_ORDER.indexOf(field) - FIELD_ORDER.indexOf(last);
        assert.ok(last === undefined || position > 0 || (position === 0 && field === 'data'),
            `${field} follows ${last}`);
        if (field !== 'data') {
            this.#block[field] = value;
        } else if (position === 0) {
            this.#block.data.push(value);
        } else {
            this.#block.data = [value];
        }
    }

    #dispatch() {
        const { event, data, id, retry } = this.#block;
        // A single retry ends like this when the stream ends after it.
        assert.ok((data ?? id ?? retry) !== undefined, 'a blank line without an event');
        assert.ok(event === undefined || data !== undefined, 'a type without data');
        this.#lastId = id ?? this.#lastId;
        if (data !== undefined) {
            this.events.push({ type: event || 'message', data: data.join('\n'), id: this.#lastId });
        }
        this.#block = {};
    }
}

/** Removes the framing of complete chunks from a response that may not have ended. */
export function readWholeChunks(bytes) {
    const chunks = [];
    for (let start = 0; ;) {
        const head = bytes.subarray(start, start + 20).toString('latin1').match(/^([0-9a-fA-F]+)\r\n/);
        const size = head ? parseInt(head[1], 16) : 0;
        const data = start + (head?.[0].length ?? 0);
        if (size === 0 || data + size + 2 > bytes.length) {
            return chunks;
        }
        chunks.push(bytes.subarray(data, data + size));
        start = data + size + 2;
    }
}

/** Removes the chunks of a complete response: RFC 9112 section 7.1, without extensions and trailers. */
export function readChunks(bytes) {
    const chunks = [];
    for (let start = 0; ;) {
        const head = bytes.subarray(start, start + 20).toString('latin1').match(/^([0-9a-fA-F]+)\r\n/);
        assert.ok(head, `no chunk at byte ${start}`);
        const size = parseInt(head[1], 16);
        const data = start + head[0].length;
        const tail = bytes.subarray(data + size, data + size + 2).toString('latin1');
        assert.equal(tail, '\r\n', 'no CR LF after a chunk');
        if (size === 0) {
            assert.equal(data + 2, bytes.length, 'bytes after the last chunk');
            return chunks;
        }
        chunks.push(bytes.subarray(data, data + size));
        start = data + size + 2;
    }
}
