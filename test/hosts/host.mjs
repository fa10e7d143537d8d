// SPDX-License-Identifier: MIT
// Starts a server of examples/hosts, with the proxy in front of it, and observes it from outside.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeCertificate } from '../clients/certificate.mjs';
import { freePort, isListening, startLighttpd, startNginx } from '../clients/front.mjs';
import { encode, killedAtExit, request, until } from '../clients/hub.mjs';
import { apache2 } from './apache.mjs';
import { request as requestHttp2, sessions } from './http2.mjs';
import { nginx } from './nginx.mjs';

const HEARTBEAT_MS = 300;
const EXIT_MS = 30000;
const PAGE_SIZE = 4096;
/** How socket_options.py ends then. */
const NOT_ALLOWED = 77;

const fronts = {
    nginx: (port) => startNginx(`include /etc/nginx/fastcgi_params; fastcgi_pass 127.0.0.1:${port};`),
    lighttpd: (port) => startLighttpd(['fastcgi'], `fastcgi.server = ( "/" => (( "host" => "127.0.0.1",
        "port" => ${port}, "check-local" => "disable", "fix-root-scriptname" => "enable" )) )`),
};

/** Servers that load a module: how each is started and observed. */
const servers = { nginx, apache2 };

function programOf({ name, program = name, server }, build) {
    const file = server === undefined ? `host_${program}` : servers[server].module;
    return join(process.env.SSE_HOSTS, build, 'examples', 'hosts', file);
}

/** The builds in which a server is tested. TSan is of no use for a server of one thread. */
export function buildsOf({ builds = ['asan', 'tsan'] }) {
    return builds;
}

/** The reason why a server cannot be tested, or false. */
export function missing(entry) {
    if (buildsOf(entry).some((build) => !existsSync(programOf(entry, build)))) {
        return `${entry.name} was not built`;
    }
    const directories = process.env.PATH.split(':');
    const needed = [entry.front, entry.tls && 'openssl', entry.server].filter((program) => program);
    const lacking = needed.find((program) => !directories.some((path) => existsSync(join(path, program))));
    return lacking !== undefined && `${entry.name} needs ${lacking}`;
}

export function childrenOf(pid) {
    try {
        const words = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ');
        return words.filter((word) => word).map(Number);
    } catch {
        return [];
    }
}

function killProcess(pid) {
    try {
        process.kill(pid, 'SIGKILL');
    } catch (error) {
        assert.equal(error.code, 'ESRCH');
    }
}

class Host {
    #said = '';

    constructor(entry, build, { heartbeatMs = HEARTBEAT_MS, streamsMax = 0, names = [], descriptors, more = '',
        asan = '' }) {
        Object.assign(this, { http2: false, tls: false, more, ...entry });
        this.server = servers[entry.server];
        this.program = programOf(entry, build);
        this.directory = mkdtempSync(join(tmpdir(), 'sse-host-'));
        this.build = build;
        this.heartbeatMs = heartbeatMs;
        this.streamsMax = streamsMax;
        this.names = names;
        this.descriptorsMax = descriptors;
        this.asan = asan;
    }

