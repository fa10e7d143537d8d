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
    for server in microhttpd.h civetweb.h event2/http.h uv.h http_parser.h libwebsockets.h nghttp2/nghttp2.h h2o.h \
        fcgiapp.h openssl/ssl.h; do
        install "/usr/include/$server"
    done
    install openssl
    install nginx
    install lighttpd
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
