# SPDX-License-Identifier: MIT
# What the library costs: test/bench/README.md. Not among the suites that run by default. A goal that is
# missed is said and does not fail; an event that is lost does. SSE_BENCH_PAIRS=N sets the pairs of runs,
# which run.py reads.
. "$SSE_ROOT/test/support/suite.sh"

build=$SSE_BUILD/bench
log=$SSE_BUILD/bench-figures

build_bench() {
    if [ ! -f "$build/build.ninja" ]; then
        rm -rf "$build"
        CC=${CC:-cc} meson setup "$build" "$SSE_ROOT" -Dtests=enabled -Dexamples=disabled -Dwerror=true \
            -Doptimization=2 -Ddebug=true >"$build.log" 2>&1 || return 1
    fi
    ninja -C "$build" bench >"$build.log" 2>&1
}

install_build_tools && install valgrind valgrind && install strace strace && install taskset util-linux || exit 1
if ! build_bench; then
    grep -E 'error|warning|ERROR|FAILED' "$build.log" | head -40
    record bench 0 1 0 "the build failed"
    exit 0
fi
# Instructions have no noise: here a number above its gate fails. The numbers are gcc's, at -O2.
if python3 "$SSE_ROOT/test/bench/gate.py" "$build/test/bench/instructions"; then
    record bench-instructions 1 0 0
else
    record bench-instructions 0 1 0
fi
python3 "$SSE_ROOT/test/bench/run.py" "$build/test/bench" >"$log" 2>"$log.errors"
status=$?
cat "$log" "$log.errors"
passed=$(grep -c ' pass$' "$log")
missed=$(grep -c ' miss$' "$log")
record bench "$passed" "$((status != 0))" "$(grep -c ' skipped$' "$log")" "$missed goals missed"
