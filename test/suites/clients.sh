# SPDX-License-Identifier: MIT
# Real clients against the hub and the payment page, each test with servers of its own on the loopback
# interface: npm eventsource, undici, fetch with eventsource-parser, curl, Chromium, and nginx in between;
# and clients that misbehave.
. "$SSE_ROOT/test/support/suite.sh"
. "$SSE_ROOT/test/support/node.sh"

# Sanitizers watch the servers while the clients are at it, and look for leaks when they end.
build=$SSE_BUILD/clients
SSE_HUB=$build/examples/hub
SSE_EXAMPLES=$build/examples
SSE_TEST_VECTORS=$SSE_ROOT/test/vectors/conformance.tsv
export SSE_EXAMPLES SSE_HUB SSE_TEST_VECTORS

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

install_build_tools || exit 1
if ! build_servers; then
    grep -E 'error|warning|ERROR|FAILED' "$build.log" | head -40
    record clients-build 0 1 0 "the servers could not be built"
    exit 0
fi

install_clients skip_all

export ASAN_OPTIONS="detect_leaks=1"
export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1"

run_tests clients-node 300 clients/events.test.mjs clients/vectors.test.mjs clients/streams.test.mjs \
    clients/reconnect.test.mjs clients/faults.test.mjs clients/options.test.mjs clients/history.test.mjs \
    clients/limits.test.mjs clients/statistics.test.mjs clients/shutdown.test.mjs clients/restart.test.mjs \
    clients/payment_page.test.mjs

if install nginx nginx-light; then
    SSE_NGINX=$(command -v nginx)
    export SSE_NGINX
    run_tests clients-nginx 300 clients/nginx.test.mjs
else
    record clients-nginx 0 0 1 "nginx cannot be installed"
fi

if install_chromium; then
    run_tests clients-browser 300 clients/browser.test.mjs clients/page.test.mjs clients/payment_browser.test.mjs
    ls "$SSE_ARTEFACTS"/*.png
else
    record clients-browser 0 0 1 "Chromium cannot be installed"
fi
