// SPDX-License-Identifier: MIT
// Ends a file of tests that hangs, and says where: the tests that have begun and not ended, what their processes
// do, and what these have said. A file hangs if it still runs at SSE_TESTS_END, in seconds since 1970, or if it does
// not end after its last test. A test that failed may have left a server running, and node waits for that server.
import { appendFileSync, readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { after, afterEach, beforeEach } from 'node:test';

/** After the last test, for servers to be stopped. */
const LEAVE_MS = Number(process.env.SSE_TESTS_LEAVE_MS ?? 60000);
const CHECK_MS = 500;
const SAID_MAX = 2000;
const PROCESSES_MAX = 40;

const file = basename(process.argv[1] ?? '');
/** The tests that have begun and not ended, and when they began. */
const running = new Map();
let anyBegan = false;
/** When the hooks after the last test began; a file may go on to define tests then. */
let overSince = null;
const watched = [];

/** Keeps the end of what a child says on its standard error. */
export function watch(child) {
    const entry = { pid: child.pid, said: '' };
    watched.push(entry);
    child.stderr?.on('data', (chunk) => { entry.said = (entry.said + chunk).slice(-SAID_MAX); });
}

/** What a process has in /proc; empty if it has ended. */
function read(path) {
    try {
        return readFileSync(`/proc/${path}`, 'latin1');
    } catch {
        return '';
    }
}

function threadsOf(pid) {
    try {
        return readdirSync(`/proc/${pid}/task`);
    } catch {
        return [];
    }
}

function descendantsOf(pid) {
    const children = threadsOf(pid).flatMap((thread) => read(`${pid}/task/${thread}/children`).split(' '));
    return children.filter((child) => child).flatMap((child) => [child, ...descendantsOf(child)]);
}

/** Its command, and for each thread its state and where it waits in the kernel. */
function describeProcess(pid) {
    const command = read(`${pid}/cmdline`).replaceAll('\0', ' ').slice(0, 200);
    const threads = threadsOf(pid).map((thread) => {
        const [state] = read(`${pid}/task/${thread}/stat`).replace(/^.*\) /s, '');
        return `${state} ${read(`${pid}/task/${thread}/wchan`)}`;
    });
    const said = watched.find((entry) => entry.pid === Number(pid))?.said ?? '';
    return [`process ${pid}: ${command}: ${threads.join(', ')}`, ...said.split('\n').filter((line) => line)
        .map((line) => `    ${line}`)];
}

/** Every line has the mark by which the suite finds it in its log. */
function end(why) {
    const now = performance.now();
    const tests = [...running].map(([name, began]) => `${name}: began ${Math.round((now - began) / 1000)} s ago`);
    const processes = descendantsOf(process.pid).slice(0, PROCESSES_MAX).flatMap(describeProcess);
    const lines = [why, ...tests, `node waits for ${process.getActiveResourcesInfo().join(' ')}`, ...processes];
    process.stderr.write(lines.map((line) => `hangs: ${file}: ${line}\n`).join(''));
    process.exit(1);
}

/** Kept in a file too: a test that never lets go of the processor cannot be ended from here. */
function note(what, { fullName, name }) {
    const test = fullName ?? name;
    if (process.env.SSE_TESTS_PROGRESS) {
        appendFileSync(process.env.SSE_TESTS_PROGRESS, `${what}\t${file}: ${test}\n`);
    }
    return test;
}

beforeEach((test) => {
    anyBegan = true;
    overSince = null;
    running.set(note('began', test), performance.now());
});
afterEach((test) => running.delete(note('ended', test)));
after(() => { overSince = performance.now(); });

// The test runner keeps an error from ending the file, which without tests would wait for its servers.
process.prependListener('uncaughtException', (error) => {
    if (!anyBegan) {
        end(`failed before its first test: ${error.stack}`.replaceAll('\n', ' '));
    }
});

setInterval(() => {
    if (overSince !== null && performance.now() - overSince > LEAVE_MS) {
        end('does not end after its last test');
    }
    if (Date.now() > Number(process.env.SSE_TESTS_END) * 1000) {
        end('has come to no end');
    }
}, CHECK_MS).unref();
