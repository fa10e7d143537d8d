# SPDX-License-Identifier: MIT
# One test for every server of examples/hosts, each in two builds: AddressSanitizer with
# UndefinedBehaviorSanitizer, and ThreadSanitizer. Two servers run at a time.
. "$SSE_ROOT/test/support/suite.sh"
. "$SSE_ROOT/test/support/node.sh"

SSE_HOSTS=$SSE_BUILD/hosts
SSE_SUPPRESSIONS=$SSE_ROOT/test/support/hosts.tsan
export SSE_HOSTS SSE_SUPPRESSIONS

skip_all() {
    record hosts 0 0 1 "$1"
    exit 0
}

# A server whose package is missing is not built, and its test says that it was skipped.
install_servers() {
    install /usr/include/microhttpd.h libmicrohttpd-dev
    install /usr/include/civetweb.h libcivetweb-dev
    install /usr/include/event2/http.h libevent-dev
    install /usr/include/uv.h libuv1-dev
    install /usr/include/http_parser.h libhttp-parser-dev
    install /usr/include/libwebsockets.h libwebsockets-dev
    install /usr/include/nghttp2/nghttp2.h libnghttp2-dev
    install /usr/include/h2o.h libh2o-evloop-dev
    install /usr/include/fcgiapp.h libfcgi-dev
    install /usr/include/openssl/ssl.h libssl-dev
    install openssl openssl
    install nginx nginx-light
    install lighttpd lighttpd
}

# build_hosts NAME SANITIZERS
build_hosts() {
    directory=$SSE_HOSTS/$1
    log=$directory.log
    if [ ! -f "$directory/build.ninja" ]; then
        rm -rf "$directory"
        meson setup "$directory" "$SSE_ROOT" -Dtests=disabled -Dexamples=enabled -Dwerror=true \
            -Ddefault_library=static -Doptimization=1 "-Db_sanitize=$2" >"$log" 2>&1
    else
        # There may be packages now that were missing then.
        meson setup --reconfigure "$directory" "$SSE_ROOT" >"$log" 2>&1
    fi && meson compile -C "$directory" hosts >"$log" 2>&1 && return 0
    grep -E 'error|warning|ERROR|FAILED' "$log" | head -40
    record hosts-build 0 1 0 "the hosts could not be built"
    exit 0
}

install_build_tools || exit 1
install_servers
mkdir -p "$SSE_HOSTS"
build_hosts asan address,undefined
build_hosts tsan thread

# Built once more by the other compiler, for its warnings.
build_by_clang() {
    build=$SSE_HOSTS/clang
    if [ ! -f "$build/build.ninja" ]; then
        CC=clang meson setup "$build" "$SSE_ROOT" -Dtests=disabled -Dexamples=enabled -Dwerror=true \
            >"$build.log" 2>&1 || return 1
    fi
    meson compile -C "$build" hosts >"$build.log" 2>&1
}

if install_clang && build_by_clang; then
    record hosts-clang 1 0 0
else
    grep -E 'error|warning|ERROR|FAILED' "$SSE_HOSTS/clang.log" | head -40
    record hosts-clang 0 1 0 "the hosts could not be built with clang"
fi

install_clients skip_all
install_chromium || record hosts-browser 0 0 1 "Chromium cannot be installed"
# Older runtimes of TSan cannot live with much randomness in the address space.
if have setarch && setarch -R true 2>/dev/null; then
    export SSE_WITHOUT_RANDOMISATION=1
fi

run_tests hosts "${SSE_HOSTS_SECONDS:-400}" hosts/hosts.test.mjs
