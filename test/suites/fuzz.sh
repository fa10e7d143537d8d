# SPDX-License-Identifier: MIT
# Every fuzz target runs its corpus, and then new inputs for a minute, under ASan with UBSan. Two run at a time.
# Longer: sh test/run.sh fuzz SECONDS. SSE_FUZZ_TARGETS names some of them. See test/fuzz/README.md.
. "$SSE_ROOT/test/support/suite.sh"

seconds=${SSE_FUZZ_SECONDS:-60}
sources=$SSE_ROOT/test/fuzz
build=$SSE_BUILD/fuzz
crashes=$SSE_BUILD/fuzz-crashes

export ASAN_OPTIONS="detect_leaks=1:quarantine_size_mb=32"
export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1"

install_fuzzer() {
    install_clang &&
        install "$(clang --print-runtime-dir)/libclang_rt.fuzzer-$(uname -m).a" \
            "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
}

build_targets() {
    if [ ! -f "$build/build.ninja" ]; then
        rm -rf "$build"
        CC=clang CXX=clang++ meson setup "$build" "$SSE_ROOT" -Dtests=disabled -Dexamples=disabled -Ddocs=disabled -Dfuzz=true \
            -Dwerror=true -Ddefault_library=static -Doptimization=1 -Db_sanitize=address,undefined \
            -Db_lundef=false >"$build.log" 2>&1 || return 1
    fi
    meson compile -C "$build" fuzz_targets >"$build.log" 2>&1
}

# run_target NAME: runs a target. New inputs are kept in the build directory for the next run.
run_target() {
    name=$1
    corpus=$SSE_BUILD/fuzz-corpus/$name
    mkdir -p "$corpus"
    set -- -max_total_time="$seconds" -timeout=300 -rss_limit_mb=2560 -print_final_stats=1 \
        -artifact_prefix="$crashes/$name-"
    while read -r option; do
        case $option in *=*) set -- "$@" "-$option" ;; esac
    done <"$sources/fuzz.options"
    [ -f "$sources/fuzz_$name.dict" ] && set -- "$@" -dict="$sources/fuzz_$name.dict"
    timeout $((2 * seconds + 600)) "$build/test/fuzz/fuzz_$name" "$@" "$corpus" \
        "$sources/fuzz_${name}_seed_corpus" >"$SSE_BUILD/fuzz-$name.log" 2>&1
    echo $? >"$SSE_BUILD/fuzz-$name.status"
}

run_targets() {
    for target in "$@"; do
        run_target "$target"
    done
}

# Prints executions, covered edges and features, the inputs for them, and failures.
tell() {
    log=$SSE_BUILD/fuzz-$1.log
    awk -v name="$1" '
        /^stat::number_of_executed_units/ { executions = $2 }
        / cov: / { for (i = 1; i < NF; i++) { if ($i == "cov:") edges = $(i + 1)
                   if ($i == "ft:") features = $(i + 1); if ($i == "corp:") inputs = $(i + 1) } }
        END { sub("/.*", "", inputs)
              printf "%s: %d executions, %d edges, %d features, %d inputs\n", name, executions, edges, features, inputs }
        ' "$log"
    [ "$2" -eq 0 ] && return
    grep -E '^(fuzz|fake platform|event check|descriptor pair): |ERROR: |runtime error' "$log" | head -5
    echo "fuzz_$1 failed; the end of $log:"
    tail -40 "$log"
    sed -nE 's/.*Test unit written to (.*)$/kept: \1/p' "$log"
}

install_build_tools || exit 1
if ! install_fuzzer; then
    record fuzz 0 0 1 "clang or its fuzzer cannot be installed"
    exit 0
fi
install /usr/include/http_parser.h libhttp-parser-dev
mkdir -p "$crashes"
if ! build_targets; then
    grep -E 'error|warning|ERROR|FAILED' "$build.log" | head -40
    record fuzz 0 1 0 "the build failed"
    exit 0
fi

targets=${SSE_FUZZ_TARGETS:-$(cd "$sources" && echo fuzz_*.c | sed 's/fuzz_\([a-z_]*\)\.c/\1/g')}
passed=0
failed=0
skipped=
first=
second=
for target in $targets; do
    if [ ! -x "$build/test/fuzz/fuzz_$target" ]; then
        skipped="$skipped $target"
    elif [ "$(echo "$first" | wc -w)" -le "$(echo "$second" | wc -w)" ]; then
        first="$first $target"
    else
        second="$second $target"
    fi
done
# shellcheck disable=SC2086
run_targets $first &
# shellcheck disable=SC2086
run_targets $second
wait
for target in $first $second; do
    status=$(cat "$SSE_BUILD/fuzz-$target.status")
    tell "$target" "$status"
    passed=$((passed + (status == 0)))
    failed=$((failed + (status != 0)))
done
record fuzz "$passed" "$failed" "$(echo "$skipped" | wc -w)" "$skipped"
