// SPDX-License-Identifier: MIT
// The table of the guide on proxies: each row is tested where it says, and each front has a row.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fronts } from './fronts.mjs';

const read = (name) => readFileSync(new URL(name, import.meta.url), 'utf8');

function readRows() {
    const lines = readFileSync(process.env.SSE_PROXIES, 'utf8').split('\n## ')[0].split('\n').filter((line) => line.startsWith('|'));
    return lines.slice(2).map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim()));
}

test('every row of the table names a test that there is', () => {
    for (const [name, must, , tests] of readRows()) {
        assert.notEqual(must, '');
        const files = tests.split(', ');
        for (const file of files) {
            const text = read(`${file}.test.mjs`) + (file === 'fronts' ? read('fronts.mjs') : '');
            assert.ok(text.includes(`'${name}`), `${name} in ${file}`);
        }
    }
});

test('every front has a row', () => {
    const names = readRows().map(([name]) => name);
    fronts.forEach(({ name }) => assert.ok(names.includes(name), name));
});
