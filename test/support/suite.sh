# SPDX-License-Identifier: MIT
# Shared by all suites. They source it.

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
    # The runtime of the sanitizers is in a separate package.
    install "$(clang --print-runtime-dir)/libclang_rt.tsan-$(uname -m).a" \
        "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
}

# build NAME CC "MESON OPTIONS" [TARGET...]: builds in $SSE_BUILD/NAME. Several suites may use the directory, and
# one builds at a time. If it fails, the first errors are printed and recorded.
build() {
    directory=$SSE_BUILD/$1
    log=$directory.log
    mkdir -p "$(dirname "$directory")"
    (! have flock || flock 9; build_alone "$@" 9>&-) 9>"$directory.lock" && return 0
    grep -E ': (fatal )?error|: warning|ERROR|^FAILED' "$log" | head -40 | grep . || tail -40 "$log"
    record "$1" 0 1 0 "the build failed"
    return 1
}

build_alone() {
    compiler=$2
    options=$3
    shift 3
    # Packages that were missing then may be installed now.
    missing=$(missing_packages hosts redis peers)
    if [ ! -f "$directory/build.ninja" ]; then
        rm -rf "$directory"
        # shellcheck disable=SC2086
        CC=$compiler meson setup "$directory" "$SSE_ROOT" -Ddocs=disabled $options >"$log" 2>&1 || return 1
    elif [ "$missing" != "$(cat "$directory.missing")" ]; then
        meson setup --reconfigure "$directory" "$SSE_ROOT" >"$log" 2>&1 || return 1
    fi
    echo "$missing" >"$directory.missing"
    ninja -C "$directory" "$@" >"$log" 2>&1
}

# build_default [TARGET...]: builds with the default compiler, optimised as in a distribution.
build_default() {
    build unit "${CC:-cc}" "-Dwerror=true -Doptimization=2 -Ddebug=true -Dtests=enabled -Dexamples=enabled
        -Ddefault_library=both" "$@"
}

# build_clang [TARGET...]: builds the same with clang.
build_clang() {
    build clang-O2 clang "-Dwerror=true -Doptimization=2 -Ddebug=false -Dtests=enabled -Dexamples=enabled
        -Ddefault_library=both" "$@"
}

# build_examples asan|tsan TARGET...: builds the servers of examples/, and tests of them, with sanitizers.
build_examples() {
    case $1 in
    asan) sanitizers=address,undefined ;;
    tsan) sanitizers=thread ;;
    esac
    name=examples/$1
    shift
    build "$name" "${CC:-cc}" "-Dtests=enabled -Dexamples=enabled -Dwerror=true -Ddefault_library=static
        -Doptimization=1 -Db_sanitize=$sanitizers" "$@"
}

# build_and_test NAME CC "MESON OPTIONS" [TEST...]: builds everything, or only these tests, runs the tests, and
# records the number of cmocka's single tests.
build_and_test() {
    name=$1
    compiler=$2
    options=$3
    shift 3
    targets=
    for test in "$@"; do
        targets="$targets test/test_$test"
    done
    # shellcheck disable=SC2086
    build "$name" "$compiler" "-Dtests=enabled $options" $targets && run_built_tests "$name" "$@"
}

# run_built_tests NAME [meson test arguments...]
run_built_tests() {
    name=$1
    shift
    directory=$SSE_BUILD/$name
    log=$directory.log
    broken_off=
    run_meson_tests "$@"
    # The results say so, and all tests run again.
    if meson_broke_off; then
        cat "$log"
        broken_off="(meson itself ended with status $status: $(tail -1 "$log"))"
        run_meson_tests "$@"
    fi
    grep -E '^ *[0-9]+/[0-9]+|^(Ok|Fail|Timeout|Skipped):' "$log" || cat "$log"
    grep '^fault points: ' "$directory/meson-logs/testlog.txt"
    count_tests "$name" "$directory/meson-logs/testlog.txt" "$status" "$log" "$broken_off"
    [ "$status" -eq 0 ] || cat "$log"
}

# No test has failed, but meson, for example because the system starts no more threads: it was killed before it told
# the sum, it was told to end, or it failed after the sum.
meson_broke_off() {
    ! grep -q '^Ok:' "$log" || grep -q 'Received SIG[A-Z]*, exiting' "$log" ||
        sed '1,/^Ok:/d' "$log" | grep -q '^Traceback'
}

run_meson_tests() {
    # Tests wait for the processor while other lanes need it.
    ${SSE_TEST_WRAPPER:-} meson test -C "$directory" --no-rebuild --print-errorlogs --timeout-multiplier 2 "$@" \
        >"$log" 2>&1
    status=$?
}

# count_tests NAME CMOCKA_OUTPUT STATUS MESON_OUTPUT [REMARK]: counts the single tests that cmocka printed, and the
# checks, which are programs without cmocka.
count_tests() {
    passed=$(grep -c '^\[       OK \]' "$2")
    failed=$(sed -nE 's/^\[  FAILED  \] ([0-9]+) test\(s\), listed below:$/\1/p' "$2" | awk '{ n += $1 } END { print n + 0 }')
    skipped=$(grep -cE '^\[  SKIPPED \] [a-zA-Z0-9_]+$' "$2")
    checks=$(grep -cE ':checks / .* OK ' "$4")
    skipped_checks=$(sed -nE 's/.*:checks \/ ([a-z_]+) +SKIP .*/\1/p' "$4")
    # The failed programs and how they ended, for the last lines of a run.
    failures=$(sed -nE 's/^ *[0-9]+\/[0-9]+ [^/]*\/ ([a-z_]+) +(FAIL|TIMEOUT|ERROR) +[0-9.]+s *(.*)$/\1: \2 \3;/p' "$4" | sort -u)
    broken=$(grep -cE '^\[  ERROR   \] [a-zA-Z0-9_]+$' "$2")
    killed=$(echo "$failures" | grep -cE 'TIMEOUT|killed by signal')
    failed=$((failed + broken + killed))
    [ "$3" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
    for check in $skipped_checks; do
        skipped=$((skipped + 1))
    done
    # shellcheck disable=SC2086
    record "$1" "$((passed + checks))" "$failed" "$skipped" $skipped_checks $failures ${5:-}
}
