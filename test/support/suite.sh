# SPDX-License-Identifier: MIT
# What the suites share; sourced by them.

# record NAME PASSED FAILED SKIPPED [REASON]
record() {
    echo "$*" >>"$SSE_RESULTS"
}

. "$SSE_ROOT/test/support/packages.sh"

install_build_tools() {
    for tool in cc meson ninja pkg-config nm g++ python3 /usr/include/cmocka.h; do
        install "$tool" || return 1
    done
}

install_clang() {
    install clang || return 1
    # The runtime of the sanitizers is a package of its own.
    install "$(clang --print-runtime-dir)/libclang_rt.tsan-$(uname -m).a" \
        "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
}

# build_and_test NAME CC "MESON OPTIONS" [meson test arguments...]
# Builds in a directory of its own, runs the tests, and records them one by one as cmocka counts them.
build_and_test() {
    name=$1
    compiler=$2
    options=$3
    shift 3
    directory=$SSE_BUILD/$name
    log=$directory.log
    if [ ! -f "$directory/build.ninja" ]; then
        rm -rf "$directory"
        # shellcheck disable=SC2086
        if ! CC=$compiler meson setup "$directory" "$SSE_ROOT" -Dtests=enabled -Dexamples=enabled \
            -Ddefault_library=both $options >"$log" 2>&1; then
            cat "$log"
            record "$name" 0 1 0 "meson setup failed"
            return 0
        fi
    fi
    if ! meson compile -C "$directory" >"$log" 2>&1; then
        grep -E 'error|warning|FAILED' "$log" | head -40
        record "$name" 0 1 0 "the build failed"
        return 0
    fi
    ${SSE_TEST_WRAPPER:-} meson test -C "$directory" --no-rebuild --print-errorlogs "$@" >"$log" 2>&1
    status=$?
    grep -E '^ *[0-9]+/[0-9]+|^(Ok|Fail|Timeout|Skipped):' "$log" || cat "$log"
    count_tests "$name" "$directory/meson-logs/testlog.txt" "$status" "$log"
    [ "$status" -eq 0 ] || cat "$log"
}

# build_bench DIRECTORY TARGET: what test/bench measures is optimised as a distribution would do it.
build_bench() {
    if [ ! -f "$1/build.ninja" ]; then
        rm -rf "$1"
        if ! CC=${CC:-cc} meson setup "$1" "$SSE_ROOT" -Dtests=enabled -Dexamples=disabled -Dwerror=true \
            -Doptimization=2 -Ddebug=true >"$1.log" 2>&1; then
            cat "$1.log"
            record "bench-build" 0 1 0 "meson setup failed"
            return 1
        fi
    fi
    ninja -C "$1" "$2" >"$1.log" 2>&1 && return 0
    grep -E 'error|warning|FAILED' "$1.log" | head -40
    record "bench-build" 0 1 0 "the build failed"
    return 1
}

# count_tests NAME CMOCKA_OUTPUT STATUS MESON_OUTPUT: single tests where cmocka printed them, and the
# checks, which are programs without cmocka.
count_tests() {
    passed=$(grep -c '^\[       OK \]' "$2")
    failed=$(sed -nE 's/^\[  FAILED  \] ([0-9]+) test\(s\), listed below:$/\1/p' "$2" | awk '{ n += $1 } END { print n + 0 }')
    skipped=$(grep -cE '^\[  SKIPPED \] [a-zA-Z0-9_]+$' "$2")
    checks=$(grep -cE ':checks / .* OK ' "$4")
    skipped_checks=$(sed -nE 's/.*:checks \/ ([a-z_]+) +SKIP .*/\1/p' "$4")
    # Programs that failed and how they ended, so that the last lines of a run tell it.
    failures=$(sed -nE 's/^ *[0-9]+\/[0-9]+ [^/]*\/ ([a-z_]+) +(FAIL|TIMEOUT|ERROR) +[0-9.]+s *(.*)$/\1: \2 \3;/p' "$4" | sort -u)
    broken=$(grep -cE '^\[  ERROR   \] [a-zA-Z0-9_]+$' "$2")
    killed=$(echo "$failures" | grep -cE 'TIMEOUT|killed by signal')
    failed=$((failed + broken + killed))
    [ "$3" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
    for check in $skipped_checks; do
        skipped=$((skipped + 1))
    done
    # shellcheck disable=SC2086
    record "$1" "$((passed + checks))" "$failed" "$skipped" $skipped_checks $failures
}
