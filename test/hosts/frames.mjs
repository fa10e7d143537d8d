// SPDX-License-Identifier: MIT
// A client of HTTP/2 that requests one stream, with windows that never close, and reads its connection only when a
// test says so. So the server has frames that it cannot write. node's own client always reads.
import net from 'node:net';

const DATA = 0;
const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const WINDOW_UPDATE = 8;
const WHOLE = 5;
const WINDOW_MAX = 0x7fffffff;
const HEAD_SIZE = 9;

function frame(type, flags, id, payload) {
    const head = Buffer.alloc(HEAD_SIZE);
    head.writeUIntBE(payload.length, 0, 3);
    head.writeUInt8(type, 3);
    head.writeUInt8(flags, 4);
    head.writeUInt32BE(id, 5);
    return Buffer.concat([head, payload]);
}

function number(value) {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
}

/* GET, http, then authority and path as literals. RFC 7541 appendix A has the numbers. */
function request(path) {
    const text = (index, value) => Buffer.concat([Buffer.from([index, value.length]), Buffer.from(value)]);
    return Buffer.concat([Buffer.from([0x82, 0x86]), text(1, '127.0.0.1'), text(4, path)]);
}

export class DeafClient {
    isReset = false;
    body = '';
    #received = Buffer.alloc(0);

    constructor(port, path) {
        this.socket = net.connect(port, '127.0.0.1').on('error', () => {});
        this.socket.write(Buffer.concat([
            Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
            frame(SETTINGS, 0, 0, Buffer.concat([Buffer.from([0, 4]), number(WINDOW_MAX)])),
            frame(WINDOW_UPDATE, 0, 0, number(WINDOW_MAX - 65535)),
            frame(HEADERS, WHOLE, 1, request(path)),
        ]));
    }

    listen() {
        this.socket.on('data', (data) => {
            this.#received = Buffer.concat([this.#received, data]);
            this.#takeFrames();
        });
    }

    #takeFrames() {
        let at = 0;
        for (;;) {
            const rest = this.#received.subarray(at);
            const size = rest.length < HEAD_SIZE ? Infinity : HEAD_SIZE + rest.readUIntBE(0, 3);
            if (size > rest.length) {
                break;
            }
            const type = rest[3];
            this.body += type === DATA ? rest.toString('latin1', HEAD_SIZE, size) : '';
            this.isReset ||= type === RST_STREAM;
            at += size;
        }
        this.#received = this.#received.subarray(at);
    }

    close() {
        this.socket.destroy();
    }
}
