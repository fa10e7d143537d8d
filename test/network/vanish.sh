#!/bin/sh
# SPDX-License-Identifier: MIT
# Drops the packets of a client from some moment on. Usage: unshare -n vanish.sh PROGRAM DIRECTORY
# There are two network namespaces, for the server and for the client. Nothing outside of them changes.
set -eu

program=$1
work=$2
rm -rf "$work"
mkdir -p "$work"

unshare -n sleep 300 &
holder=$!
trap 'kill $holder $server $client 2>/dev/null || true' EXIT
server=
client=
there() { nsenter -t "$holder" -n "$@"; }

# The holder is in its own namespace once the two names differ.
until [ "$(readlink /proc/$holder/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
ip link add here type veth peer name there netns "$holder"
ip addr add 10.9.0.1/24 dev here
ip link set here up
there ip addr add 10.9.0.2/24 dev there
there ip link set there up

# wait_for FILE TEXT: waits for the text. It also stops when the program has died.
wait_for() {
    until grep -q "$2" "$1" 2>/dev/null; do
        kill -0 "$3" || { cat "$work"/*; exit 1; }
        sleep 0.1
    done
}

"$program" server 10.9.0.1 8080 >"$work/server" 2>&1 &
server=$!
wait_for "$work/server" listening "$server"
# Not started by the function, because then the kill at the end would hit its shell instead of the client.
nsenter -t "$holder" -n "$program" client 10.9.0.1 8080 >"$work/client" 2>&1 &
client=$!
wait_for "$work/client" open "$client"
there ip route add blackhole 10.9.0.1/32
wait "$server"
# From here on its number may be that of another process.
server=
cat "$work/server"
grep -q '^client disconnected, ' "$work/server"
