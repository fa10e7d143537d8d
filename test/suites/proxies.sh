# SPDX-License-Identifier: MIT
# nginx, haproxy and the other proxies of the guide's table, in front of the hub. Real clients and Chromium receive
# every event at once, reconnect without a loss, and their disconnects are noticed.
. "$SSE_ROOT/test/support/suite.sh"
. "$SSE_ROOT/test/support/node.sh"

skip_all() {
    record proxies 0 0 1 "$1"
    exit 0
}

install_build_tools || exit 1
build_servers || exit 0
install_clients skip_all
install nginx || skip_all "nginx cannot be installed"
install haproxy || skip_all "haproxy cannot be installed"
install apache2 || skip_all "Apache cannot be installed"
install caddy || skip_all "Caddy cannot be installed"
install varnishd || skip_all "Varnish cannot be installed"
install nghttpx || skip_all "nghttpx cannot be installed"
install lighttpd || skip_all "lighttpd cannot be installed"
install openssl || skip_all "openssl cannot be installed"
install_chromium || skip_all "Chromium cannot be installed"
SSE_PROXIES=$SSE_ROOT/examples/guide/proxies.md
export SSE_PROXIES

run_tests proxies 600 proxies/fronts.test.mjs proxies/buffering.test.mjs proxies/compression.test.mjs \
    proxies/timeouts.test.mjs proxies/away.test.mjs proxies/tabs.test.mjs proxies/guide.test.mjs
