# SPDX-License-Identifier: MIT
# User instructions, cache misses and atomic operations. Each has its gate in test/bench/gate.py.
. "$SSE_ROOT/test/support/suite.sh"

log=$SSE_BUILD/instructions.log

install_build_tools && install valgrind || exit 1
build_default test/bench/instructions || exit 0
python3 "$SSE_ROOT/test/bench/gate.py" "${CC:-cc}" "$SSE_BUILD/unit/test/bench/instructions" >"$log" 2>&1
status=$?
cat "$log"
over=$(grep -c ', over$' "$log")
[ "$status" -eq 0 ] || [ "$over" -gt 0 ] || over=1
record instructions "$(grep -c ', within$' "$log")" "$over" 0
