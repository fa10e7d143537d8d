// SPDX-License-Identifier: MIT
// Clients that do not read.
import { readFileSync } from 'node:fs';
import { Peer } from './peer.mjs';

export const LARGE = Buffer.alloc(1000000, 'x');
/** Options of a hub that does not end clients that do not read. */
export const PATIENT = ['--stall', '0', '--heartbeat', '0', '--queue-bytes', '1000000000', '--budget', '0',
    '--history-events', '0'];

/* More large events than the kernel buffers for a client that does not read. */
const buffers = ['tcp_rmem', 'tcp_wmem'].map((name) => {
    const [, , largest] = readFileSync(`/proc/sys/net/ipv4/${name}`, 'utf8').trim().split(/\s+/);
    return Number(largest);
});
export const MORE_THAN_FITS = Math.ceil(2 * (buffers[0] + buffers[1]) / LARGE.length);

/** Peers that have stopped reading, each with more bytes in the hub's queue than can be written. */
export async function openStalled(t, hub, count, topic = 'stalled') {
    const peers = await Promise.all(Array.from({ length: count }, () => Peer.openStream(hub.port, topic)));
    t.after(() => peers.forEach((peer) => peer.close()));
    peers.forEach((peer) => peer.stopReading());
    for (let i = 0; i < MORE_THAN_FITS; ++i) {
        await hub.publish({ topic, data: LARGE });
    }
    return peers;
}
