// SPDX-License-Identifier: MIT
// Fronts that compress streams nevertheless: each event arrives at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Scene } from './scene.mjs';
import { startApache } from './servers.mjs';

const compressing = {
    'Apache, mod_deflate for everything': (port) => (
        startApache(port, { modules: ['filter', 'deflate'], more: 'SetOutputFilter DEFLATE' })),
};

for (const [name, start] of Object.entries(compressing)) {
    test(`${name}: streams are compressed, and each event is seen before the next one is published`, async (t) => {
        const scene = await Scene.begin(start);
        t.after(() => scene.end());
        const hub = await scene.startHub(t);
        const curl = await scene.curl('a', ['--compressed', '-H', 'Accept-Encoding: gzip']);
        assert.match(curl.head, /^content-encoding: gzip\r?$/im);
        for (const [index, size] of [1, 100, 100000, 10].entries()) {
            await hub.publish({ topic: 'a', data: 'x'.repeat(size) });
            const events = await curl.untilEvents(index + 1);
            assert.equal(events[index].data, 'x'.repeat(size));
        }
        const [plain] = await scene.openBare('a');
        assert.doesNotMatch(plain.head, /^content-encoding: gzip/im);
    });
}
