# SPDX-License-Identifier: MIT
# Shared by the suites with clients in node. They source it after suite.sh.

# The installed packages and the tests. node looks for packages in the folders above the tests.
workplace=$SSE_BUILD/clients-node
SSE_ARTEFACTS=$SSE_BUILD/artefacts
export SSE_ARTEFACTS

# Sanitizers watch the servers while the clients run, and check for leaks when the servers end.
SSE_EXAMPLES=$SSE_BUILD/examples/asan/examples
SSE_HUB=$SSE_EXAMPLES/hub
export SSE_EXAMPLES SSE_HUB

# Builds the hub and the examples that are servers.
build_servers() {
    build_examples asan examples/hub examples/quickstart examples/01_hello_fd examples/02_loop_thread \
        examples/03_own_poll_loop examples/04_thread_per_connection examples/05_payment_page examples/06_epoll \
        examples/07_state_then_live examples/08_tokens examples/09_rooms examples/11_cpp || return 1
    export ASAN_OPTIONS="detect_leaks=1"
    export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1"
}

# Installs the packages of the lock file once, and again when the lock file changes.
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
    # The next run must try again.
    rm -rf "$workplace/node_modules"
    cat "$SSE_BUILD/npm.log"
    return 1
}

# install_clients SKIP: installs curl, node and the packages, and puts the tests beside them. If that is impossible,
# runs SKIP REASON.
install_clients() {
    install curl || "$1" "curl cannot be installed"
    install node || "$1" "node cannot be installed"
    install npm || "$1" "npm cannot be installed"
    install_packages || "$1" "npm cannot install the clients"
    rm -rf "$workplace"/*.mjs
    for directory in clients hosts redis proxies workers; do
        rm -rf "${workplace:?}/$directory"
        mkdir "$workplace/$directory"
        cp "$SSE_ROOT/test/$directory"/*.mjs "$workplace/$directory"
    done
    # All servers and clients use the loopback interface.
    unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
}

install_chromium() {
    install 'chromium|chromium-browser' || return 1
    SSE_CHROMIUM=$(command -v chromium || command -v chromium-browser)
    export SSE_CHROMIUM
}

# count WHAT LOG: prints the number at the end of the test runner's output, or 0 if the runner did not finish.
count() {
    sed -n "s/^# $1 //p" "$2" | grep . || echo 0
}

# The tests mostly wait, so their files run at the same time. node before 20.10 runs them one after the other.
files_at_a_time() {
    if node --help | grep -q -e --test-concurrency; then
        echo --test-concurrency=3
    fi
}

# unended PROGRESS: the tests that have begun and not ended, as test/clients/hang.mjs noted them.
unended() {
    awk -F '\t' '$1 == "began" { open[$2]++ }
        $1 == "ended" { open[$2]-- }
        END { for (test in open) if (open[test] > 0) print test }' "$1"
}

# run_tests NAME SECONDS FILE...: runs these files, each given by its path in test/. What hangs is ended and named
# 20 seconds before the time is over.
run_tests() {
    name=$1
    seconds=$2
    shift 2
    log=$SSE_BUILD/$name.log
    SSE_TESTS_END=$(($(date +%s) + seconds - 20))
    SSE_TESTS_PROGRESS=$SSE_BUILD/$name.progress
    export SSE_TESTS_END SSE_TESTS_PROGRESS
    : >"$SSE_TESTS_PROGRESS"
    # shellcheck disable=SC2046
    (cd "$workplace" &&
        timeout -k 5 "$seconds" node --test $(files_at_a_time) --test-reporter=tap "$@") >"$log" 2>&1
    status=$?
    passed=$(count pass "$log")
    skipped=$(count skipped "$log")
    failed=$(($(count fail "$log") + $(count cancelled "$log")))
    if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
        failed=1
    fi
    hanging=$(unended "$SSE_TESTS_PROGRESS" | sed 's/^/hangs: /; s/$/;/' | tr '\n' ' ')
    if [ "$failed" -gt 0 ]; then
        echo "$name: status $status $hanging"
        awk '/^ *not ok /, /^ *\.\.\.$/' "$log" | head -300
        grep 'hangs: ' "$log" | head -200
        grep -q "^ *not ok" "$log" || tail -20 "$log"
    fi
    reasons=$(sed -n 's/^ *ok .*# SKIP *//p' "$log" | sort -u | tr '\n' ' ')
    failures=$(sed -nE 's/^ *not ok [0-9]+ - (.*)$/\1;/p' "$log" | tr '\n' ' ')
    record "$name" "$passed" "$failed" "$skipped" "$reasons" "$failures" "$hanging"
}
