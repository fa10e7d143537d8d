// SPDX-License-Identifier: MIT
// Fronts that only this suite has, started as those of clients/front.mjs are.
import { start } from '../clients/front.mjs';

/** Caddy with one site, whose directives are `more` and a reverse proxy. With `tls` there is HTTP/2. */
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
    // It keeps a copy of its configuration.
    const options = (file, directory) => [`XDG_CONFIG_HOME=${directory}`, 'caddy', 'run', '--config', file,
        '--adapter', 'caddyfile'];
    return start('env', options, configuration, { tls });
}
