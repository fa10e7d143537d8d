# SPDX-License-Identifier: MIT
# Very many streams that begin and end. This suite does not run by default. SSE_SOAK_CONNECTIONS,
# SSE_SOAK_LIFECYCLES and SSE_SOAK_SECONDS, of the hub with random clients, set other lengths; SSE_TEST_SEED repeats
# one.
. "$SSE_ROOT/test/support/suite.sh"

seed=${SSE_TEST_SEED:-$(date +%s)}
seconds=${SSE_SOAK_SECONDS:-1200}

# soak NAME COUNT
soak() {
    log=$SSE_BUILD/soak-$1.log
    echo "soak $1 $2 $seed"
    "$SSE_BUILD/unit/test/soak/soak" "$1" "$2" "$seed" >"$log" 2>&1
    status=$?
    tail -n 3 "$log"
    record "soak-$1" "$((status == 0))" "$((status != 0))" 0 "$2, seed $seed"
}

soak_hub() {
    log=$SSE_BUILD/soak-hub.log
    python3 "$SSE_ROOT/test/soak/hub.py" "$SSE_BUILD/examples/asan/examples/hub" "$seconds" "$seed" >"$log" 2>&1
    status=$?
    cat "$log"
    record soak-hub "$((status == 0))" "$((status != 0))" 0 "$seconds s, seed $seed"
}

install_build_tools || exit 1
build_default test/soak/soak && build_examples asan examples/hub || exit 0
soak_hub &
soak connections "${SSE_SOAK_CONNECTIONS:-1000000}"
soak lifecycles "${SSE_SOAK_LIFECYCLES:-10000000}"
wait
