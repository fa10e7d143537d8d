#!/bin/sh
# SPDX-License-Identifier: MIT
# Compiles and links the library, the unit tests, the simulation and the examples for macOS. None of them can run
# here. Usage: macos.sh SOURCE_ROOT DIRECTORY CMOCKA PROCESSOR ZIG, with the directory for what is made, the source
# of cmocka, aarch64 or x86_64, and the compiler. Prints how many files were compiled and how many programs linked.
set -eu

root=$1
out=$2
cmocka=$3
target=$4-macos
zig=$5
ZIG_GLOBAL_CACHE_DIR=$out/cache
ZIG_LOCAL_CACHE_DIR=$out/cache
flags="-target $target -std=c11 -O1 -D_POSIX_C_SOURCE=200809L -D_DARWIN_C_SOURCE -Wall -Wextra -Wpedantic -Wconversion
    -Wshadow -Werror -I$root/include -I$root/lib -I$root/test/support -I$root/examples -I$root/examples/hub -isystem $cmocka/include"
export ZIG_GLOBAL_CACHE_DIR ZIG_LOCAL_CACHE_DIR root out flags zig target
rm -rf "$out"/*.o "$out"/*.a "$out/programs"
mkdir -p "$out/programs"

# compile_all SOURCE...: two at a time; the object of a/b.c is a_b.o
compile_all() {
    # shellcheck disable=SC2016
    printf '%s\n' "$@" | xargs -n 1 -P 2 sh -c '
        name=$(echo "${1#"$root"/}" | tr / _)
        exec "$zig" cc $flags -c "$1" -o "$out/${name%.c}.o"' compile
    compiled=$((compiled + $#))
}

# link NAME OBJECT...: with the static library, and what else the tests need
link() {
    name=$1
    shift
    "$zig" cc -target "$target" "$@" "$out/support.a" "$out/library.a" "$out/cmocka.a" -o "$out/programs/$name"
    linked=$((linked + 1))
}

compiled=0
linked=0
# What depends on the linker or the system: the calls that a test answers itself.
support=$(ls "$root"/test/support/*.c | grep -v -e /faulty_calls.c -e /channel.c -e /connection_pair.c)
tests=$(cd "$root/test/unit" && grep -L -e __wrap_ -e faulty_calls test_*.c)
# There is no epoll.
examples=$(ls "$root"/examples/*.c | grep -v /06_epoll.c)
python3 "$root/examples/hub/embed.py" "$root/examples/hub/page.html" "$out/page.c"

# shellcheck disable=SC2086
compile_all "$root"/lib/*/*.c $support $(printf "$root/test/unit/%s " $tests) "$root"/test/simulation/*.c \
    $examples "$root"/examples/hub/*.c
"$zig" cc -target "$target" -O1 -I"$cmocka/include" -DHAVE_INTTYPES_H -DHAVE_SIGNAL_H -DHAVE_STRINGS_H \
    -DHAVE_STRUCT_TIMESPEC -DHAVE_SIGLONGJMP -DHAVE_STRSIGNAL -c "$cmocka/src/cmocka.c" -o "$out/cmocka.o"
# shellcheck disable=SC2086
"$zig" cc $flags -c "$out/page.c" -o "$out/page.o"
"$zig" ar rcs "$out/cmocka.a" "$out/cmocka.o"
"$zig" ar rcs "$out/library.a" "$out"/lib_*.o
"$zig" ar rcs "$out/support.a" "$out"/test_support_*.o

"$zig" cc -target "$target" -shared "$out"/lib_*.o -o "$out/programs/libsse-emitter.0.dylib"
for test in $tests; do
    link "${test%.c}" "$out/test_unit_${test%.c}.o"
done
link simulation "$out"/test_simulation_*.o
link hub "$out"/examples_hub_*.o "$out/page.o"
for example in $examples; do
    name=$(basename "$example" .c)
    link "$name" "$out/examples_$name.o"
done
echo "$compiled files compiled, $linked programs and the library linked"
