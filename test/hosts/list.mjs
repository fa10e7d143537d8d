// SPDX-License-Identifier: MIT
// The servers of examples/hosts, a line each. `program` is host_NAME if it is not the name; `tls` and `http2`
// (with prior knowledge) are how it is spoken to; `front` stands between it and the clients. A host that is
// `blocking` has a thread for each stream, which notices nothing but by writing. `misreads`: broken encodings
// that it, or its front, accepts in a query. `server`: what loads a module, see host.mjs; `builds`: those in which
// it is tested, if not both; `mpm`: Apache's; `sessionStreams`: how many streams of HTTP/2 the tests put on one
// connection. What else is not in the hands of the program:
// - `continues` false: the server cannot send "100 Continue";
// - `hidesSocket`: the program does not get the socket of its client;
// - `lengths` false: it hides that a request had two lengths;
// - `trickles`: it, or its front, waits for a body as long as a byte comes now and then;
// - `countsBodies` false: it, or its front, keeps the bodies that have not come to their end;
// - `forgetsHeads`: it keeps no head of a request that waits for its body;
// - `spares` false: it replaces a process that has no descriptor left, and its configuration must see to it.

const nginx = { server: 'nginx', builds: ['asan'], countsBodies: false };
const apache = { server: 'apache2', mpm: 'event', spares: false };

export const hosts = [
    { name: 'microhttpd' },
    { name: 'microhttpd_threads', blocking: true },
    { name: 'civetweb', blocking: true, hidesSocket: true },
    { name: 'evhttp', countsBodies: false },
    { name: 'uv' },
    { name: 'libsoup' },
    { name: 'websockets', misreads: ['%ff'] },
    { name: 'nghttp2', http2: true, forgetsHeads: true },
    { name: 'h2o', lengths: false, countsBodies: false },
    { name: 'h2o over HTTP/2', program: 'h2o', http2: true, continues: false, countsBodies: false },
    { name: 'openssl', tls: true },
    {
        name: 'fastcgi behind nginx', program: 'fastcgi', front: 'nginx', blocking: true, trickles: true,
        countsBodies: false, hidesSocket: true,
    },
    {
        name: 'fastcgi behind lighttpd', program: 'fastcgi', front: 'lighttpd', blocking: true,
        misreads: ['%', '%zz'], trickles: true, countsBodies: false, hidesSocket: true,
    },
    { ...nginx, name: 'nginx' },
    { ...nginx, name: 'nginx over TLS', tls: true },
    { ...nginx, name: 'nginx over HTTP/2', http2: true, continues: false },
    { ...nginx, name: 'nginx over HTTP/2 and TLS', http2: true, tls: true, continues: false },
    { ...apache, name: 'Apache, event' },
    { ...apache, name: 'Apache, worker', mpm: 'worker' },
    { ...apache, name: 'Apache, TLS', tls: true },
    // Where clients close streams, mod_http2 works on no more than two requests of a connection at a time.
    { ...apache, name: 'Apache over HTTP/2', http2: true, sessionStreams: 2 },
];
