# SPDX-License-Identifier: MIT
# Every text of up to seven symbols in the fields of an event is encoded and parsed: see
# test/exhaustive/exhaustive.h. Two processes share the texts.
. "$SSE_ROOT/test/support/suite.sh"

program=$SSE_BUILD/unit/test/exhaustive/exhaustive

# run_part PART
run_part() {
    timeout 600 "$program" "$1" 2 >"$SSE_BUILD/exhaustive-$1.log" 2>&1
}

install_build_tools || exit 1
build_default test/exhaustive/exhaustive || exit 0
run_part 0 &
first=$!
run_part 1
second_status=$?
wait "$first"
first_status=$?
grep -h '^exhaustive: ' "$SSE_BUILD"/exhaustive-[01].log

# NAME: N encoded, N refused
awk '
    / encoded, / { count = split($0, words, " "); name = $0; sub(/: [0-9]+ encoded.*/, "", name)
                   if (!(name in encoded)) order[++names] = name
                   encoded[name] += words[count - 3]; refused[name] += words[count - 1] }
    END { for (i = 1; i <= names; i++)
              printf "%s: %d encoded, %d refused\n", order[i], encoded[order[i]], refused[order[i]] }
    ' "$SSE_BUILD"/exhaustive-[01].log >"$SSE_BUILD/exhaustive.log"
cat "$SSE_BUILD/exhaustive.log"
texts=$(awk '{ texts += $(NF - 3) + $(NF - 1) } END { print texts + 0 }' "$SSE_BUILD/exhaustive.log")
failed=$(((first_status != 0) + (second_status != 0)))
record exhaustive "$(wc -l <"$SSE_BUILD/exhaustive.log")" "$failed" 0 "$texts texts"
