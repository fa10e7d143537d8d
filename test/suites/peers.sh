# SPDX-License-Identifier: MIT
# Compares the library with servers that a user can install from Debian or npm: test/bench/peers/README.md. This
# suite does not run by default. The figures have no goals, but a lost event fails. Servers that cannot be installed
# are skipped. SSE_BENCH_PAIRS=N sets the number of rounds.
. "$SSE_ROOT/test/support/suite.sh"

workplace=$SSE_BUILD/peers-node
log=$SSE_BUILD/peers-figures
sources=$SSE_ROOT/test/bench/peers

# If a package is missing, its peer is not built, and its figures are skipped.
install_peers() {
    install /usr/include/libwebsockets.h
    install /usr/lib/nginx/modules/ngx_nchan_module.so
    install /usr/share/nginx/src/configure
    mkdir -p "$workplace"
    cp "$sources"/better_sse.mjs "$workplace"
    install node && install npm && install_better_sse
}

# Installs the packages of the lock file once, and again when the lock file changes.
install_better_sse() {
    if [ -d "$workplace/node_modules" ] &&
        cmp -s "$sources/package-lock.json" "$workplace/package-lock.json"; then
        return 0
    fi
    cp "$sources"/package.json "$sources"/package-lock.json "$workplace" &&
        (cd "$workplace" && npm ci --ignore-scripts --no-audit --no-fund) >"$SSE_BUILD/peers-npm.log" 2>&1 &&
        return 0
    # The next run must try again.
    rm -rf "$workplace/node_modules"
    cat "$SSE_BUILD/peers-npm.log"
}

install_build_tools && install taskset || exit 1
install_peers
build_default test/bench/server test/bench/limit peers || exit 0
# All servers and clients use the loopback interface.
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
python3 "$sources/run.py" "$SSE_BUILD/unit/test/bench" "$workplace" "${SSE_BENCH_PAIRS:-3}" >"$log" 2>"$log.errors"
status=$?
cat "$log" "$log.errors"
record peers "$(grep -c ' - -$' "$log")" "$((status != 0))" "$(grep -c ' skipped$' "$log")" \
    "$(grep -E 'not installed|npm cannot|needs node' "$log" | tr '\n' ' ')"
