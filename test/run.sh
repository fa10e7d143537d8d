#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds and runs the tests, installing what is missing (Debian).
#
#   sh test/run.sh              every suite that runs by default
#   sh test/run.sh SUITE...     some of them
#   sh test/run.sh unit         the quick ones: one build, unit tests and checks
#   sh test/run.sh fuzz SECONDS each fuzz target for this long instead of a minute
#
# Suites that run by default:
#   unit          gcc at -O2: unit tests, and checks of the project's rules
#   abi           the binary interface compared with its stored description; programs of other versions
#   compilers     gcc at -O0, clang at -O2, without what other systems lack; warnings are errors
#   coverage      lines, branches and conditions of lib/ that the unit tests reach: test/coverage/gate.txt
#   sanitizers    gcc's ASan with UBSan, and clang's TSan
#   valgrind      Helgrind and DRD
#   instructions  user instructions of a delivery, a send and a turn, cache misses and atomic operations: gates
#   simulation    160,000 seeds of clients, loops and a server against a model
#   exhaustive    every text of up to seven symbols, encoded and parsed
#   schedules     every schedule of three threads with a limited number of preemptions
#   docs          the snippets of README and guides; the manual
#   fuzz          libFuzzer on the whole library and on the parsers of the examples, a minute for each target
#   network       a client that vanishes, in a network namespace
#   clients       real clients, a browser
#   hosts         every server of examples/hosts, under ASan with UBSan and under TSan
#   redis         three nodes that share a Redis stream, behind nginx
#   proxies       nginx, haproxy, Caddy, Apache, lighttpd, Varnish and nghttpx in front of the hub
#   workers       a server of several processes that share a ring
# Not run unless named:
#   sanitizers_other  clang's ASan with UBSan, and gcc's TSan
#   soak          millions of streams, and random clients on a hub under ASan for 20 minutes
#   mutation      small faults in lib/, of which a test must notice 96 of 100
#   portability   unit tests and simulation on other processors and with musl; all linked for macOS
#   bench, peers  speed, memory and scale: test/bench/README.md
#
# The last line is "N passed, N failed, N skipped" over all suites that ran. A skip names its reason.
# With SSE_TEST_NO_SKIP=1 a skip makes the run fail.
set -u

root=$(cd "$(dirname "$0")/.." && pwd)
export SSE_ROOT="$root"
export SSE_BUILD="${SSE_BUILD:-$root/build/test}"

suites=
for word in "$@"; do
    case $word in
    *[!0-9]*) suites="$suites $word" ;;
    *) export SSE_FUZZ_SECONDS="$word" ;;
    esac
done
suites=${suites:-"unit fuzz abi compilers coverage sanitizers valgrind instructions simulation exhaustive schedules docs clients hosts redis proxies workers network"}
for suite in $suites; do
    if [ ! -f "$root/test/suites/$suite.sh" ]; then
        echo "unknown suite: $suite (there are: $(cd "$root/test/suites" && echo *.sh | sed 's/\.sh//g'))" >&2
        exit 2
    fi
done

rm -rf "$SSE_BUILD/output"
mkdir -p "$SSE_BUILD/output"
. "$root/test/support/packages.sh"
. "$root/test/support/lane.sh"
# shellcheck disable=SC2086
prepare $suites

# Three lanes run at a time: the suites that mostly wait, those that build and test most, and those of few
# processes, which use the core that the others leave idle. Fuzzing takes its minutes whatever the others do, so it
# comes first. Suites that measure time run last and alone.
here=
waiting=
small=
last=
for suite in $suites; do
    case $suite in
    network | clients | hosts | redis | proxies | workers) waiting="$waiting $suite" ;;
    abi | valgrind | instructions | simulation | exhaustive | schedules | docs | fuzz) small="$small $suite" ;;
    bench | peers) last="$last $suite" ;;
    *) here="$here $suite" ;;
    esac
done
# Without this, programs in the background would ignore the keys that interrupt a run.
if ! have flock || ! env --default-signal=INT,QUIT true 2>/dev/null; then
    here="$here $small $waiting"
    small=
    waiting=
fi

# What would be alone needs no lane beside.
if [ -z "$here" ]; then
    here=$small
    small=
fi
if [ -z "$here" ]; then
    here=$waiting
    waiting=
fi

# print_ended: prints the complete output of each suite that has ended in the background.
print_ended() {
    for suite in $waiting $small; do
        if [ -f "$SSE_BUILD/output/$suite" ]; then
            cat "$SSE_BUILD/output/$suite"
            rm "$SSE_BUILD/output/$suite"
        fi
    done
}

# start_lane SUITE...: in the background, as lane.sh has it. Its number is in $lane.
start_lane() {
    # shellcheck disable=SC2016
    env --default-signal=INT,QUIT sh -c '. "$SSE_ROOT/test/support/lane.sh"; run_lane "$@"' lane "$@" &
    lane=$!
    lanes="$lanes $lane"
}

# run_here SUITE...
run_here() {
    for suite in "$@"; do
        # In a shell of its own, whose time includes no lane.
        (run_suite "$suite")
        print_ended
    done
}

lanes=
# shellcheck disable=SC2086
trap 'kill $lanes 2>/dev/null' EXIT
trap 'exit 130' INT TERM
# shellcheck disable=SC2086
[ -z "$waiting" ] || start_lane $waiting
# Clients and servers must get the processor in time, whatever the other suites compute.
[ -z "$waiting" ] || export politely="nice -n 10"
# shellcheck disable=SC2086
[ -z "$small" ] || start_lane $small
# shellcheck disable=SC2086
run_here $here
if [ -n "$lanes" ]; then
    echo "== waiting for the suites beside"
    # shellcheck disable=SC2086
    wait $lanes
    print_ended
    lanes=
fi
# shellcheck disable=SC2086
run_here $last
trap - EXIT

SSE_RESULTS=$SSE_BUILD/results
for suite in $suites; do
    cat "$SSE_BUILD/results-$suite"
done >"$SSE_RESULTS"

# Each line of the results: name, passed, failed, skipped, reason.
echo "== results"
awk '{ reason = ""; for (i = 5; i <= NF; i++) reason = reason " " $i
       printf "%-28s %5d passed %5d failed %5d skipped%s\n", $1, $2, $3, $4, reason }' "$SSE_RESULTS"
awk -v strict="${SSE_TEST_NO_SKIP:-0}" '
    { passed += $2; failed += $3; skipped += $4 }
    END {
        printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
        exit failed || !passed || (strict == 1 && skipped) ? 1 : 0
    }' "$SSE_RESULTS"
