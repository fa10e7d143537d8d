// SPDX-License-Identifier: MIT
// A file of tests that hangs comes to an end, and says where it hung.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { killedAtExit } from './hub.mjs';

/** Runs hanging.mjs. Returns what it said, and what the suite would find of its progress. */
async function runHanging(t, how) {
    const directory = mkdtempSync(join(tmpdir(), 'sse-hang-'));
    t.after(() => rmSync(directory, { recursive: true }));
    const progress = join(directory, 'progress');
    // The runner of this file is not that one's.
    const { NODE_TEST_CONTEXT: ours, SSE_TESTS_END: end, ...env } = process.env;
    const child = killedAtExit(spawn(process.execPath, [join(dirname(process.argv[1]), 'hanging.mjs')], {
        env: { ...env, SSE_HOW: how, SSE_TESTS_PROGRESS: progress, SSE_TESTS_LEAVE_MS: 1 },
        stdio: ['ignore', 'ignore', 'pipe'],
    }));
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text) => { said += text; });
    const code = await new Promise((resolve) => { child.on('close', resolve); });
    assert.equal(code, 1, said);
    assert.match(said, /^hangs: hanging\.mjs: process \d+: cat : S \w+\nhangs: hanging\.mjs: {5}what it says$/m);
    return { said, progress: () => readFileSync(progress, 'utf8') };
}

test('a test does not end', async (t) => {
    const { said, progress } = await runHanging(t, 'inside');
    assert.match(said, /^hangs: hanging\.mjs: has come to no end\nhangs: hanging\.mjs: a test: began \d+ s ago$/m);
    assert.equal(progress(), 'began\thanging.mjs: a test\n');
});

test('a server is left behind by the last test', async (t) => {
    const { said, progress } = await runHanging(t, 'after');
    assert.match(said, /^hangs: hanging\.mjs: does not end after its last test$/m);
    assert.equal(progress(), 'began\thanging.mjs: a test\nended\thanging.mjs: a test\n');
});

test('no server can be started for the tests', async (t) => {
    const { said } = await runHanging(t, 'before');
    assert.match(said, /^hangs: hanging\.mjs: failed before its first test: Error: there is no server /m);
});
