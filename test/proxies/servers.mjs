// SPDX-License-Identifier: MIT
// Fronts that only this suite uses, started like those of clients/front.mjs.
import { join } from 'node:path';
import { start, startLighttpd } from '../clients/front.mjs';

/** Caddy with one site, whose directives are `more` and a reverse proxy. With `tls` it speaks HTTP/2. */
export function startCaddy(upstream, { more = '', proxy = '', tls = false } = {}) {
    const configuration = (port, directory, certificate) => `{
    admin off
    auto_https off
    grace_period 1s
    storage file_system ${directory}
}
${tls ? 'https' : 'http'}://127.0.0.1:${port} {
    ${tls ? `tls ${certificate.file} ${certificate.keyFile}` : ''}
    ${more}
    reverse_proxy 127.0.0.1:${upstream} {
        ${proxy}
    }
}
`;
    // Caddy stores a copy of its configuration.
    const options = (file, directory) => [`XDG_CONFIG_HOME=${directory}`, 'caddy', 'run', '--config', file,
        '--adapter', 'caddyfile'];
    return start('env', options, configuration, { tls });
}

/** Apache with a reverse proxy for everything, as in Debian: mpm_event. With `tls` it speaks HTTP/2. */
export function startApache(upstream, { modules = [], more = '', tls = false } = {}) {
    const loaded = ['mpm_event', 'authz_core', 'proxy', 'proxy_http', ...modules,
        ...tls ? ['ssl', 'socache_shmcb', 'http2'] : []];
    const secure = (certificate) => `SSLEngine on
SSLCertificateFile ${certificate.bothFile}
Protocols h2 http/1.1`;
    const configuration = (port, directory, certificate) => `ServerRoot ${directory}
DefaultRuntimeDir ${directory}
PidFile ${directory}/pid
ErrorLog ${directory}/error.log
ServerName 127.0.0.1
${loaded.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
${process.getuid() === 0 ? 'User www-data\nGroup www-data' : ''}
Listen 127.0.0.1:${port}
${tls ? secure(certificate) : ''}
${more}
ProxyPreserveHost on
ProxyPass / http://127.0.0.1:${upstream}/
`;
    return start('apache2', (file) => ['-DFOREGROUND', '-f', file], configuration, { tls });
}

/** lighttpd with a reverse proxy for everything. `streams` false: with its default buffering. */
export function startLighttpdProxy(upstream, { more = '', streams = true } = {}) {
    const proxy = `proxy.server = ( "" => (( "host" => "127.0.0.1", "port" => ${upstream} )) )`;
    return startLighttpd(['proxy'], `${proxy}\n${more}`, { streams });
}

/** Makes Varnish pass streams on unchanged. */
export const VARNISH_PIPE = 'sub vcl_recv { if (req.url ~ "^/events") { return (pipe); } }';

/** Varnish with one backend. `vcl` is the rest of its configuration, `parameters` are NAME=VALUE. */
export function startVarnish(upstream, { vcl = '', parameters = [] } = {}) {
    const configuration = () => `vcl 4.1;
backend hub { .host = "127.0.0.1"; .port = "${upstream}"; }
${vcl}
`;
    const options = (file, directory, port) => ['-F', '-j', 'none', '-a', `127.0.0.1:${port}`, '-T', 'none',
        '-n', join(directory, 'work'), '-s', 'malloc,16m', '-f', file,
        ...parameters.flatMap((text) => ['-p', text])];
    return start('varnishd', options, configuration);
}

/** nghttpx with one backend. With `tls` it speaks HTTP/2. */
export function startNghttpx(upstream, { more = '', tls = false } = {}) {
    const configuration = (port, directory, certificate) => `frontend=127.0.0.1,${port}${tls ? '' : ';no-tls'}
backend=127.0.0.1,${upstream}
${tls ? `private-key-file=${certificate.keyFile}\ncertificate-file=${certificate.file}` : ''}
workers=1
${more}
`;
    return start('nghttpx', (file) => [`--conf=${file}`], configuration, { tls });
}
