# SPDX-License-Identifier: MIT
# Real clients against the hub and the payment page, each test with servers of its own on the loopback
# interface: npm eventsource, undici, fetch with eventsource-parser, curl, Chromium, and nginx in between;
# and clients that misbehave.
. "$SSE_ROOT/test/support/suite.sh"

# Sanitizers watch the servers while the clients are at it, and look for leaks when they end.
build=$SSE_BUILD/clients
# What is installed, and the tests, which find it beside them.
workplace=$SSE_BUILD/clients-node
SSE_ARTEFACTS=$SSE_BUILD/artefacts
SSE_HUB=$build/examples/hub
SSE_EXAMPLES=$build/examples
SSE_TEST_VECTORS=$SSE_ROOT/test/vectors/conformance.tsv
export SSE_ARTEFACTS SSE_EXAMPLES SSE_HUB SSE_TEST_VECTORS

skip_all() {
    record clients-node 0 0 1 "$1"
    record clients-nginx 0 0 1 "$1"
    record clients-browser 0 0 1 "$1"
    exit 0
}

build_servers() {
    if [ ! -f "$build/build.ninja" ]; then
        rm -rf "$build"
        meson setup "$build" "$SSE_ROOT" -Dtests=disabled -Dexamples=enabled -Dwerror=true \
            -Ddefault_library=static -Doptimization=1 -Db_sanitize=address,undefined >"$build.log" 2>&1 ||
            return 1
    fi
    meson compile -C "$build" hub 04_payment_page >"$build.log" 2>&1
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

# count WHAT LOG: the number that the test runner ends with; 0 if it came to no end.
count() {
    sed -n "s/^# $1 //p" "$2" | grep . || echo 0
}

# run_tests NAME FILE...
run_tests() {
    name=$1
    shift
    log=$SSE_BUILD/$name.log
    (cd "$workplace" && timeout -k 5 300 node --test --test-reporter=tap "$@") >"$log" 2>&1
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
        grep -q "^not ok" "$log" || tail -20 "$log"
    fi
    record "$name" "$passed" "$failed" "$skipped"
}

install_build_tools || exit 1
if ! build_servers; then
    grep -E 'error|warning|ERROR|FAILED' "$build.log" | head -40
    record clients-build 0 1 0 "the servers could not be built"
    exit 0
fi

install curl curl || skip_all "curl cannot be installed"
install node nodejs || skip_all "node cannot be installed"
install npm npm || skip_all "npm cannot be installed"
install_packages || skip_all "npm cannot install the clients"

rm -f "$workplace"/*.mjs
cp "$SSE_ROOT"/test/clients/*.mjs "$workplace"
# All is on the loopback interface.
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY

export ASAN_OPTIONS="detect_leaks=1"
export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1"

run_tests clients-node events.test.mjs vectors.test.mjs streams.test.mjs reconnect.test.mjs faults.test.mjs \
    options.test.mjs history.test.mjs limits.test.mjs statistics.test.mjs shutdown.test.mjs restart.test.mjs \
    payment_page.test.mjs

# Debian has it where not every user looks for programs.
PATH=$PATH:/usr/sbin
if install nginx nginx-light; then
    SSE_NGINX=$(command -v nginx)
    export SSE_NGINX
    run_tests clients-nginx nginx.test.mjs
else
    record clients-nginx 0 0 1 "nginx cannot be installed"
fi

if have chromium-browser || install chromium chromium; then
    SSE_CHROMIUM=$(command -v chromium || command -v chromium-browser)
    export SSE_CHROMIUM
    run_tests clients-browser browser.test.mjs page.test.mjs payment_browser.test.mjs
    ls "$SSE_ARTEFACTS"/*.png
else
    record clients-browser 0 0 1 "Chromium cannot be installed"
fi
