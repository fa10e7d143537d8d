# SPDX-License-Identifier: MIT
# A server of several processes that share a ring of events: the ring alone, then four workers and their clients.
# They run under ASan and UBSan, then under TSan, with fewer clients and without dying owners of the lock.
. "$SSE_ROOT/test/support/suite.sh"
. "$SSE_ROOT/test/support/node.sh"

install_build_tools || exit 1
export ASAN_OPTIONS="detect_leaks=1"
export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1"
export TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1:suppressions=$SSE_ROOT/test/support/ring.tsan"

# run_programs NAME BUILD PROGRAM...: cmocka programs of test/workers, counted one by one.
run_programs() {
    name=$1
    directory=$SSE_BUILD/$2/test/workers
    shift 2
    log=$SSE_BUILD/$name.log
    broken=
    : >"$log"
    for program in "$@"; do
        # shellcheck disable=SC2086
        ${before:-} timeout -k 5 300 "$directory/test_$program" >>"$log" 2>&1 || broken="$broken $program"
    done
    passed=$(grep -c '^\[       OK \]' "$log")
    skipped=$(grep -cE '^\[  SKIPPED \] [a-zA-Z0-9_]+$' "$log")
    reason=
    [ "$skipped" -eq 0 ] || reason="processes cannot be stepped here"
    failed=$(echo "$broken" | wc -w)
    [ "$failed" -eq 0 ] || cat "$log"
    # shellcheck disable=SC2086
    record "$name" "$passed" "$failed" "$skipped" $reason $broken
}

if build_default ring-tests; then
    run_programs workers-ring unit ring ring_reader ring_threads ring_death
    grep ' instructions, ' "$SSE_BUILD/workers-ring.log"
fi
if build_examples asan ring-tests test/workers/workers_with_stops; then
    run_programs workers-ring-asan examples/asan ring ring_reader ring_threads ring_death
fi

# Older runtimes of TSan fail if addresses are too random.
if have setarch && setarch -R true 2>/dev/null; then
    before="setarch -R"
fi
# TSan does not know that the lock of a dead process was taken over.
if build_examples tsan ring-tests test/workers/workers_with_stops; then
    run_programs workers-ring-tsan examples/tsan ring ring_reader ring_threads
fi

if ! install_clang; then
    record workers-clang 0 0 1 "clang cannot be installed"
elif build_clang ring-tests test/workers/workers_with_stops examples/workers/workers; then
    record workers-clang 1 0 0
fi

skip_clients() {
    record workers-clients 0 0 1 "$1"
    exit 0
}

install_clients skip_clients
if [ -x "$SSE_BUILD/examples/asan/test/workers/workers_with_stops" ]; then
    export SSE_EXAMPLES="$SSE_BUILD/examples/asan/test/workers"
    run_tests workers 200 workers/workers.test.mjs
    run_tests workers-scale 200 workers/scale.test.mjs
    grep '^ *# figures' "$SSE_BUILD/workers-scale.log"
fi
if [ -x "$SSE_BUILD/examples/tsan/test/workers/workers_with_stops" ]; then
    export SSE_EXAMPLES="$SSE_BUILD/examples/tsan/test/workers"
    export SSE_WORKERS_BEFORE="${before:-}" SSE_WORKERS_CLIENTS=60 SSE_WORKERS_KILLS_INSIDE=0
    run_tests workers-scale-tsan 200 workers/scale.test.mjs
    grep '^ *# figures' "$SSE_BUILD/workers-scale-tsan.log"
fi
