# SPDX-License-Identifier: MIT
# One test for every server of examples/hosts, each in two builds: AddressSanitizer with
# UndefinedBehaviorSanitizer, and ThreadSanitizer. Two servers run at a time.
. "$SSE_ROOT/test/support/suite.sh"
. "$SSE_ROOT/test/support/node.sh"

SSE_HOSTS=$SSE_BUILD/examples
SSE_RACES=$SSE_ROOT/test/support/hosts.tsan
SSE_LEAKS=$SSE_ROOT/test/support/hosts.lsan
export SSE_HOSTS SSE_RACES SSE_LEAKS

skip_all() {
    record hosts 0 0 1 "$1"
    exit 0
}

# If a package is missing, its server is not built, and its test is skipped.
install_servers() {
    for server in microhttpd.h civetweb.h event2/http.h uv.h http_parser.h libwebsockets.h nghttp2/nghttp2.h h2o.h \
        fcgiapp.h openssl/ssl.h apache2/httpd.h libsoup-3.0/libsoup/soup.h; do
        install "/usr/include/$server"
    done
    install /usr/share/nginx/src/configure
    install openssl
    install nginx
    install lighttpd
    install apache2
    install inetd
}

# The module, built like any module of nginx.
build_as_nginx_does() {
    source=/usr/share/nginx/src
    place=$SSE_BUILD/nginx-own
    rm -rf "$place"
    mkdir "$place"
    cp -rs "$source/auto" "$source/src" "$source/configure" "$place"
    options=$(sed -n 's/^NGX_CONF_FLAGS=(\(.*\))$/\1/p' "$source/conf_flags")
    # shellcheck disable=SC2086
    (cd "$place" && export PKG_CONFIG_PATH="$SSE_BUILD/clang-O2/meson-uninstalled" &&
        ./configure $options --add-dynamic-module="$SSE_ROOT/examples/hosts/nginx" &&
        make -f objs/Makefile modules) >"$place.log" 2>&1
}

install_build_tools || exit 1
install_servers
build_examples asan hosts && build_examples tsan hosts || exit 0

# Built again with the other compiler, for its warnings.
if ! install_clang; then
    record hosts-clang 0 0 1 "clang cannot be installed"
elif build_clang hosts; then
    record hosts-clang 1 0 0
    if ! [ -f /usr/share/nginx/src/configure ]; then
        record hosts-nginx-own 0 0 1 "nginx-dev cannot be installed"
    elif build_as_nginx_does; then
        record hosts-nginx-own 1 0 0
    else
        tail -20 "$place.log"
        record hosts-nginx-own 0 1 0 "the build failed"
    fi
fi

install_clients skip_all
install_chromium || record hosts-browser 0 0 1 "Chromium cannot be installed"
# Older runtimes of TSan fail if addresses are too random.
if have setarch && setarch -R true 2>/dev/null; then
    export SSE_WITHOUT_RANDOMISATION=1
fi

# nginx and Apache are built without sanitizers, so the sanitizers are preloaded.
SSE_ASAN_RUNTIME=$(${CC:-cc} -print-file-name=libasan.so)
SSE_TSAN_RUNTIME=$(${CC:-cc} -print-file-name=libtsan.so)
export SSE_ASAN_RUNTIME SSE_TSAN_RUNTIME

run_tests hosts "${SSE_HOSTS_SECONDS:-900}" hosts/hosts.test.mjs hosts/cgi.test.mjs hosts/requests.test.mjs \
    hosts/limits.test.mjs
run_tests nginx 300 hosts/nginx.test.mjs hosts/nginx_workers.test.mjs
run_tests apache 600 hosts/apache.test.mjs hosts/apache_shared.test.mjs
