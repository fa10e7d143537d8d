// SPDX-License-Identifier: MIT
// Apache with the module of examples/hosts/apache and the configuration beside it. host.mjs starts and ends it.
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const MODULES = '/usr/lib/apache2/modules';

function makeConfiguration(host) {
    const { program, port, mpm, http2, tls, certificate, heartbeatMs, streamsMax, names, more, directory } = host;
    const modules = [`mpm_${mpm}`, 'authz_core', 'reqtimeout', 'filter', 'deflate', tls && 'ssl', http2 && 'http2']
        .filter((name) => name).map((name) => `LoadModule ${name}_module ${MODULES}/mod_${name}.so`);
    const secure = tls ? `SSLEngine on
SSLCertificateFile ${certificate.file}
SSLCertificateKeyFile ${certificate.keyFile}` : '';
    return `
ServerRoot ${directory}
ServerName ${names[0] ?? '127.0.0.1'}
DocumentRoot ${directory}/documents
PidFile ${directory}/pid
DefaultRuntimeDir ${directory}
ErrorLog ${directory}/log
ErrorLogFormat %M
LogLevel notice sse:info
# Or the system does not let the leak checker look at a process that was root.
CoreDumpDirectory ${directory}
${modules.join('\n')}
LoadModule sse_module ${program}
Listen 127.0.0.1:${port}
${process.getuid() === 0 ? 'User www-data\nGroup www-data' : ''}
# A client that connects and says nothing must not delay the end, nor wait in the kernel.
RequestReadTimeout handshake=3 header=3 body=10
AcceptFilter http none
AcceptFilter https none
Include ${join(process.env.SSE_ROOT, 'examples/hosts/apache/sse.conf')}
SseHeartbeat ${heartbeatMs}
${streamsMax ? `SseStreams ${streamsMax}` : ''}
${http2 ? 'Protocols h2c h2 http/1.1\nTimeout 20' : ''}
# As if an administrator compressed everything.
SetOutputFilter DEFLATE
${secure}
${more}
`;
}

export const apache2 = {
    module: 'apache/mod_sse.so',
    quit: 'SIGWINCH',
    leaks: () => join(process.env.SSE_ROOT, 'test/support/apache.lsan'),
    races: () => join(process.env.SSE_ROOT, 'test/support/apache.tsan'),
    /** The child processes run as another user, and write to the directory too. */
    command(host) {
        const file = join(host.directory, 'httpd.conf');
        const documents = join(host.directory, 'documents');
        chmodSync(host.directory, 0o777);
        mkdirSync(documents);
        writeFileSync(join(documents, 'page.txt'), 'a line\n'.repeat(1000));
        writeFileSync(file, makeConfiguration(host));
        // Apache is built without the sanitizer, which must be loaded before everything else. Under mpm_prefork
        // Apache sends signals to its whole process group.
        const sanitized = ['setsid', 'env', `LD_PRELOAD=${process.env[`SSE_${host.build.toUpperCase()}_RUNTIME`]}`];
        return [...sanitized, 'apache2', '-D', 'FOREGROUND', '-f', file];
    },
    log({ directory }) {
        const file = join(directory, 'log');
        return existsSync(file) ? readFileSync(file, 'utf8') : '';
    },
};
