# SPDX-License-Identifier: MIT
# The binary interface. It is compared with its stored description, test/abi/sse-emitter.abi. Every change except a
# new function fails. Programs of one version run with a library of another one, whose structs are smaller or
# larger. `SSE_ABI_RENEW=1 sh test/run.sh abi` renews the description: at a release, and when an interface that no
# release had has changed.
. "$SSE_ROOT/test/support/suite.sh"

stored=$SSE_ROOT/test/abi/sse-emitter.abi
work=$SSE_BUILD/abi-versions

# describe_abi FILE: describes only the public headers. test/checks/symbols.py compares them with the exports.
describe_abi() {
    mkdir -p "$work/interface"
    python3 "$SSE_ROOT/test/abi/interface.py" "$SSE_ROOT/include" >"$work/interface/interface.c" &&
        (cd "$work/interface" && $cc -g -O0 -w -fPIC -shared -fvisibility=hidden -I"$SSE_ROOT/include" interface.c \
            -Wl,--version-script="$SSE_ROOT/lib/libsse-emitter.map" -Wl,-soname,libsse-emitter.so.0 -o interface.so &&
            abidw --no-show-locs --no-corpus-path --no-comp-dir-path interface.so) >"$1"
}

compare_abi() {
    if [ -n "${SSE_ABI_RENEW:-}" ]; then
        describe_abi "$stored"
        return
    fi
    describe_abi "$work/sse-emitter.abi" || return 1
    # It cannot know which changes of a struct are compatible: each is looked at. New functions are.
    abidiff --no-added-syms "$stored" "$work/sse-emitter.abi"
}

# make_library NAME INCLUDE: libsse-emitter.so.0 in a directory of its own
make_library() {
    mkdir -p "$work/$1"
    # shellcheck disable=SC2086
    $cc -O0 -fPIC -shared -Wl,-soname,libsse-emitter.so.0 -I"$2" -I"$SSE_ROOT/lib" "$SSE_ROOT"/lib/*/*.c -pthread \
        -o "$work/$1/libsse-emitter.so.0"
}

# make_program NAME INCLUDE [OPTION]
make_program() {
    # shellcheck disable=SC2086
    $cc -Wall -Wextra -Werror ${3:-} -I"$2" "$SSE_ROOT/test/abi/program.c" "$work/today/libsse-emitter.so.0" \
        -pthread -o "$work/$1"
}

make_versions() {
    rm -rf "$work"
    mkdir -p "$work"
    python3 "$SSE_ROOT/test/abi/newer.py" "$SSE_ROOT/include" "$work/include" &&
        make_library today "$SSE_ROOT/include" && make_library newer "$work/include" &&
        make_program program-today "$SSE_ROOT/include" && make_program program-newer "$work/include" -DNEWER
}

# run_versions PROGRAM LIBRARY
run_versions() {
    if LD_LIBRARY_PATH=$work/$2 timeout 60 "$work/program-$1"; then
        record "abi-program-$1-library-$2" 1 0 0
    else
        record "abi-program-$1-library-$2" 0 1 0
    fi
}

install_build_tools || exit 1
cc="${CC:-cc} -std=c11 -D_POSIX_C_SOURCE=200809L"
if ! make_versions >"$SSE_BUILD/abi.log" 2>&1; then
    cat "$SSE_BUILD/abi.log"
    record abi-programs 0 1 0 "the build failed"
else
    run_versions today today
    run_versions today newer
    run_versions newer today
fi

if [ "$(uname -m)" != x86_64 ]; then
    record abi 0 0 1 "the stored description is of x86_64"
elif ! install abidiff; then
    record abi 0 0 1 "abidiff cannot be installed"
elif compare_abi; then
    record abi 1 0 0
else
    record abi 0 1 0 "the interface has changed: see test/suites/abi.sh"
fi
