# SPDX-License-Identifier: MIT
# Small faults in lib/, one at a time. A test must notice each: all of test/mutation/guards.tsv, and random ones.
# SSE_TEST_SEED repeats a choice, SSE_TEST_MUTANTS sets its number, and SSE_TEST_FILES names files of lib/ to choose
# from.
. "$SSE_ROOT/test/support/suite.sh"

report=$SSE_BUILD/mutation-run.log
mutants=${SSE_TEST_MUTANTS:-200}
seed=${SSE_TEST_SEED:-$(date +%s)}

install_build_tools || exit 1
build mutation "${CC:-cc}" "-Dtests=enabled -Dexamples=disabled -Ddefault_library=static -Doptimization=1
    -Ddebug=false" || exit 0
# shellcheck disable=SC2086
python3 "$SSE_ROOT/test/mutation/mutate.py" "$SSE_ROOT" "$SSE_BUILD/mutation" \
    "$mutants" "$seed" ${SSE_TEST_FILES:-} >"$report" 2>&1
status=$?
grep -v '^killed by' "$report"
killed=$(grep -c '^killed by' "$report")
survived=$(grep -c '^not noticed' "$report")
if [ "$status" -eq 0 ]; then
    record mutation "$killed" 0 0 "seed $seed, $survived not noticed"
else
    [ "$survived" -gt 0 ] || survived=1
    record mutation "$killed" "$survived" 0 "seed $seed"
fi
