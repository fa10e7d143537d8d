# SPDX-License-Identifier: MIT
# Runs suites; sourced by run.sh.

# run_suite NAME: runs a suite. Its results are lines in $SSE_BUILD/results-NAME: name, passed, failed, skipped,
# reason.
run_suite() {
    began=$(date +%s)
    echo "== $1"
    : >"$SSE_BUILD/results-$1"
    # shellcheck disable=SC2086
    SSE_RESULTS=$SSE_BUILD/results-$1 ${politely:-} sh "$SSE_ROOT/test/suites/$1.sh" </dev/null
    status=$?
    if [ "$status" -ne 0 ] || [ ! -s "$SSE_BUILD/results-$1" ]; then
        echo "$1 0 1 0 the suite itself failed with status $status" >>"$SSE_BUILD/results-$1"
    fi
    echo "== $1: $(($(date +%s) - began)) seconds"
}

# run_lane SUITE...: runs suites one after the other. When a suite has ended, its output is in
# $SSE_BUILD/output/SUITE.
run_lane() {
    for suite in "$@"; do
        run_suite "$suite" >"$SSE_BUILD/output/$suite.part" 2>&1
        mv "$SSE_BUILD/output/$suite.part" "$SSE_BUILD/output/$suite"
    done
}
