#!/bin/sh
# SPDX-License-Identifier: MIT
# Tests the library as users get it: built as a shared and as a static library, installed, and found only by
# pkg-config, in C and in C++. Also as a meson subproject, whose parent chooses the kind. Usage: installed.sh
# SOURCE_ROOT CC [ARGUMENT...]
set -eu

source_root=$1
shift
CC=$*
export CC
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
warnings="-Wall -Wextra -Wpedantic -Wshadow -Werror"

fail() {
    echo "$*"
    exit 1
}

# Prints the output of a command only if it fails.
quietly() {
    "$@" >"$work/log" 2>&1 || { cat "$work/log"; fail "failed: $*"; }
}

# needs_library PROGRAM: whether it loads the shared library.
needs_library() {
    readelf -d "$1" | grep -q 'NEEDED.*libsse-emitter'
}

# check_kind PROGRAM KIND
check_kind() {
    if needs_library "$1"; then linked=shared; else linked=static; fi
    [ "$linked" = "$2" ] || fail "$1 is linked with the $linked library instead of the $2 one"
}

# install_library KIND: builds and installs it; sets `here`, and what pkg-config needs. The unit tests are set up
# too, so that they are known to allow this kind.
install_library() {
    here=$work/$1
    quietly meson setup "$here/build" "$source_root" -Dbuildtype=plain "-Ddefault_library=$1" -Dtests=enabled \
        -Dexamples=disabled -Ddocs=disabled
    quietly meson compile -C "$here/build" sse-emitter
    quietly meson install -C "$here/build" --no-rebuild --destdir "$here/root"
    pc=$(find "$here/root" -name sse-emitter.pc)
    PKG_CONFIG_PATH=$(dirname "$pc")
    PKG_CONFIG_SYSROOT_DIR=$here/root
    LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH")
    export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR LD_LIBRARY_PATH
    case $1 in
    static) options=$(pkg-config --static --cflags --libs sse-emitter) ;;
    *) options=$(pkg-config --cflags --libs sse-emitter) ;;
    esac
}

# compile COMPILER SOURCE PROGRAM [LIBRARY], with the library that was installed last
compile() {
    # shellcheck disable=SC2086
    quietly $1 $warnings "$2" $options ${4:-} -pthread -o "$3"
}

compile_examples() {
    count=0
    for example in "$source_root/examples/quickstart.c" "$source_root"/examples/[0-9]*.c; do
        program=$here/$(basename "$example" .c)
        case $example in
        *_unit_test.c) library=-lcmocka ;;
        *) library= ;;
        esac
        compile "$CC -std=c11 -D_POSIX_C_SOURCE=200809L" "$example" "$program" "$library"
        check_kind "$program" "$1"
        count=$((count + 1))
    done
    [ "$count" -ge 4 ] || fail "only $count examples found"
    "$here/01_hello_fd" >"$here/output"
    [ "$(grep -c '^$' "$here/output")" -eq 3 ] || fail "01_hello_fd does not send three events"
}

# Headers, library and pkg-config must have the same version.
check_version() {
    cat >"$work/version.c" <<'END'
#include <sse/sse.h>
#include <stdio.h>
int main(void)
{
    printf("%d.%d.%d %s\n", SSE_VERSION_MAJOR, SSE_VERSION_MINOR, SSE_VERSION_PATCH, sse_version());
    return 0;
}
END
    compile "$CC -std=c11" "$work/version.c" "$work/version"
    version=$(sed -n "s/^  version: '\(.*\)',$/\1/p" "$source_root/meson.build")
    [ "$(pkg-config --modversion sse-emitter) $("$work/version")" = "$version $version $version" ] ||
        fail "not all is version $version: $(pkg-config --modversion sse-emitter) $("$work/version")"
}

check_cplusplus() {
    compilers=
    for compiler in g++ clang++; do
        command -v "$compiler" >/dev/null || continue
        compile "$compiler -std=c++17" "$source_root/test/checks/cplusplus.cpp" "$work/cplusplus-$compiler"
        quietly "$work/cplusplus-$compiler"
        compile "$compiler -std=c++11" "$source_root/examples/11_cpp.cpp" "$work/11_cpp-$compiler"
        compilers="$compilers $compiler"
    done
    [ -n "$compilers" ] || fail "no C++ compiler"
}

make_parent() {
    mkdir -p "$work/parent/subprojects/sse-emitter"
    for part in lib include meson.build meson_options.txt; do
        cp -R "$source_root/$part" "$work/parent/subprojects/sse-emitter/"
    done
    cp "$source_root/examples/01_hello_fd.c" "$work/parent/main.c"
    cat >"$work/parent/meson.build" <<'END'
project('parent', 'c')
sse = dependency('sse-emitter', version: '>= 0.2', fallback: ['sse-emitter', 'sse_emitter_dep'],
  default_options: ['tests=disabled', 'examples=disabled'])
executable('parent', 'main.c', dependencies: sse, c_args: '-D_POSIX_C_SOURCE=200809L')
END
}

# build_parent KIND [OPTION]
build_parent() {
    quietly meson setup "$work/parent/$1" "$work/parent" -Dbuildtype=plain "-Ddefault_library=$1" ${2:-}
    quietly meson compile -C "$work/parent/$1"
    check_kind "$work/parent/$1/parent" "$1"
    "$work/parent/$1/parent" | cmp - "$work/shared/output"
}

for kind in shared static; do
    install_library "$kind"
    compile_examples "$kind"
done
cmp "$work/shared/output" "$work/static/output"
check_version
check_cplusplus
unset PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR LD_LIBRARY_PATH
make_parent
build_parent shared
build_parent static -Dunity=on
echo "$count examples and C++ ($(echo $compilers)) with the installed library, shared and static; the subproject too"
