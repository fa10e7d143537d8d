// SPDX-License-Identifier: MIT
// The command line of the hub.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

const refused = [
    ['--overflow', 'maybe'], ['--admission', 'oldest'], ['--retry-range', '10'], ['--retry-range', '20-10'],
    ['--retry-range', '0-10'], ['--retry-range', '1-2147483648'], ['--history-bytes', '0'],
    ['--history-events', '-1'], ['--history-age', '1s'], ['--budget', ''], ['--max-clients', '1.5'],
    ['--max-per-topic', 'many'], ['--name', ''], ['--name', 'hub:80'],
    ['--poller', 'select'], ['--grace', '2147483648'], ['--grace'],
];

for (const options of refused) {
    test(`${options.join(' ')} is refused`, () => {
        const { status, stdout, stderr } = spawnSync(process.env.SSE_HUB, options, { encoding: 'utf8' });
        assert.deepEqual([status, stdout], [2, '']);
        assert.match(stderr, new RegExp(`^hub: ${options[0]} needs .*; see --help\n$`));
        assert.ok(options.length < 2 || stderr.includes(`'${options[1]}'`), stderr);
    });
}

test('--help names every option, with its default', () => {
    const { status, stdout } = spawnSync(process.env.SSE_HUB, ['--help'], { encoding: 'utf8' });
    assert.equal(status, 0);
    for (const name of ['history-events', 'history-bytes', 'history-age', 'overflow', 'budget', 'max-clients',
        'max-per-topic', 'admission', 'grace', 'retry-range']) {
        const [, text] = stdout.split(`  --${name} `);
        assert.match(text.split('\n  --')[0], /\(\S+\)/, name);
    }
});
