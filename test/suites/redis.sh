# SPDX-License-Identifier: MIT
# Nodes that share a Redis stream, with the tests' own Redis, and nginx in front. The nodes run under ASan and
# UBSan, then under TSan, some with fewer clients.
. "$SSE_ROOT/test/support/suite.sh"
. "$SSE_ROOT/test/support/node.sh"

skip_all() {
    record redis 0 0 1 "$1"
    exit 0
}

install_build_tools || exit 1
install /usr/include/hiredis/hiredis.h || skip_all "hiredis cannot be installed"
install redis-server || skip_all "redis-server cannot be installed"
install redis-cli || skip_all "redis-tools cannot be installed"
install prlimit || skip_all "util-linux cannot be installed"
install_clients skip_all
install nginx || skip_all "nginx cannot be installed"

SSE_NGINX=$(command -v nginx)
SSE_REDIS_SERVER=$(command -v redis-server)
export SSE_NGINX SSE_REDIS_SERVER
export ASAN_OPTIONS="detect_leaks=1"
export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1"
export TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1"

if build_examples asan examples/redis/redis_hub; then
    export SSE_REDIS_HUB="$SSE_BUILD/examples/asan/examples/redis/redis_hub"
    run_tests redis-nodes 200 redis/nodes.test.mjs
    run_tests redis-faults 300 redis/publishing.test.mjs redis/requests.test.mjs redis/rewinds.test.mjs
    run_tests redis-chaos 320 redis/chaos.test.mjs
    run_tests redis-scale 200 redis/scale.test.mjs
    grep -h '^ *# figures' "$SSE_BUILD/redis-chaos.log" "$SSE_BUILD/redis-scale.log"
fi

# Older runtimes of TSan fail if addresses are too random.
if have setarch && setarch -R true 2>/dev/null; then
    export SSE_REDIS_BEFORE="setarch -R"
fi
if build_examples tsan examples/redis/redis_hub; then
    export SSE_REDIS_HUB="$SSE_BUILD/examples/tsan/examples/redis/redis_hub"
    export SSE_REDIS_CLIENTS=60
    run_tests redis-tsan 200 redis/scale.test.mjs
    run_tests redis-tsan-faults 400 redis/publishing.test.mjs redis/requests.test.mjs redis/rewinds.test.mjs
    run_tests redis-tsan-chaos 320 redis/chaos.test.mjs
    grep '^ *# figures' "$SSE_BUILD/redis-tsan.log"
fi
