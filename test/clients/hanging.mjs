// SPDX-License-Identifier: MIT
// A file of tests that hangs as it is told, for hang.test.mjs.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { killedAtExit, until } from './hub.mjs';

const how = process.env.SSE_HOW;
const script = 'echo what it says >&2; exec cat';
const server = killedAtExit(spawn('sh', ['-c', script], { stdio: ['pipe', 'pipe', 'pipe'] }));
await once(server.stderr, 'data');
// The shell has spoken, and is about to become the program that waits.
await until(() => / \(cat\) S /.test(readFileSync(`/proc/${server.pid}/stat`, 'latin1')), 'cat to wait');
if (how === 'before') {
    throw new Error('there is no server');
}
test('a test', async () => {
    if (how === 'inside') {
        process.env.SSE_TESTS_END = '0';
        await once(server, 'exit');
    }
});
