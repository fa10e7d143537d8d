/* SPDX-License-Identifier: MIT */
/* A library that was built without epoll: see test/meson.build. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "descriptor_pair.h"
#include "fake_platform.h"

#include <errno.h>
#include <sse/emitter.h>
#include <sse/loop.h>

static struct fake_platform fake;

static int try_poller(enum sse_poller poller, struct sse_loop **loop)
{
    const struct sse_loop_options options = {
        .size = sizeof(options), .platform = &fake.platform, .poller = poller};

    return sse_loop_new(loop, &options);
}

static void epoll_is_not_supported(void **state)
{
    size_t descriptors = descriptor_count();
    struct sse_loop *loop = NULL;

    (void)state;
    fake_platform_init(&fake);
    assert_int_equal(try_poller(SSE_POLLER_EPOLL, &loop), -ENOTSUP);
    assert_null(loop);
    assert_int_equal(descriptor_count(), descriptors);
    fake_platform_check_no_leak(&fake);
}

static void the_best_is_poll(void **state)
{
    struct sse_emitter_options options = {.size = sizeof(options), .output = SSE_OUTPUT_FD};
    struct descriptor_pair pair;
    struct sse_loop *loop;

    (void)state;
    fake_platform_init(&fake);
    pair_open(&pair, PAIR_STREAM);
    assert_int_equal(try_poller(SSE_POLLER_BEST, &loop), 0);
    assert_int_equal(sse_loop_fd(loop), -ENOTSUP);
    options.platform = &fake.platform;
    options.loop = loop;
    options.fd = pair.server;
    assert_int_equal(sse_emitter_new(NULL, &options, NULL), 0);
    pair_expect(&pair, ":\n");
    pair_leave(&pair);
    while (sse_loop_count(loop))
        assert_int_equal(sse_loop_dispatch(loop, -1), 0);
    sse_loop_free(loop);
    pair_close(&pair);
    fake_platform_check_no_leak(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(epoll_is_not_supported),
        cmocka_unit_test(the_best_is_poll),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
