/* SPDX-License-Identifier: MIT */
/* A wait for room that the system refuses: poll(2) is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "descriptor_pair.h"
#include "fake_client.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define REFUSALS_MAX 100

static int refused_with; /* 0: it is not refused */
static size_t interruptions;
static size_t waits;

int __real_poll(struct pollfd *descriptors, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *descriptors, nfds_t count, int timeout_ms);

/* Looks that do not wait go through. */
int __wrap_poll(struct pollfd *descriptors, nfds_t count, int timeout_ms)
{
    if (!timeout_ms || (!refused_with && !interruptions))
        return __real_poll(descriptors, count, timeout_ms);
    assert_true(++waits <= REFUSALS_MAX);
    errno = interruptions ? EINTR : refused_with;
    interruptions -= interruptions > 0;
    return -1;
}

static struct fake_platform fake;
static struct fake_client client;
static struct descriptor_pair pair;

/* Its socket is full, and more is queued. */
static int open_full(void **state)
{
    static char text[1000000];
    const struct sse_event event = {.data = {text, sizeof(text)}};

    (void)state;
    memset(text, 'x', sizeof(text));
    fake_platform_init(&fake);
    pair_open(&pair, PAIR_STREAM);
    fake_client_init(&client, &fake, SSE_OUTPUT_FD);
    client.options.fd = pair.server;
    client.options.queue_bytes = (size_t)32 << 20;
    fake_client_open(&client);
    do
        assert_int_equal(sse_emitter_send(client.emitter, &event), 0);
    while (sse_emitter_flush(client.emitter) == 0);
    refused_with = 0;
    interruptions = 0;
    waits = 0;
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    refused_with = 0;
    fake_client_free(&client);
    pair_close(&pair);
    assert_int_equal(atomic_load(&fake.blocks), 0);
    return 0;
}

/* It would be refused again, without end. The stream goes on. */
static void a_wait_that_is_refused_returns(void **state)
{
    static const struct {
        int error;
        int result;
    } rows[] = {{ENOMEM, -ENOMEM}, {EAGAIN, -ENOMEM}, {EINVAL, -EIO}, {EFAULT, -EIO}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        refused_with = rows[i].error;
        waits = 0;
        assert_int_equal(sse_emitter_wait(client.emitter, -1), rows[i].result);
        assert_int_equal(waits, 1);
        assert_int_equal(sse_emitter_wait(client.emitter, 60000), rows[i].result);
        assert_int_equal(waits, 2);
        assert_int_equal(fake_client_info(&client).state, SSE_STATE_OPEN);
    }
    refused_with = 0;
    while (sse_emitter_wait(client.emitter, 0) == 0)
        (void)pair_discard(&pair);
    assert_int_equal(sse_emitter_wait(client.emitter, -1), 1);
}

/* A signal is no refusal. */
static void an_interrupted_wait_goes_on(void **state)
{
    (void)state;
    interruptions = 5;
    refused_with = ENOMEM;
    assert_int_equal(sse_emitter_wait(client.emitter, -1), -ENOMEM);
    assert_int_equal(waits, 6);
}

#define WAIT_TEST(function) cmocka_unit_test_setup_teardown(function, open_full, close_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAIT_TEST(a_wait_that_is_refused_returns),
        WAIT_TEST(an_interrupted_wait_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
