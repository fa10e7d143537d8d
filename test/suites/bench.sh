# SPDX-License-Identifier: MIT
# What the library costs: test/bench/README.md. This suite does not run by default. A missed goal is reported and
# does not fail. A lost event fails. SSE_BENCH_PAIRS=N, which run.py reads, sets the number of pairs of runs.
. "$SSE_ROOT/test/support/suite.sh"

log=$SSE_BUILD/bench-figures

install_build_tools && install valgrind && install strace && install taskset || exit 1
build_default bench || exit 0
python3 "$SSE_ROOT/test/bench/run.py" "$SSE_BUILD/unit/test/bench" >"$log" 2>"$log.errors"
status=$?
cat "$log" "$log.errors"
passed=$(grep -c ' pass$' "$log")
missed=$(grep -c ' miss$' "$log")
record bench "$passed" "$((status != 0))" "$(grep -c ' skipped$' "$log")" "$missed goals missed"
