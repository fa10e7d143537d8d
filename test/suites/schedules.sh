# SPDX-License-Identifier: MIT
# Every schedule of three threads that use one emitter, registry and loop, with a limited number of preemptions: see
# test/schedules. It needs about a minute of one core. SSE_TEST_SCHEDULE="PAIR COUNTS LIST" replays the schedule
# that a failure has printed, step by step.
. "$SSE_ROOT/test/support/suite.sh"

program=$SSE_BUILD/unit/test/schedules/schedules

# Prints each place in the code as file and line.
resolve() {
    sed 's/[^[]*\[\(0x[0-9a-f]*\)\]/\1\n/g' "$1" | grep '^0x' | sort -u >"$1.places"
    addr2line -s -e "$program" <"$1.places" | paste "$1.places" - | sed 's|\(.*\)\t\(.*\)|s/\\[\1\\]/[\2]/g|' >"$1.sed"
    sed -f "$1.sed" "$1"
}

# replay PAIR COUNTS LIST
replay() {
    log=$SSE_BUILD/schedules-replay.log
    "$program" "$1" replay "$2" "$3" >"$log" 2>&1
    status=$?
    resolve "$log"
    return "$status"
}

install_build_tools || exit 1
build_default test/schedules/schedules || exit 0
if [ -n "${SSE_TEST_SCHEDULE:-}" ]; then
    # shellcheck disable=SC2086
    replay $SSE_TEST_SCHEDULE
    status=$?
    record schedules "$((status == 0))" "$((status != 0))" 0 "one schedule"
    exit 0
fi

# Threads that take turns are faster on one core. Its three threads run one at a time. On one core they need not
# wait until another core wakes up. explore CORE PAIR...: where taskset knows no cores, CORE is "any".
explore() {
    core=$1
    shift
    pin=
    [ "$core" = any ] || pin="taskset -c $core"
    for pair in "$@"; do
        log=$SSE_BUILD/schedules-$pair.log
        timeout 300 $pin "$program" "$pair" >"$log" 2>&1 || touch "$log.failed"
    done
}

first_core=any
last_core=any
if have taskset; then
    cores=$(taskset -cp $$ | sed 's/.*: //')
    first_core=${cores%%[,-]*}
    last_core=${cores##*[,-]}
fi
first=
second=
rm -f "$SSE_BUILD"/schedules-*.log "$SSE_BUILD"/schedules-*.log.failed
for pair in $("$program"); do
    if [ "$(echo "$first" | wc -w)" -le "$(echo "$second" | wc -w)" ]; then
        first="$first $pair"
    else
        second="$second $pair"
    fi
done
# shellcheck disable=SC2086
explore "$first_core" $first &
# shellcheck disable=SC2086
explore "$last_core" $second
wait

failures=
failed=0
for pair in $first $second; do
    log=$SSE_BUILD/schedules-$pair.log
    if [ ! -f "$log.failed" ]; then
        tail -1 "$log"
        continue
    fi
    cat "$log"
    # shellcheck disable=SC2046
    replay $(sed -n 's/^replay: //p' "$log") | tail -60
    failed=$((failed + 1))
    failures="$failures $pair"
done
passed=$(awk '$3 == "schedules" && $4 == "of" { sum += $2 } END { print sum + 0 }' "$SSE_BUILD"/schedules-*.log)
echo "$passed schedules, $failed pairs with a failure"
record schedules "$passed" "$failed" 0 "$failures"
