# SPDX-License-Identifier: MIT
# AddressSanitizer with UndefinedBehaviorSanitizer, and ThreadSanitizer, with both compilers.
. "$SSE_ROOT/test/support/suite.sh"

install_build_tools && install_clang || exit 1

export ASAN_OPTIONS="detect_leaks=1:abort_on_error=1"
export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1"
export TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1"

# The examples run under sanitizers in the suites that use them. A report needs no more than line numbers.
without_examples="-Dexamples=disabled -Dwerror=true -Doptimization=1 -Ddebug=false -Dc_args=-g1"

# Older runtimes of TSan cannot live with much randomness in the address space.
if have setarch && setarch -R true 2>/dev/null; then
    no_randomisation="setarch -R"
fi

build gcc-asan-ubsan gcc "-Dtests=enabled $without_examples -Db_sanitize=address,undefined" &&
    run_built_tests gcc-asan-ubsan --no-suite complexity
# The failing calls take a minute; what they show does not depend on the compiler.
build clang-asan-ubsan clang "-Dtests=enabled $without_examples -Db_sanitize=address,undefined -Db_lundef=false" &&
    run_built_tests clang-asan-ubsan --no-suite injection --no-suite complexity
SSE_TEST_WRAPPER=${no_randomisation:-}
# Only tests that start threads have anything to show to TSan.
racing=$(cd "$SSE_ROOT/test/unit" &&
    grep -lE 'pthread_create|"(racing_|callback_scene|loop_stage|loop_thread)' test_*.c | sed 's/^test_//; s/\.c$//')
# shellcheck disable=SC2086
build_and_test gcc-tsan gcc "$without_examples -Db_sanitize=thread" $racing
# shellcheck disable=SC2086
build_and_test clang-tsan clang "$without_examples -Db_sanitize=thread -Db_lundef=false" $racing
