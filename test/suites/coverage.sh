# SPDX-License-Identifier: MIT
# The parts of lib/ that the unit tests reach: lines and branches as gcc counts them, and with clang every condition
# that decides alone (MC/DC). The required figures are in test/coverage/gate.txt. Code that no test can reach has a
# mark in the source with the reason: see test/coverage/marks.py.
. "$SSE_ROOT/test/support/suite.sh"

llvm=19
log=$SSE_BUILD/coverage.log

# Clang's counters are in a separate package.
install_tools() {
    install_build_tools && install gcov && install "clang-$llvm" && install "llvm-cov-$llvm" &&
        install "$("clang-$llvm" -print-resource-dir)/lib/linux/libclang_rt.profile-$(uname -m).a" \
            "libclang-rt-$llvm-dev"
}

# run_tests NAME COMPILER "ARGUMENTS": builds from nothing, so that no counter is of another source, and runs the
# tests.
run_tests() {
    directory=$SSE_BUILD/coverage-$1
    rm -rf "$directory"
    mkdir -p "$directory.objects"
    leave=$directory.objects/leave.o
    # shellcheck disable=SC2086
    $2 $3 -c "$SSE_ROOT/test/coverage/leave.c" -o "$leave" &&
        CC=$2 meson setup "$directory" "$SSE_ROOT" -Dtests=enabled -Dexamples=disabled -Ddocs=disabled -Ddefault_library=static \
            -Doptimization=0 -Ddebug=true "-Dc_args=$3" "-Dc_link_args=$3 -Wl,--wrap=_exit $leave" &&
        meson test -C "$directory" --suite unit --print-errorlogs
}

install_tools || exit 1
for run in "gcc gcc --coverage -fprofile-update=atomic" \
    "clang clang-$llvm -fprofile-instr-generate -fcoverage-mapping -fcoverage-mcdc -fprofile-update=atomic"; do
    name=${run%% *}
    rest=${run#* }
    export LLVM_PROFILE_FILE="$SSE_BUILD/coverage-clang/profiles/%16m.profraw"
    if ! run_tests "$name" "${rest%% *}" "${rest#* }" >"$log" 2>&1; then
        cat "$log"
        record coverage 0 1 0 "the tests failed with $name"
        exit 0
    fi
done

status=0
# Clang omits a decision that contains another decision.
grep 'lib/.*unsupported MC/DC' "$log" && status=1
GCOV=gcov LLVM_PROFDATA=llvm-profdata-$llvm LLVM_COV=llvm-cov-$llvm python3 "$SSE_ROOT/test/coverage/gate.py" \
    "$SSE_ROOT" "$SSE_BUILD/coverage-gcc" "$SSE_BUILD/coverage-clang" >"$log" 2>&1 || status=1
cat "$log"
over=$(grep -c ', over$' "$log")
[ "$status" -eq 0 ] || [ "$over" -gt 0 ] || over=1
record coverage "$(grep -c ', within$' "$log")" "$over" 0
