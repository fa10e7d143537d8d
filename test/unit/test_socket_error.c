/* SPDX-License-Identifier: MIT */
/* What the network reports of a client that has vanished is not always one of the usual errors: a firewall may
 * reject its packets, or a router may say that the host is down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop_stage.h"

#include <errno.h>
#include <sys/socket.h>

static const enum sse_poller pollers[] = {SSE_POLLER_POLL, SSE_POLLER_EPOLL};

/* The error that a socket has, or 0: the real one. */
static int reported;

int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    int result = __real_getsockopt(fd, level, name, value, size);

    if (!result && reported && level == SOL_SOCKET && name == SO_ERROR)
        *(int *)value = reported;
    return result;
}

/* The error of a read, or 0. */
static int read_error;

ssize_t __real_recv(int fd, void *bytes, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *bytes, size_t size, int flags);

ssize_t __wrap_recv(int fd, void *bytes, size_t size, int flags)
{
    if (!read_error)
        return __real_recv(fd, bytes, size, flags);
    errno = read_error;
    return -1;
}

/* The client has sent something, and has vanished before the loop reads it. */
static void an_error_of_a_read_ends_the_stream(void **state)
{
    static const struct {
        int error;
        enum sse_reason reason;
    } rows[] = {{ECONNRESET, SSE_REASON_DISCONNECTED},
                {ETIMEDOUT, SSE_REASON_DISCONNECTED},
                {EIO, SSE_REASON_OUTPUT_ERROR}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct loop_client client;

        loop_client_open(&client, *state, LOOP_CLIENT_UNIX, NULL);
        assert_int_equal(send(client.fd, "x", 1, MSG_NOSIGNAL), 1);
        read_error = rows[i].error;
        loop_client_dispatch_to_end(&client);
        read_error = 0;
        assert_int_equal(client.reason, rows[i].reason);
        assert_int_equal(client.error, -rows[i].error);
        loop_client_close(&client);
    }
}

/* A disconnect has one of the errors that sse/emitter.h names. */
static void every_error_of_a_socket_is_a_disconnect(void **state)
{
    for (int error = 1; error < 200; error++) {
        bool is_named = error == EPIPE || error == ECONNRESET || error == ECONNREFUSED ||
                        error == ETIMEDOUT || error == EHOSTUNREACH || error == ENETUNREACH;
        struct loop_client client;

        loop_client_open(&client, *state, LOOP_CLIENT_UNIX, NULL);
        reported = error;
        loop_client_leave(&client);
        loop_client_dispatch_to_end(&client);
        reported = 0;
        assert_int_equal(client.reason, SSE_REASON_DISCONNECTED);
        assert_int_equal(client.error, is_named ? -error : -ECONNRESET);
        loop_client_close(&client);
    }
}

static int run(const enum sse_poller *poller, const char *name)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate_setup_teardown(an_error_of_a_read_ends_the_stream, loop_stage_set_up,
                                                 loop_stage_tear_down, (void *)(uintptr_t)poller),
        cmocka_unit_test_prestate_setup_teardown(every_error_of_a_socket_is_a_disconnect, loop_stage_set_up,
                                                 loop_stage_tear_down, (void *)(uintptr_t)poller),
    };

    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
    int failed = run(&pollers[0], "poll");

    if (loop_stage_has(SSE_POLLER_EPOLL))
        failed += run(&pollers[1], "epoll");
    return failed;
}
