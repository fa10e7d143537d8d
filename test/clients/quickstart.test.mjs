// SPDX-License-Identifier: MIT
// The quick start, as a reader of the README runs it: compiled with the installed library, read with curl and with
// Chromium.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { launchBrowser, openWatchedPage } from './chromium.mjs';
import { freePort, isListening } from './front.mjs';
import { killedAtExit, until } from './hub.mjs';
import { openCurl } from './sources.mjs';

const root = process.env.SSE_ROOT;
const build = join(process.env.SSE_BUILD, 'quickstart');
const source = readFileSync(join(root, 'examples/quickstart.c'), 'utf8');
const directory = mkdtempSync(join(tmpdir(), 'quickstart-'));
const DESCRIPTORS = 20;
const JOINED = { type: 'joined', data: 'somebody joined', id: '' };

let browser;
let libraries;

function run(command, options, env = {}) {
    const result = spawnSync(command, options, { encoding: 'utf8', env: { ...process.env, ...env } });
    assert.equal(result.status, 0, `${command} ${options.join(' ')}\n${result.stdout}\n${result.stderr}`);
    return result.stdout;
}

/** Installs the library. Returns the options of pkg-config. */
function install() {
    if (!existsSync(join(build, 'build.ninja'))) {
        run('meson', ['setup', build, root, '-Dtests=disabled', '-Dexamples=disabled', '-Ddefault_library=shared']);
    }
    run('meson', ['compile', '-C', build]);
    run('meson', ['install', '-C', build, '--no-rebuild', '--destdir', directory]);
    const file = run('find', [directory, '-name', 'sse-emitter.pc']).trim();
    libraries = dirname(dirname(file));
    return run('pkg-config', ['--cflags', '--libs', 'sse-emitter'],
        { PKG_CONFIG_PATH: dirname(file), PKG_CONFIG_SYSROOT_DIR: directory }).trim().split(/\s+/);
}

/** Compiles the program for a free port, and starts it. */
async function start(t, options, port, how = []) {
    const file = join(directory, `${port}.c`);
    const program = join(directory, `${port}`);
    assert.equal(source.split('8080').length, 3, 'the port stands in the program, and in what it says');
    writeFileSync(file, source.replaceAll('8080', `${port}`));
    run('cc', ['-Wall', '-Wextra', '-Werror', file, ...options, '-o', program]);
    const [command, ...rest] = [...how, program];
    const child = killedAtExit(spawn(command, rest, { stdio: 'inherit', env: { LD_LIBRARY_PATH: libraries } }));
    const stop = async () => {
        const exited = child.exitCode ?? child.signalCode ?? once(child, 'exit');
        child.kill();
        await exited;
    };
    t.after(stop);
    await until(() => child.exitCode !== null || isListening(port), 'the program to listen');
    assert.equal(child.exitCode, null);
    return { url: `http://127.0.0.1:${port}/`, port, pid: child.pid, program, stop };
}

/** A page on its own port. */
async function openPage(t) {
    const server = http.createServer((_, response) => response.setHeader('Content-Type', 'text/html')
        .end('<!DOCTYPE html><title>Elsewhere</title><link rel="icon" href="data:,">'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { context, page, complaints } = await openWatchedPage(browser);
    t.after(async () => {
        await context.close();
        server.close();
    });
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    return { page, complaints };
}

let options;
before(async () => {
    options = install();
    browser = await launchBrowser();
}, { timeout: 300000 });
after(async () => {
    await browser?.close();
    rmSync(directory, { recursive: true });
});

test("the README's program is examples/quickstart.c, and has at most 40 lines", () => {
    const [, program] = readFileSync(join(root, 'README.md'), 'utf8').match(/^```c\n(\/\* SPDX[^]*?)^```$/m) ?? [];
    assert.equal(program, source);
    assert.ok(source.split('\n').length - 1 <= 40, 'too long');
});

test('curl receives an event for everyone who joins', async (t) => {
    const server = await start(t, options, await freePort());
    const first = openCurl(server.url);
    t.after(() => first.close());
    await first.untilEvents(1);
    const second = openCurl(server.url);
    t.after(() => second.close());
    await second.untilEvents(1);
    assert.deepEqual(await first.untilEvents(2), [JOINED, JOINED]);
    assert.deepEqual(second.events, [JOINED]);
    assert.match(first.head, /^HTTP\/1\.1 200 OK\r\nContent-Type: text\/event-stream\r\n/);
    assert.equal(first.body.toString(), `:\n${'event: joined\ndata: somebody joined\n\n'.repeat(2)}`);
    // The place of a disconnected client is free again, and the others are not disturbed.
    second.close();
    const third = openCurl(server.url);
    t.after(() => third.close());
    assert.deepEqual(await first.untilEvents(3), [JOINED, JOINED, JOINED]);
    assert.deepEqual([...first.errors, ...second.errors, ...third.errors], []);
});

test('without a free descriptor it sleeps, and it goes on when there is one', async (t) => {
    const server = await start(t, options, await freePort(), ['sh', '-c', `ulimit -n ${DESCRIPTORS} && exec "$0"`]);
    const sockets = Array.from({ length: 2 * DESCRIPTORS }, () => net.connect(server.port, '127.0.0.1'));
    t.after(() => sockets.forEach((socket) => socket.destroy()));
    sockets.forEach((socket) => socket.on('error', () => {}).resume());
    // What a program inherits may lie above its limit.
    const count = () => readdirSync(`/proc/${server.pid}/fd`).filter((number) => number < DESCRIPTORS).length;
    await until(() => count() === DESCRIPTORS, 'no free descriptor', count);
    // A thread that never sleeps would never be seen waiting, however little processor time it gets.
    await until(() => {
        const states = readdirSync(`/proc/${server.pid}/task`)
            .map((thread) => readFileSync(`/proc/${server.pid}/task/${thread}/stat`, 'latin1'));
        return states.every((state) => !state.replace(/^.*\) /s, '').startsWith('R'));
    }, 'all of its threads to wait');
    sockets.forEach((socket) => socket.destroy());
    const curl = openCurl(server.url);
    t.after(() => curl.close());
    await curl.untilEvents(1);
});

test('a page of another origin receives the events, and reconnects to a restarted server', async (t) => {
    const port = await freePort();
    const server = await start(t, options, port);
    const { page, complaints } = await openPage(t);
    await page.evaluate((url) => {
        window.log = [];
        const stream = new EventSource(url);
        stream.onopen = () => window.log.push('open');
        stream.addEventListener('joined', ({ data }) => window.log.push(data));
    }, server.url);
    const log = () => page.evaluate(() => window.log);
    await until(async () => (await log()).length >= 2, 'the page to join', log);
    const curl = openCurl(server.url);
    t.after(() => curl.close());
    await until(async () => (await log()).length >= 3, 'the page to see curl join', log);
    assert.deepEqual(await log(), ['open', JOINED.data, JOINED.data]);
    assert.deepEqual(complaints, []);
    await server.stop();
    await start(t, options, port);
    await until(async () => (await log()).length >= 5, 'the page to come back', log);
    assert.deepEqual((await log()).slice(3), ['open', JOINED.data]);
});

test('a port in use is reported', async (t) => {
    const port = await freePort();
    const { program } = await start(t, options, port);
    const { status, stderr } = spawnSync(program, [], { encoding: 'utf8', env: { LD_LIBRARY_PATH: libraries } });
    assert.deepEqual([status, stderr], [1, `cannot start: is port ${port} in use?\n`]);
});
