// SPDX-License-Identifier: MIT
// The CGI program of examples/hosts. lighttpd or inetd starts it for each request. Its events are lines of files.
import assert from 'node:assert/strict';
import { appendFileSync, chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync,
    writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startInetd, startLighttpd } from '../clients/front.mjs';
import { encode, request, until } from '../clients/hub.mjs';

// TSan is of no use for a program of one thread.
export const program = join(process.env.SSE_HOSTS, 'asan', 'examples', 'hosts', 'host_cgi');

/* Each front starts a script, which executes the program. */
export const fronts = {
    lighttpd: (script, options) => startLighttpd(['alias', 'cgi'],
        `alias.url = ( "/logs" => "${script}" )\ncgi.assign = ( "${script}" => "" )`, options),
    inetd: startInetd,
};
const paths = { lighttpd: 'logs/', inetd: '' };

/** The reason why it cannot be tested, or false. */
export function missing(front) {
    if (!existsSync(program)) {
        return 'cgi was not built';
    }
    return !process.env.PATH.split(':').some((path) => existsSync(join(path, front))) && `cgi needs ${front}`;
}

export class Cgi {
    http2 = false;

    static async start(front, { heartbeatMs = 300, ...options } = {}) {
        const cgi = new Cgi();
        cgi.directory = mkdtempSync(join(tmpdir(), 'sse-cgi-'));
        cgi.log = join(cgi.directory, 'sanitizer');
        const script = join(cgi.directory, 'logs');
        // Neither front passes its environment on.
        writeFileSync(script, `#!/bin/sh
export ASAN_OPTIONS=detect_leaks=1:quarantine_size_mb=1:log_path=${cgi.log}
export UBSAN_OPTIONS=halt_on_error=1:log_path=${cgi.log}
exec ${program} ${cgi.directory} ${heartbeatMs}
`);
        chmodSync(script, 0o755);
        cgi.front = await fronts[front](script, options);
        cgi.origin = cgi.front.url + paths[front];
        return cgi;
    }

    events(topic) {
        return `${this.origin}events?topic=${encode(topic)}`;
    }

    request(target, options) {
        return request(this.origin + target, options);
    }

    async publish(topic, line) {
        const { status } = await this.request(`publish?topic=${encode(topic)}`, { method: 'POST', body: line });
        assert.equal(status, 202);
    }

    /* The file of a topic, as its writer uses it */

    file(topic) {
        return join(this.directory, `${topic}.log`);
    }

    append(topic, text) {
        appendFileSync(this.file(topic), text);
    }

    rotate(topic) {
        const file = this.file(topic);
        if (existsSync(`${file}.1`)) {
            renameSync(`${file}.1`, `${file}.2`);
        }
        renameSync(file, `${file}.1`);
        writeFileSync(file, '');
    }

    /* The running processes of the program */

    processes() {
        return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
            try {
                return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`host_cgi\0${this.directory}\0`);
            } catch {
                return false;
            }
        });
    }

    untilProcesses(count) {
        return until(() => this.processes().length === count, `${count} processes`,
            () => `of ${this.processes().length}`);
    }

    async stop() {
        await this.untilProcesses(0);
        await this.front.stop();
        const reports = readdirSync(this.directory).filter((name) => name.startsWith('sanitizer'))
            .map((name) => readFileSync(join(this.directory, name), 'utf8'));
        rmSync(this.directory, { recursive: true });
        assert.deepEqual(reports, [], 'a sanitizer complained');
    }
}
