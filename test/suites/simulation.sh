# SPDX-License-Identifier: MIT
# A deterministic simulation of clients, loops and a server, checked against a model: see
# test/simulation/simulation.h. Two processes share a fixed range of seeds, and one that is new each time.
# SSE_TEST_SEED=N runs one seed and prints what happens.
. "$SSE_ROOT/test/support/suite.sh"

fixed=100000
new=60000

program=$SSE_BUILD/unit/test/simulation/simulation

# run_half NAME FIRST COUNT...: several runs, one after the other, until one fails
run_half() {
    log=$SSE_BUILD/simulation-$1.log
    shift
    : >"$log"
    while [ $# -gt 0 ]; do
        timeout 600 "$program" "$1" "$2" >>"$log" 2>&1 || return 1
        shift 2
    done
}

# A violation is printed with the whole schedule of its seed. The end is the most useful part.
show() {
    log=$SSE_BUILD/simulation-$1.log
    grep '^seeds ' "$log"
    [ "$2" -eq 0 ] && return
    echo "simulation: failed; the end of $log:"
    tail -60 "$log"
}

install_build_tools || exit 1
build_default test/simulation/simulation || exit 0
if [ -n "${SSE_TEST_SEED:-}" ]; then
    "$program" --seed "$SSE_TEST_SEED"
    status=$?
    record simulation "$((status == 0))" "$((status != 0))" 0 "one seed"
    exit 0
fi

half=$((fixed / 2))
run_half 1 1 "$half" random "$((new / 2))" &
first=$!
run_half 2 "$((half + 1))" "$half" random "$((new / 2))"
second_status=$?
wait "$first"
first_status=$?
show 1 "$first_status"
show 2 "$second_status"

# seeds A..B, ... events, ... 0 violations
seeds=$(awk '/^seeds .*, 0 violations$/ { split($2, range, /[.,]+/); seeds += range[2] - range[1] + 1 }
             END { print seeds + 0 }' "$SSE_BUILD"/simulation-[12].log)
failed=$(((first_status != 0) + (second_status != 0)))
echo "$seeds seeds, $failed violations"
record simulation "$seeds" "$failed" 0
