# SPDX-License-Identifier: MIT
# Shared by the suites with sanitizers. They source it.

export ASAN_OPTIONS="detect_leaks=1:abort_on_error=1"
export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1"
export TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1"

# Other suites run the examples under sanitizers. A report needs only line numbers.
without_examples="-Dexamples=disabled -Dwerror=true -Doptimization=1 -Ddebug=false -Dc_args=-g1"

# run_asan COMPILER "MESON OPTIONS" [meson test arguments...]
run_asan() {
    name=$1-asan-ubsan
    compiler=$1
    options=$2
    shift 2
    build "$name" "$compiler" "-Dtests=enabled $without_examples -Db_sanitize=address,undefined $options" &&
        run_built_tests "$name" --no-suite complexity "$@"
}

# run_tsan COMPILER "MESON OPTIONS"
run_tsan() {
    # Older runtimes of TSan fail if addresses are too random.
    if have setarch && setarch -R true 2>/dev/null; then
        SSE_TEST_WRAPPER="setarch -R"
    fi
    # TSan is only useful for tests that start threads. A server of the examples is not built with it.
    racing=$(cd "$SSE_ROOT/test/unit" &&
        grep -lE 'pthread_create|"(racing_|callback_scene|loop_stage|loop_thread)' test_*.c |
        sed '/^test_host_/d; s/^test_//; s/\.c$//')
    # shellcheck disable=SC2086
    build_and_test "$1-tsan" "$1" "$without_examples -Db_sanitize=thread $2" $racing
}
