# SPDX-License-Identifier: MIT
# The parts of lib/ that the unit tests reach, as clang counts them: lines, branches, and every condition that decides
# alone (MC/DC). The required figures are in test/coverage/gate.txt. Code that no test can reach has a mark in the
# source with the reason: see test/coverage/marks.py.
. "$SSE_ROOT/test/support/suite.sh"

llvm=19
log=$SSE_BUILD/coverage.log
directory=$SSE_BUILD/coverage

# Clang's counters are in a separate package.
install_tools() {
    install_build_tools && install "clang-$llvm" && install "llvm-cov-$llvm" &&
        install "$("clang-$llvm" -print-resource-dir)/lib/linux/libclang_rt.profile-$(uname -m).a" \
            "libclang-rt-$llvm-dev"
}

# Builds from nothing, so that no counter is of another source, and runs the tests.
count() {
    arguments="-fprofile-instr-generate -fcoverage-mapping -fcoverage-mcdc -fprofile-update=atomic"
    rm -rf "$directory"
    mkdir -p "$directory.objects"
    leave=$directory.objects/leave.o
    # All errors of all calls are tried in the suites unit and sanitizers.
    export SSE_TEST_FIRST_ERRORS=1
    export LLVM_PROFILE_FILE="$directory/profiles/%16m.profraw"
    # shellcheck disable=SC2086
    "clang-$llvm" $arguments -c "$SSE_ROOT/test/coverage/leave.c" -o "$leave" &&
        CC=clang-$llvm meson setup "$directory" "$SSE_ROOT" -Dtests=enabled -Dexamples=disabled -Ddocs=disabled \
            -Ddefault_library=static -Doptimization=0 -Ddebug=true "-Dc_args=$arguments" \
            "-Dc_link_args=$arguments -Wl,--wrap=_exit $leave" &&
        meson test -C "$directory" --suite unit --print-errorlogs --timeout-multiplier 2
}

install_tools || exit 1
if ! count >"$log" 2>&1; then
    cat "$log"
    record coverage 0 1 0 "the tests failed"
    exit 0
fi

status=0
# Clang omits a decision that contains another decision.
grep 'lib/.*unsupported MC/DC' "$log" && status=1
LLVM_PROFDATA=llvm-profdata-$llvm LLVM_COV=llvm-cov-$llvm python3 "$SSE_ROOT/test/coverage/gate.py" \
    "$SSE_ROOT" "$directory" >"$log" 2>&1 || status=1
cat "$log"
over=$(grep -c ', over$' "$log")
[ "$status" -eq 0 ] || [ "$over" -gt 0 ] || over=1
record coverage "$(grep -c ', within$' "$log")" "$over" 0
