#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds and runs the tests, installing what is missing (Debian).
#
#   sh test/run.sh              every suite
#   sh test/run.sh SUITE...     some of them
#   sh test/run.sh unit         the quick ones: one build, unit tests and checks
#
# Suites: unit (gcc at -O2), compilers (gcc and clang at -O0, clang at -O2, warnings are errors), sanitizers
# (ASan with UBSan, and TSan, with both compilers), valgrind (Helgrind and DRD), instructions (user
# instructions of a delivery, each below its gate), simulation (160 000 seeds of clients, loops and a server
# against a model), network (a client that vanishes, in a network namespace), clients (real clients, a
# browser), hosts (every server of examples/hosts, under ASan with UBSan and under TSan), redis (three
# nodes that share a Redis stream, behind nginx), proxies (nginx and haproxy in front of the hub). Not run
# unless named: soak (millions of streams that come and go, and random clients on a hub under ASan for 20 minutes),
# bench (speed, memory and scale, beside a bare loop of sends; see test/bench/README.md),
# peers (the same beside other servers; see test/bench/peers/README.md), portability (the simulation on
# s390x, aarch64, i686 and with musl).
#
# The last line is "N passed, N failed, N skipped" over all suites that ran. A skip names its reason.
# With SSE_TEST_NO_SKIP=1 a skip makes the run fail.
set -u

root=$(cd "$(dirname "$0")/.." && pwd)
export SSE_ROOT="$root"
export SSE_BUILD="${SSE_BUILD:-$root/build/test}"
export SSE_RESULTS="$SSE_BUILD/results"

suites=${*:-"unit compilers sanitizers valgrind instructions simulation network clients hosts redis proxies"}
for suite in $suites; do
    if [ ! -f "$root/test/suites/$suite.sh" ]; then
        echo "unknown suite: $suite (there are: $(cd "$root/test/suites" && echo *.sh | sed 's/\.sh//g'))" >&2
        exit 2
    fi
done

mkdir -p "$SSE_BUILD"
: >"$SSE_RESULTS"
for suite in $suites; do
    echo "== $suite"
    before=$(wc -l <"$SSE_RESULTS")
    sh "$root/test/suites/$suite.sh" </dev/null
    status=$?
    if [ "$status" -ne 0 ] || [ "$(wc -l <"$SSE_RESULTS")" -eq "$before" ]; then
        echo "$suite 0 1 0 the suite itself failed with status $status" >>"$SSE_RESULTS"
    fi
done

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
