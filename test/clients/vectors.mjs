// SPDX-License-Identifier: MIT
// The rows of conformance.tsv.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

const VALUE = /(?:"(?<quoted>(?:[^"\\]|\\.)*)"|REPEAT\("(?<repeated>.)",(?<times>\d+)\)|(?<number>-?\d+))/;
const FIELD = new RegExp(`(?<name>\\w+)=${VALUE.source}`, 'g');
const EVENT = /\{(?<fields>type=(?:[^"}]|"(?:[^"\\]|\\.)*")*)\}/g;
const ESCAPES = { n: '\n', r: '\r', t: '\t', '"': '"', '\\': '\\' };

/** Decodes C escapes, with octal for bytes. The result is bytes. */
function unescape(text) {
    const latin1 = text.replace(/\\(?:([0-7]{3})|(.))/g, (_, octal, letter) => {
        if (octal !== undefined) {
            return String.fromCharCode(parseInt(octal, 8));
        }
        assert.ok(letter in ESCAPES, `the escape \\${letter} is not known`);
        return ESCAPES[letter];
    });
    return Buffer.from(latin1, 'latin1');
}

function readValue({ quoted, repeated, times, number }) {
    if (number !== undefined) {
        return Number(number);
    }
    return quoted === undefined ? Buffer.from(repeated.repeat(Number(times))) : unescape(quoted);
}

function readFields(text) {
    const fields = [...text.matchAll(FIELD)].map(({ groups }) => [groups.name, readValue(groups)]);
    return Object.fromEntries(fields);
}

function readWire(text) {
    return unescape(text.replace(/REPEAT\("(.)",(\d+)\)/, (_, byte, times) => byte.repeat(Number(times))));
}

function readDispatch(text) {
    return [...text.matchAll(EVENT)].map(({ groups }) => {
        const { type, data, id } = readFields(groups.fields);
        return { type: type.toString(), data: data.toString(), id: id.toString() };
    });
}

function readRow(line) {
    const [name, input, wire, dispatch] = line.split('\t');
    return {
        name,
        events: input.split(' ; ').map(readFields),
        wire: readWire(wire),
        dispatched: readDispatch(dispatch),
    };
}

/** The rows of a group, such as 'enc'. */
export function readVectors(group) {
    const lines = readFileSync(process.env.SSE_TEST_VECTORS, 'utf8').split('\n');
    return lines.filter((line) => line.startsWith(`${group}/`)).map(readRow);
}
