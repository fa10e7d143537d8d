# SPDX-License-Identifier: MIT
# What the suites whose clients run in node share; sourced by them, after suite.sh.

# What is installed, and the tests, which find it above them.
workplace=$SSE_BUILD/clients-node
SSE_ARTEFACTS=$SSE_BUILD/artefacts
export SSE_ARTEFACTS

# Sanitizers watch the servers while the clients are at it, and look for leaks when they end.
servers=$SSE_BUILD/clients
SSE_HUB=$servers/examples/hub
SSE_EXAMPLES=$servers/examples
export SSE_EXAMPLES SSE_HUB

make_servers() {
    if [ ! -f "$servers/build.ninja" ]; then
        rm -rf "$servers"
        meson setup "$servers" "$SSE_ROOT" -Dtests=disabled -Dexamples=enabled -Dwerror=true \
            -Ddefault_library=static -Doptimization=1 -Db_sanitize=address,undefined >"$servers.log" 2>&1 ||
            return 1
    fi
    meson compile -C "$servers" hub quickstart 01_hello_fd 02_loop_thread 03_own_poll_loop \
        04_thread_per_connection 05_payment_page >"$servers.log" 2>&1
}

# build_servers SUITE: the hub and the examples that serve; records it when that fails.
build_servers() {
    if ! make_servers; then
        grep -E 'error|warning|ERROR|FAILED' "$servers.log" | head -40
        record "$1-build" 0 1 0 "the servers could not be built"
        return 1
    fi
    export ASAN_OPTIONS="detect_leaks=1"
    export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1"
}

# What the lock file names is installed once, until the lock file changes.
install_packages() {
    mkdir -p "$workplace" "$SSE_ARTEFACTS"
    if [ -d "$workplace/node_modules" ] &&
        cmp -s "$SSE_ROOT/test/clients/package-lock.json" "$workplace/package-lock.json"; then
        return 0
    fi
    rm -rf "$workplace/node_modules"
    cp "$SSE_ROOT/test/clients/package.json" "$SSE_ROOT/test/clients/package-lock.json" "$workplace" &&
        (cd "$workplace" && npm ci --ignore-scripts --no-audit --no-fund) >"$SSE_BUILD/npm.log" 2>&1 &&
        return 0
    # So that the next run tries again.
    rm -rf "$workplace/node_modules"
    cat "$SSE_BUILD/npm.log"
    return 1
}

# install_clients SKIP: curl, node and the packages; the tests are put beside them. Runs SKIP REASON if
# that cannot be.
install_clients() {
    install curl || "$1" "curl cannot be installed"
    install node || "$1" "node cannot be installed"
    install npm || "$1" "npm cannot be installed"
    install_packages || "$1" "npm cannot install the clients"
    rm -rf "$workplace"/*.mjs
    for directory in clients hosts redis proxies; do
        rm -rf "${workplace:?}/$directory"
        mkdir "$workplace/$directory"
        cp "$SSE_ROOT/test/$directory"/*.mjs "$workplace/$directory"
    done
    # All is on the loopback interface.
    unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
}

install_chromium() {
    install 'chromium|chromium-browser' || return 1
    SSE_CHROMIUM=$(command -v chromium || command -v chromium-browser)
    export SSE_CHROMIUM
}

# count WHAT LOG: the number that the test runner ends with; 0 if it came to no end.
count() {
    sed -n "s/^# $1 //p" "$2" | grep . || echo 0
}

# run_tests NAME SECONDS FILE...: files by their path in test/.
run_tests() {
    name=$1
    seconds=$2
    shift 2
    log=$SSE_BUILD/$name.log
    (cd "$workplace" && timeout -k 5 "$seconds" node --test --test-reporter=tap "$@") >"$log" 2>&1
    status=$?
    passed=$(count pass "$log")
    skipped=$(count skipped "$log")
    failed=$(($(count fail "$log") + $(count cancelled "$log")))
    if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
        failed=1
    fi
    if [ "$failed" -gt 0 ]; then
        echo "$name: status $status"
        awk '/^ *not ok /, /^ *\.\.\.$/' "$log" | head -300
        grep -q "^ *not ok" "$log" || tail -20 "$log"
    fi
    reasons=$(sed -n 's/^ *ok .*# SKIP *//p' "$log" | sort -u | tr '\n' ' ')
    failures=$(sed -nE 's/^ *not ok [0-9]+ - (.*)$/\1;/p' "$log" | tr '\n' ' ')
    record "$name" "$passed" "$failed" "$skipped" "$reasons" "$failures"
}
