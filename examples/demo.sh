#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Builds the hub and runs it:
#
#     sh examples/demo.sh [hub options]
#
# Missing build tools are installed with apt-get, where that exists. Messages go to standard error, and only the hub
# reads standard input.

set -eu

needed_meson=1.0

say()
{
    printf 'demo: %s\n' "$1" >&2
}

fail()
{
    say "$1"
    exit 1
}

has()
{
    command -v "$1" >/dev/null 2>&1
}

has_compiler()
{
    has cc || has gcc || has clang
}

has_meson()
{
    has meson && meson --version </dev/null 2>/dev/null | awk -F. -v needed="$needed_meson" '
        { split(needed, want, "."); ok = $1 > want[1] || ($1 == want[1] && $2 >= want[2]) }
        END { exit !ok }'
}

has_ninja()
{
    has ninja || has ninja-build
}

as_root()
{
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# Prints the Debian packages that are missing.
missing_packages()
{
    has_compiler || printf 'gcc libc6-dev '
    has_meson || printf 'meson '
    has_ninja || printf 'ninja-build '
    has python3 || printf 'python3 '
}

install_missing()
{
    missing=$(missing_packages)
    [ -n "$missing" ] || return 0
    has apt-get || fail "these packages are missing; please install: $missing(meson $needed_meson or newer)"
    [ "$(id -u)" -eq 0 ] || has sudo || fail "this needs root or sudo; please install: $missing"
    say "installing $missing"
    as_root apt-get update </dev/null >&2 || say "apt-get update failed; trying all the same"
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing \
        </dev/null >&2 || fail "apt-get could not install $missing; see its messages above"
    missing=$(missing_packages)
    [ -z "$missing" ] || fail "still missing or too old; please install: $missing(meson $needed_meson or newer)"
}

# Prints a directory to build in: in the tree, or a temporary one if the tree cannot be written.
build_directory()
{
    if mkdir -p "$root/build/demo" 2>/dev/null && [ -w "$root/build/demo" ]; then
        printf '%s\n' "$root/build/demo"
    else
        say "the tree cannot be written, so this builds in a temporary directory"
        mktemp -d "${TMPDIR:-/tmp}/sse-emitter-demo.XXXXXX"
    fi
}

configure()
{
    meson setup "$@" "$build" "$root" --default-library=static -Dtests=disabled -Dexamples=enabled \
        </dev/null >&2
}

compile()
{
    meson compile -C "$build" hub </dev/null >&2
}

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
install_missing
build=$(build_directory)

# A build directory of another source directory or another meson is built again from nothing.
{ configure && compile; } || { configure --wipe && compile; } || fail "the hub could not be built; see above"

exec "$build/examples/hub" "$@"
