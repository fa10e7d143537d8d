# SPDX-License-Identifier: MIT
# Helgrind and DRD on the racing threads. Only reports inside glibc are suppressed: test/support/valgrind.supp.
. "$SSE_ROOT/test/support/suite.sh"

install_build_tools && install valgrind || exit 1

export SSE_TEST_ROUNDS=1
# Neither tool knows that a reference count orders the last use of memory before its reuse.
export SSE_TEST_KEEP_FREED=1
# With more optimisation, calls at the end of a function become jumps, and then the functions that are suppressed by
# name are missing in the reports.
build valgrind "${CC:-cc}" "-Dwerror=true -Doptimization=1 -Ddebug=true -Dtests=enabled -Dexamples=disabled" \
    test/test_threads test/test_threads_cancel test/test_threads_close test/test_threads_pairs \
    test/test_threads_replay || exit 0

# Without fair scheduling, a thread that calls all the time can prevent the others from running. run_under NAME
# "VALGRIND OPTIONS" TEST...
run_under() {
    name=$1
    options=$2
    shift 2
    passed=0
    failed=0
    failures=
    for program in "$@"; do
        log=$SSE_BUILD/$name-$program.log
        # shellcheck disable=SC2086
        if SSE_TEST_VECTORS=$SSE_ROOT/test/vectors/conformance.tsv timeout 1200 valgrind -q --error-exitcode=99 \
            --fair-sched=yes \
            --suppressions="$SSE_ROOT/test/support/valgrind.supp" $options \
            "$SSE_BUILD/valgrind/test/test_$program" >"$log" 2>&1; then
            passed=$((passed + $(grep -c '^\[       OK \]' "$log")))
        else
            failed=$((failed + 1))
            failures="$failures $program;"
            echo "$name: $program"
            tail -60 "$log"
        fi
    done
    record "$name" "$passed" "$failed" 0 "$failures"
}

run_under helgrind "--tool=helgrind" threads threads_close threads_cancel &
run_under drd "--tool=drd" threads_close threads_cancel threads_pairs threads_replay
wait
