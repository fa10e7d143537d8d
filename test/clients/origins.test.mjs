// SPDX-License-Identifier: MIT
// Which pages may use the hub: the browser's header fields for every kind of request.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { encode, request, startHub } from './hub.mjs';

const GOOD = 'https://good.example';
const EVIL = 'https://evil.example';
const hubs = {
    plain: await startHub(),
    named: await startHub(['--name', 'hub.example', '--name', 'HUB']),
    listening: await startHub(['--listen', '127.1:0']),
    permitting: await startHub(['--cors', GOOD]),
    open: await startHub(['--cors', '*']),
};
after(() => Promise.all(Object.values(hubs).map((hub) => hub.stop())));

const PORT = 'the port of the hub';
/* The hub, the browser's header fields, and whether the request may act. */
const cases = [
    ['plain', { host: `127.0.0.1:${PORT}` }, true],
    ['plain', { host: `localhost:${PORT}`, origin: `http://localhost:${PORT}` }, true],
    ['plain', { host: `LOCALHOST:${PORT}`, origin: `http://localhost:${PORT}` }, true],
    ['plain', { host: '[::1]', origin: 'http://[::1]' }, true],
    ['plain', { host: '192.0.2.7', origin: 'http://192.0.2.7:80' }, true],
    ['plain', { host: 'localhost', 'sec-fetch-site': 'none' }, true],
    ['plain', { host: 'localhost', origin: 'https://localhost', 'sec-fetch-site': 'same-origin' }, true],
    // Another site, another port of this host, and a page without an origin.
    ['plain', { host: 'localhost', origin: EVIL }, false],
    ['plain', { host: 'localhost', 'sec-fetch-site': 'cross-site' }, false],
    ['plain', { host: 'localhost', 'sec-fetch-site': 'same-site' }, false],
    ['plain', { host: `localhost:${PORT}`, origin: 'http://localhost:1' }, false],
    ['plain', { host: `127.0.0.1:${PORT}`, origin: `http://localhost:${PORT}` }, false],
    ['plain', { host: 'localhost', origin: 'null' }, false],
    // A foreign page's name that leads to our address.
    ['plain', { host: 'evil.example', origin: 'http://evil.example' }, false],
    ['plain', { host: `evil.example:${PORT}` }, false],
    ['plain', { host: '127.0.0.1.evil.example' }, false],
    ['plain', { host: 'localhost.evil.example' }, false],
    ['plain', { host: 'hub.example', origin: 'http://hub.example' }, false],
    ['named', { host: 'hub.example', origin: 'https://hub.example' }, true],
    ['named', { host: 'hub:8080', origin: 'http://hub:8080' }, true],
    ['named', { host: 'localhost' }, true],
    ['named', { host: 'hub.example', origin: EVIL }, false],
    ['named', { host: 'other.hub.example' }, false],
    // Its own address is known, also written as a name or in another form.
    ['plain', { host: '127.1' }, false],
    ['listening', { host: `127.1:${PORT}`, origin: `http://127.1:${PORT}` }, true],
    ['listening', { host: 'hub.example' }, false],
    ['permitting', { host: 'localhost', origin: GOOD, 'sec-fetch-site': 'cross-site' }, true],
    ['permitting', { host: 'localhost', origin: EVIL, 'sec-fetch-site': 'cross-site' }, false],
    ['permitting', { host: 'localhost', origin: EVIL }, false],
    ['permitting', { host: 'localhost', origin: 'http://good.example' }, false],
    ['permitting', { host: 'localhost', origin: `${GOOD}.evil.example` }, false],
    ['permitting', { host: 'good.example', origin: GOOD }, false],
    ['permitting', { host: 'localhost', 'sec-fetch-site': 'cross-site' }, false],
    ['open', { host: 'localhost', origin: EVIL, 'sec-fetch-site': 'cross-site' }, true],
    ['open', { host: 'evil.example', origin: EVIL }, false],
];

const requests = [
    ['POST', 'publish?topic=a', 202],
    ['POST', 'complete?topic=a', 202],
    ['GET', 'stats', 200],
    ['GET', 'metrics', 200],
    ['GET', 'topics', 200],
    ['HEAD', 'events?topic=a', 200],
    ['HEAD', 'watch', 200],
];

for (const [name, tells, may] of cases) {
    test(`a hub that is ${name} ${may ? 'serves' : 'refuses'} ${JSON.stringify(tells)}`, async () => {
        const hub = hubs[name];
        const headers = Object.fromEntries(Object.entries(tells)
            .map(([field, value]) => [field, value.replace(PORT, hub.port)]));
        for (const [method, path, status] of requests) {
            const body = method === 'POST' ? 'x' : undefined;
            const reply = await request(hub.url + path, { method, headers, body });
            assert.equal(reply.status, may ? status : 403, `${method} ${path}`);
        }
        assert.equal((await request(hub.url, { headers })).status, 200, 'the page itself does nothing');
    });
}

test('a refused stream does not count, and a refused event reaches nobody', async () => {
    const { plain: hub } = hubs;
    const topic = 'refused';
    const headers = { origin: EVIL };
    const url = `${hub.url}publish?topic=${encode(topic)}`;
    assert.equal((await request(hub.events(topic), { headers })).status, 403);
    const before = await hub.stats();
    assert.equal((await request(url, { method: 'POST', headers, body: 'x' })).status, 403);
    const { emitters, published } = await hub.stats();
    assert.deepEqual([before.emitters, emitters, published], [0, 0, before.published]);
});