    async start() {
        const port = await freePort();
        this.port = port;
        this.certificate = this.tls ? makeCertificate(this.directory) : null;
        this.ca = this.certificate ? readFileSync(this.certificate.file) : undefined;
        const log = `log_path=${join(this.directory, 'sanitizer')}`;
        const env = {
            ...process.env,
            ASAN_OPTIONS: `detect_leaks=1:${log}${this.asan}`,
            LSAN_OPTIONS: `suppressions=${this.server?.leaks?.() ?? process.env.SSE_LEAKS}:print_suppressions=0`,
            UBSAN_OPTIONS: `halt_on_error=1:print_stacktrace=1:${log}`,
            TSAN_OPTIONS: `second_deadlock_stack=1:suppressions=${this.server?.races?.() ?? process.env.SSE_RACES}:${log}`,
        };
        const before = process.env.SSE_WITHOUT_RANDOMISATION ? ['setarch', '-R'] : [];
        if (this.descriptorsMax) {
            before.unshift('sh', '-c', `ulimit -n ${this.descriptorsMax} && exec "$@"`, 'sh');
        }
        const [program, ...rest] = [...before, ...this.server?.command(this) ?? this.#command()];
        this.child = spawn(program, rest, { env, stdio: ['ignore', 'ignore', 'pipe'] });
        killedAtExit({ kill: () => this.kill() });
        this.child.stderr.setEncoding('utf8').on('data', (text) => { this.#said += text; });
        this.exited = new Promise((resolve) => {
            this.child.on('close', (code, signal) => resolve(code ?? signal));
        });
        await until(() => {
            assert.equal(this.child.exitCode, null, `${this.name} ended: ${this.stderr}`);
            return isListening(port) && this.pid;
        }, `${this.name} to listen`, () => this.stderr);
        this.frontServer = await fronts[this.front]?.(port);
        this.origin = `${this.tls ? 'https' : 'http'}://127.0.0.1:${this.frontServer?.port ?? port}/`;
        if (this.sessionStreams) {
            sessions.limit(new URL(this.origin).origin, this.sessionStreams);
        }
    }

    #command() {
        const { file, keyFile } = this.certificate ?? {};
        const names = this.names.flatMap((name) => ['--name', name]);
        const options = [...names, this.port, this.heartbeatMs, this.streamsMax, file, keyFile];
        return [this.program, ...options.filter((option) => option !== undefined).map(String)];
    }

    /* Requests */

    events(topic) {
        return `${this.origin}events?topic=${encode(topic)}`;
    }

    request(target, options) {
        const send = this.http2 ? requestHttp2 : request;
        return send(this.origin + target, { ...options, ca: this.ca });
    }

    async publish(topic, data) {
        const target = `publish?topic=${encode(topic)}`;
        const { status } = await this.request(target, { method: 'POST', body: data });
        assert.equal(status, 202);
    }

    /** For curl to reach it. */
    get curlOptions() {
        const withHttp2 = this.tls ? '--http2' : '--http2-prior-knowledge';
        return [this.http2 && [withHttp2], this.tls && ['--cacert', this.certificate.file]]
            .filter((options) => options).flat();
    }

    /* Observations */

    get stderr() {
        return this.#said + (this.server?.log?.(this) ?? '');
    }

    /** The process that serves. */
    get pid() {
        return this.server ? childrenOf(this.child.pid)[0] : this.child.pid;
    }

    /** The reasons of the streams that have ended, as the server prints them. Each server has its own words before
     *  that. */
    get endings() {
        const lines = this.stderr.matchAll(/^(?:.* sse )?ended: reason (\d+) \([^)]+\), \d+ events$/gm);
        return [...lines].map(([, reason]) => Number(reason));
    }

    untilEndings(count) {
        return until(() => this.endings.length >= count, `${count} streams to be forgotten`,
            () => `of ${this.endings.length} ${this.stderr.slice(-500)}`);
    }

    descriptors() {
        return readdirSync(`/proc/${this.pid}/fd`).length;
    }

    /** The bytes that it has in memory. */
    memory() {
        return Number(readFileSync(`/proc/${this.pid}/statm`, 'latin1').split(' ')[1]) * PAGE_SIZE;
    }

    /** TCP_NODELAY and TCP_USER_TIMEOUT of each connection to it; null where the system does not tell. */
    socketOptions() {
        const file = join(process.env.SSE_ROOT, 'test/hosts/socket_options.py');
        const options = [file, this.pid, this.port].map(String);
        const { status, stdout } = spawnSync('python3', options, { encoding: 'utf8' });
        return status === NOT_ALLOWED ? null : JSON.parse(stdout);
    }

    /** Processor time so far, in ticks of the system. */
    ticks() {
        const status = readFileSync(`/proc/${this.pid}/stat`, 'latin1');
        const fields = status.replace(/^.*\) /s, '').split(' ');
        return Number(fields[11]) + Number(fields[12]);
    }

    /** Its threads, and whether each is waiting now. */
    threads() {
        const directory = `/proc/${this.pid}/task`;
        return readdirSync(directory).flatMap((thread) => {
            try {
                const status = readFileSync(join(directory, thread, 'stat'), 'latin1');
                return [[thread, !status.replace(/^.*\) /s, '').startsWith('R')]];
            } catch {
                return []; // The thread has ended in the meantime.
            }
        });
    }

    sanitizerReports() {
        return readdirSync(this.directory).filter((name) => name.startsWith('sanitizer'))
            .map((name) => readFileSync(join(this.directory, name), 'utf8')).join('\n');
    }

    /** Stops it gracefully, as an operator would. */
    terminate() {
        this.child.kill(this.server?.quit ?? 'SIGTERM');
    }

    /** Kills it with the processes that it has started. Otherwise it might replace them. */
    kill() {
        // What kept it from being started is to be told, and not that it was not started. If it has ended, its
        // number may be that of another process.
        if (this.child === undefined || this.child.exitCode !== null || this.child.signalCode !== null) {
            return;
        }
        const children = childrenOf(this.child.pid);
        this.child.kill('SIGKILL');
        children.forEach(killProcess);
    }

    /** Waits for its end. Leaks are found only then. */
    async untilExit() {
        const timer = setTimeout(() => this.kill(), EXIT_MS);
        const code = await this.exited;
        clearTimeout(timer);
        assert.equal(this.sanitizerReports(), '', 'a sanitizer complained');
        assert.equal(code, 0, `${this.name} ended with ${code}: ${this.stderr.slice(-2000)}`);
    }

    /** Ends it in any state. If it has ended by itself, reports why. */
    async remove() {
        const ended = this.child.exitCode ?? this.child.signalCode;
        this.kill();
        await this.exited;
        const reports = this.sanitizerReports();
        await this.frontServer?.stop();
        rmSync(this.directory, { recursive: true });
        assert.ok(ended === null || ended === 0, `${this.name} ended with ${ended}: ${this.stderr}${reports}`);
    }
}

/** `streamsMax` 0: as many streams as it can serve. `names`: the names of the server. `descriptors`: how many it
 *  may have. */
export async function startHost(entry, build, options = {}) {
    const host = new Host(entry, build, options);
    await host.start().catch((error) => {
        host.kill();
        rmSync(host.directory, { recursive: true });
        throw error;
    });
    return host;
}
