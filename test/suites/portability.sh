# SPDX-License-Identifier: MIT
# Other processors and another libc: the library and the simulation, built by Debian's cross compilers with
# every warning an error, statically, and run by qemu where the machine cannot. s390x is big-endian, i686 has
# words of 32 bits. What the seeds come to has to be the same wherever sizes are.
. "$SSE_ROOT/test/support/suite.sh"

seeds=300
out=$SSE_BUILD/portability

# try NAME COMPILER PACKAGES EMULATOR
try() {
    # shellcheck disable=SC2086
    if ! install "$2" $3 || { [ -n "$4" ] && ! install "$4" qemu-user; }; then
        record "portability-$1" 0 0 1 "its compiler or qemu cannot be installed"
        return
    fi
    # The note is about a layout that changed between versions of gcc.
    if "$2" -O2 -g -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror \
        -Wno-psabi -I"$SSE_ROOT/include" -I"$SSE_ROOT/lib" -I"$SSE_ROOT/test/support" "$SSE_ROOT"/lib/*/*.c \
        "$SSE_ROOT"/test/simulation/*.c "$SSE_ROOT/test/support/fake_platform.c" \
        "$SSE_ROOT/test/support/event_source_parser.c" -pthread -static -o "$out/$1" >"$out/$1.log" 2>&1 &&
        timeout 600 $4 "$out/$1" 1 "$seeds" >>"$out/$1.log" 2>&1; then
        tail -1 "$out/$1.log" | sed "s/^/$1: /"
        record "portability-$1" "$seeds" 0 0
    else
        tail -60 "$out/$1.log"
        record "portability-$1" 0 1 0
    fi
}

install_build_tools || exit 1
mkdir -p "$out"
try here gcc gcc ""
try musl musl-gcc musl-tools ""
try i686 i686-linux-gnu-gcc "gcc-i686-linux-gnu libc6-dev-i386-cross" ""
try aarch64 aarch64-linux-gnu-gcc "gcc-aarch64-linux-gnu libc6-dev-arm64-cross" qemu-aarch64
try s390x s390x-linux-gnu-gcc "gcc-s390x-linux-gnu libc6-dev-s390x-cross" qemu-s390x

for name in musl aarch64 s390x; do
    if [ -f "$out/$name.log" ] && ! [ "$(tail -1 "$out/$name.log")" = "$(tail -1 "$out/here.log")" ]; then
        echo "$name: not what the same seeds come to here"
        record "portability-same-$name" 0 1 0
    fi
done
