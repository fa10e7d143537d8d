# SPDX-License-Identifier: MIT
# Real clients of the hub and the examples: npm eventsource, undici, fetch with eventsource-parser, curl, Chromium;
# and clients that misbehave. Each test has its own servers on the loopback interface.
. "$SSE_ROOT/test/support/suite.sh"
. "$SSE_ROOT/test/support/node.sh"

SSE_TEST_VECTORS=$SSE_ROOT/test/vectors/conformance.tsv
export SSE_TEST_VECTORS

skip_all() {
    record clients-node 0 0 1 "$1"
    record clients-browser 0 0 1 "$1"
    exit 0
}

install_build_tools || exit 1
build_servers || exit 0
install_clients skip_all

run_tests clients-node 300 clients/hang.test.mjs clients/events.test.mjs clients/vectors.test.mjs \
    clients/streams.test.mjs clients/reconnect.test.mjs clients/faults.test.mjs clients/options.test.mjs \
    clients/history.test.mjs clients/limits.test.mjs clients/statistics.test.mjs clients/shutdown.test.mjs \
    clients/restart.test.mjs clients/origins.test.mjs clients/metrics.test.mjs clients/topics.test.mjs \
    clients/idle.test.mjs clients/payment_page.test.mjs clients/examples.test.mjs clients/examples_live.test.mjs

if install_chromium; then
    run_tests clients-browser 300 clients/browser.test.mjs clients/page.test.mjs clients/topics_page.test.mjs \
        clients/payment_browser.test.mjs clients/quickstart.test.mjs clients/browser_client.test.mjs
    ls "$SSE_ARTEFACTS"/*.png
else
    record clients-browser 0 0 1 "Chromium cannot be installed"
fi
