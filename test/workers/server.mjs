// SPDX-License-Identifier: MIT
// A server of several processes, and what a test does to them.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encode, request, startExample, until } from '../clients/hub.mjs';

class Workers {
    constructor(server, stops) {
        this.server = server;
        this.stops = stops;
        this.parent = server.pid;
        this.port = server.port;
        this.url = server.url;
    }

    /** The process numbers of all workers that ever began, in order. */
    get begun() {
        return [...this.server.stdout.matchAll(/^worker (\d+)$/gm)].map(([, pid]) => Number(pid));
    }

    get running() {
        return this.begun.filter(isRunning);
    }

    /** That its workers have open, together. A new worker has those of its parent. */
    sockets() {
        return this.running.flatMap(linksOf).filter((link) => link.startsWith('socket:')).length;
    }

    /** Until so many workers have begun since the beginning. */
    untilBegun(count) {
        return until(() => this.begun.length >= count, `worker number ${count}`, () => this.#describe());
    }

    /** Until nobody is left but the last `count` that began. */
    untilOnlyLast(count) {
        const rest = () => this.begun.slice(0, -count).filter(isRunning);
        return until(() => rest().length === 0, 'the old workers to end', () => `${rest()} ${this.#describe()}`);
    }

    /** As if a worker had a fault; another one takes its place. */
    async kill(pid) {
        const before = this.begun.length;
        process.kill(pid, 'SIGKILL');
        await this.untilBegun(before + 1);
    }

    /** The next worker that publishes dies at this place of ring.c. `during` is to publish. */
    async killAt(place, during = async () => {}) {
        const before = this.begun.length;
        this.#arm(`${place}.kill`);
        await during();
        await this.untilBegun(before + 1);
    }

    /** The next worker that publishes is stopped at this place; returns its number. `during` is to publish. */
    async stopAt(place, during) {
        this.#arm(`${place}.stop`);
        await during();
        const [stopped] = await until(() => {
            const found = this.running.filter((pid) => stateOf(pid) === 'T');
            return found.length > 0 && found;
        }, 'a worker that is stopped');
        return stopped;
    }

    #arm(name) {
        writeFileSync(join(this.stops, name), '');
    }

    async reload() {
        const before = this.begun.length;
        process.kill(this.parent, 'SIGHUP');
        await this.untilBegun(before + 4);
        await this.untilOnlyLast(4);
    }

    /** Whatever went wrong inside it shows now, leaks included. `killed`: how many workers were. */
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

/** T: it is stopped. Z: it has ended. */
function stateOf(pid) {
    const path = `/proc/${pid}/stat`;
    try {
        return existsSync(path) ? readFileSync(path, 'latin1').replace(/^.*\) /, '')[0] : 'Z';
    } catch {
        return 'Z';
    }
}

/** What the descriptors of a process are. One may be closed meanwhile. */
function linksOf(pid) {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => {
        try {
            return readlinkSync(`/proc/${pid}/fd/${fd}`);
        } catch {
            return '';
        }
    });
}

function isRunning(pid) {
    return stateOf(pid) !== 'Z';
}

export async function startWorkers(options = []) {
    const stops = mkdtempSync(join(tmpdir(), 'sse-workers-'));
    const before = (process.env.SSE_WORKERS_BEFORE ?? '').split(' ').filter(Boolean);
    process.env.SSE_RING_STOPS = stops;
    const all = ['-p', 0, '-t', 50, ...options].map(String);
    const server = await startExample('workers_with_stops', all, { before });
    return new Workers(server, stops);
}

/** The status and the id; no status if the connection broke: then nobody knows what became of the event. */
export async function publish(url, topic, data) {
    try {
        const options = { method: 'POST', body: data };
        const { status, text } = await request(`${url}publish?topic=${encode(topic)}`, options);
        return { status, id: text.trim() };
    } catch {
        return {};
    }
}
