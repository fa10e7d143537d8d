// SPDX-License-Identifier: MIT
// The servers of examples/hosts, a line each. `program` is host_NAME if it is not the name; `tls` and `http2`
// (with prior knowledge) are how it is spoken to; `front` stands between it and the clients.

export const hosts = [
    { name: 'microhttpd' },
    { name: 'microhttpd_threads' },
    { name: 'civetweb' },
    { name: 'evhttp' },
    { name: 'uv' },
    { name: 'websockets' },
    { name: 'nghttp2', http2: true },
    { name: 'h2o' },
    { name: 'h2o over HTTP/2', program: 'h2o', http2: true },
    { name: 'openssl', tls: true },
    { name: 'fastcgi behind nginx', program: 'fastcgi', front: 'nginx' },
    { name: 'fastcgi behind lighttpd', program: 'fastcgi', front: 'lighttpd' },
];

export const builds = ['asan', 'tsan'];
