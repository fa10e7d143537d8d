# SPDX-License-Identifier: MIT
# Runs suites; sourced by run.sh.

# look_at_clocks: sets `now`, and `spent`, the seconds of a processor that this shell and its children have used.
look_at_clocks() {
    now=$(date +%s)
    # In a subshell it would tell of that one.
    times >"$SSE_BUILD/times-$$"
    spent=$(sed 's/m/ /g; s/s//g' "$SSE_BUILD/times-$$" |
        awk '{ sum += 60 * ($1 + $3) + $2 + $4 } END { printf "%d", sum }')
    rm "$SSE_BUILD/times-$$"
}

# run_suite NAME: runs a suite. Its results are lines in $SSE_BUILD/results-NAME: name, passed, failed, skipped,
# reason.
run_suite() {
    look_at_clocks
    began=$now
    spent_before=$spent
    echo "== $1"
    : >"$SSE_BUILD/results-$1"
    # shellcheck disable=SC2086
    SSE_RESULTS=$SSE_BUILD/results-$1 ${politely:-} sh "$SSE_ROOT/test/suites/$1.sh" </dev/null
    status=$?
    if [ "$status" -ne 0 ] || [ ! -s "$SSE_BUILD/results-$1" ]; then
        echo "$1 0 1 0 the suite itself failed with status $status" >>"$SSE_BUILD/results-$1"
    fi
    look_at_clocks
    echo "== $1: $((now - began)) seconds, $((spent - spent_before)) of a processor"
}

# run_lane SUITE...: runs suites one after the other. When a suite has ended, its output is in
# $SSE_BUILD/output/SUITE.
run_lane() {
    for suite in "$@"; do
        run_suite "$suite" >"$SSE_BUILD/output/$suite.part" 2>&1
        mv "$SSE_BUILD/output/$suite.part" "$SSE_BUILD/output/$suite"
    done
}
