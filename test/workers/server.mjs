// SPDX-License-Identifier: MIT
// A server of several processes, and the faults that a test causes in it.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encode, request, startExample, until } from '../clients/hub.mjs';

/** Where workers look for what is to happen to them. */
const STOPS = 'SSE_RING_STOPS';

class Workers {
    constructor(server, stops) {
        this.server = server;
        this.stops = stops;
        this.port = server.port;
        this.url = server.url;
    }

    /** The process numbers of all workers that ever began, in order. */
    get begun() {
        return [...this.server.stdout.matchAll(/^worker (\d+)$/gm)].map(([, pid]) => Number(pid));
    }

    get running() {
        return this.begun.filter((pid) => this.#isRunning(pid));
    }

    /** The open descriptors of all its workers together. A new worker has copies of its parent's. */
    sockets() {
        return this.running.flatMap(linksOf).filter((link) => link.startsWith('socket:')).length;
    }

    /** Waits until this many workers have begun since the start. */
    untilBegun(count) {
        return until(() => this.begun.length >= count, `worker number ${count}`, () => this.#describe());
    }

    /** Waits until only the last `count` workers are left. */
    untilOnlyLast(count) {
        const rest = () => this.begun.slice(0, -count).filter((pid) => this.#isRunning(pid));
        return until(() => rest().length === 0, 'the old workers to end', () => `${rest()} ${this.#describe()}`);
    }

    /** Kills a worker, as if it had a fault. Another one replaces it. */
    async kill(pid) {
        const before = this.begun.length;
        process.kill(pid, 'SIGKILL');
        await this.untilBegun(before + 1);
    }

    /** The next worker that publishes dies at this place of ring.c. `during` must publish. */
    async killAt(place, during = async () => {}) {
        const before = this.begun.length;
        this.#arm(`${place}.kill`);
        await during();
        await this.untilBegun(before + 1);
    }

    /** The next worker that publishes is stopped at this place. Returns its number. `during` must publish. */
    async stopAt(place, during) {
        this.#arm(`${place}.stop`);
        await during();
        const [stopped] = await until(() => {
            const found = this.running.filter((pid) => stateOf(pid) === 'T');
            return found.length > 0 && found;
        }, 'a worker that is stopped');
        return stopped;
    }

    /** Unless it has ended, because its number may then be that of another process. */
    signalParent(signal) {
        this.server.child.kill(signal);
    }

    /** The system gives the number of a worker that has ended to another process, which must not be killed. Only
     *  workers of this server that have not ended have its directory in their environment. */
    #isRunning(pid) {
        try {
            const variables = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
            return variables.includes(`${STOPS}=${this.stops}`);
        } catch {
            return false;
        }
    }

    #arm(name) {
        writeFileSync(join(this.stops, name), '');
    }

    async reload() {
        const before = this.begun.length;
        this.signalParent('SIGHUP');
        await this.untilBegun(before + 4);
        await this.untilOnlyLast(4);
    }

    /** Ends the server and checks for errors inside it, with leaks. `killed`: how many workers were killed. */
    async stop(killed = 0) {
        this.server.child.kill('SIGTERM');
        const code = await this.server.exited;
        rmSync(this.stops, { recursive: true });
        const lines = this.server.stderr.split('\n').filter(Boolean);
        const signals = lines.filter((line) => /: worker \d+: signal 9$/.test(line));
        assert.deepEqual(lines, signals, 'the server complained');
        assert.equal(signals.length, killed, this.#describe());
        assert.equal(code, 0, this.#describe());
        assert.deepEqual(this.running, [], 'workers that outlive their parent');
    }

    #describe() {
        return `${this.server.stdout}\n${this.server.stderr}`;
    }
}

/** T: the process is stopped. Z: it has ended. */
function stateOf(pid) {
    const path = `/proc/${pid}/stat`;
    try {
        return existsSync(path) ? readFileSync(path, 'latin1').replace(/^.*\) /, '')[0] : 'Z';
    } catch {
        return 'Z';
    }
}

/** The targets of a process's descriptors. One may be closed in the meantime. */
function linksOf(pid) {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => {
        try {
            return readlinkSync(`/proc/${pid}/fd/${fd}`);
        } catch {
            return '';
        }
    });
}

export async function startWorkers(options = []) {
    const stops = mkdtempSync(join(tmpdir(), 'sse-workers-'));
    const more = (process.env.SSE_WORKERS_BEFORE ?? '').split(' ').filter(Boolean);
    const before = ['env', `${STOPS}=${stops}`, ...more];
    const all = ['-p', 0, '-t', 50, ...options].map(String);
    const server = await startExample('workers_with_stops', all, { before });
    return new Workers(server, stops);
}

/** Returns the status and the id. There is no status if the connection broke, because then the result is
 *  unknown. */
export async function publish(url, topic, data) {
    try {
        const options = { method: 'POST', body: data };
        const { status, text } = await request(`${url}publish?topic=${encode(topic)}`, options);
        return { status, id: text.trim() };
    } catch {
        return {};
    }
}
