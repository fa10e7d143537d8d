#!/bin/sh
# SPDX-License-Identifier: MIT
# The library as its users get it: installed, found by pkg-config alone, shared and static, and as
# a meson subproject. Usage: installed.sh SOURCE_ROOT BUILD_DIRECTORY CC
set -eu

source_root=$1
build=$2
cc=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

meson install -C "$build" --no-rebuild --destdir "$work/root" >"$work/install.log" 2>&1 || {
    cat "$work/install.log"
    exit 1
}
pc=$(find "$work/root" -name sse-emitter.pc)
PKG_CONFIG_PATH=$(dirname "$pc")
PKG_CONFIG_SYSROOT_DIR=$work/root
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
libdir=$(dirname "$(dirname "$pc")")

count=0
for example in "$source_root"/examples/[0-9]*.c; do
    name=$(basename "$example" .c)
    # shellcheck disable=SC2046
    "$cc" -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror "$example" \
        $(pkg-config --cflags --libs sse-emitter) -pthread -o "$work/$name"
    # shellcheck disable=SC2046
    "$cc" -std=c11 -D_POSIX_C_SOURCE=200809L "$example" $(pkg-config --cflags sse-emitter) \
        "$libdir/libsse-emitter.a" -pthread -o "$work/$name-static"
    count=$((count + 1))
done
[ "$count" -ge 3 ] || { echo "only $count examples found"; exit 1; }

LD_LIBRARY_PATH=$libdir "$work/01_hello_fd" >"$work/shared.out"
"$work/01_hello_fd-static" >"$work/static.out"
cmp "$work/shared.out" "$work/static.out"
[ "$(grep -c '^$' "$work/shared.out")" -eq 3 ] || { echo "01_hello_fd does not send three events"; exit 1; }

[ "$(pkg-config --modversion sse-emitter)" = "$(sed -n "s/^  version: '\(.*\)',$/\1/p" "$source_root/meson.build")" ] ||
    { echo "the version of pkg-config is another"; exit 1; }

mkdir -p "$work/user/subprojects/sse-emitter"
for part in lib include meson.build meson_options.txt; do
    cp -R "$source_root/$part" "$work/user/subprojects/sse-emitter/"
done
cp "$source_root/examples/01_hello_fd.c" "$work/user/main.c"
cat >"$work/user/meson.build" <<'END'
project('user', 'c')
sse = dependency('sse-emitter', version: '>= 0.1', fallback: ['sse-emitter', 'sse_emitter_dep'],
  default_options: ['tests=disabled', 'examples=disabled'])
executable('user', 'main.c', dependencies: sse, c_args: '-D_POSIX_C_SOURCE=200809L')
END
if ! (unset PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
      meson setup "$work/user/build" "$work/user" && meson compile -C "$work/user/build") >"$work/sub.log" 2>&1; then
    cat "$work/sub.log"
    exit 1
fi
"$work/user/build/user" | cmp - "$work/shared.out"
echo "$count examples compiled against the installed library, shared and static; the subproject too"
