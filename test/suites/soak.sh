# SPDX-License-Identifier: MIT
# Very many streams that come and go. Not among the suites that run by default. SSE_SOAK_CONNECTIONS, SSE_SOAK_LIFECYCLES and
# SSE_SOAK_SECONDS, of the hub with random clients, set other lengths; SSE_TEST_SEED repeats one.
. "$SSE_ROOT/test/support/suite.sh"

seed=${SSE_TEST_SEED:-$(date +%s)}
hub=$SSE_BUILD/soak-hub

install_build_tools || exit 1
build_bench "$SSE_BUILD/bench" test/soak/soak || exit 0

# soak NAME COUNT
soak() {
    log=$SSE_BUILD/soak-$1.log
    echo "soak $1 $2 $seed"
    "$SSE_BUILD/bench/test/soak/soak" "$1" "$2" "$seed" >"$log" 2>&1
    status=$?
    tail -n 3 "$log"
    record "soak-$1" "$((status == 0))" "$((status != 0))" 0 "$2, seed $seed"
}

soak connections "${SSE_SOAK_CONNECTIONS:-1000000}" &
soak lifecycles "${SSE_SOAK_LIFECYCLES:-10000000}"
wait

if [ ! -f "$hub/build.ninja" ] &&
    ! CC=${CC:-cc} meson setup "$hub" "$SSE_ROOT" -Dtests=disabled -Dexamples=enabled \
        -Db_sanitize=address,undefined -Db_lundef=false >"$hub.log" 2>&1; then
    cat "$hub.log"
    record soak-hub 0 1 0 "meson setup failed"
    exit 0
fi
log=$SSE_BUILD/soak-hub-clients.log
seconds=${SSE_SOAK_SECONDS:-1200}
ninja -C "$hub" examples/hub >"$hub.log" 2>&1 || { grep -E 'error|FAILED' "$hub.log"; record soak-hub 0 1 0 "the build failed"; exit 0; }
python3 "$SSE_ROOT/test/soak/hub.py" "$hub/examples/hub" "$seconds" "$seed" >"$log" 2>&1
status=$?
cat "$log"
record soak-hub "$((status == 0))" "$((status != 0))" 0 "$seconds s, seed $seed"
