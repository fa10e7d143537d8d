/* SPDX-License-Identifier: MIT */
/* The end of a connection: the client receives the last bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "connection_pair.h"
#include "faulty_calls.h"
#include "output/output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* At most this much is discarded in one call. */
#define DISCARDED_MAX 65536

static bool is_closed(int fd)
{
    return fcntl(fd, F_GETFD) < 0 && errno == EBADF;
}

/* The client's input is not read, so a plain close would send a reset. */
static void the_last_event_is_not_lost_by_a_reset(void **state)
{
    static const size_t unread[] = {0, 1, 1000, DISCARDED_MAX};

    (void)state;
    for (size_t i = 0; i < COUNT(unread); i++) {
        struct connection connection;

        connection_open_tcp(&connection);
        connection_send(connection.client, unread[i]);
        for (size_t size = 1; unread[i] && size < unread[i];) {
            static char bytes[DISCARDED_MAX];

            connection_await(connection.ours, POLLIN);
            size = (size_t)recv(connection.ours, bytes, sizeof(bytes), MSG_PEEK);
        }
        assert_int_equal(write(connection.ours, "data: x\n\n", 9), 9);
        sse_output_close(connection.ours, OUTPUT_SOCKET);
        assert_true(is_closed(connection.ours));
        connection_read_to_the_end(connection.client, "data: x\n\n");
        close(connection.client);
    }
}

static void a_client_that_sends_without_end_does_not_hold_up_a_close(void **state)
{
    struct connection connection;

    (void)state;
    connection_open_pair(&connection);
    connection_send(connection.client, DISCARDED_MAX + 4096);
    faulty_calls_reset();
    sse_output_close(connection.ours, OUTPUT_SOCKET);
    assert_int_equal(faulty_calls_made(FAULTY_RECV), 16);
    assert_int_equal(faulty_calls_made(FAULTY_CLOSE), 1);
    assert_true(is_closed(connection.ours));
    close(connection.client);
}

static void set_lingering(int fd, int seconds)
{
    const struct linger lingering = {.l_onoff = 1, .l_linger = seconds};

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &lingering, sizeof(lingering)), 0);
}

/* A server may set it for its listening socket, from which accepted sockets inherit it. With 0 seconds a close would
 * send a reset, and discard what the kernel has not sent yet. */
static void what_was_written_is_not_lost_by_lingering(void **state)
{
    static char bytes[DISCARDED_MAX];
    struct connection connection;
    ssize_t size, written = 0, received = 0;

    (void)state;
    connection_open_tcp(&connection);
    set_lingering(connection.ours, 0);
    while ((size = send(connection.ours, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
        written += size;
    sse_output_close(connection.ours, OUTPUT_SOCKET);
    while ((size = read(connection.client, bytes, sizeof(bytes))) > 0)
        received += size;
    assert_int_equal(size, 0);
    assert_int_equal(received, written);
    close(connection.client);
}

/* A close would wait until the client has received everything, even if the socket is non-blocking. */
static void a_client_that_does_not_read_does_not_hold_up_a_close(void **state)
{
    struct linger lingering;
    socklen_t size = sizeof(lingering);
    struct connection connection;
    int copy;

    (void)state;
    connection_open_tcp(&connection);
    set_lingering(connection.ours, 30);
    copy = dup(connection.ours);
    sse_output_close(connection.ours, OUTPUT_SOCKET);
    assert_int_equal(getsockopt(copy, SOL_SOCKET, SO_LINGER, &lingering, &size), 0);
    assert_int_equal(lingering.l_onoff, 0);
    close(copy);
    close(connection.client);
}

/* Also if another process has the descriptor. */
static void the_client_sees_the_end_at_once(void **state)
{
    struct connection connection;
    int copy;

    (void)state;
    connection_open_pair(&connection);
    copy = dup(connection.ours);
    sse_output_close(connection.ours, OUTPUT_SOCKET);
    connection_read_to_the_end(connection.client, "");
    close(copy);
    close(connection.client);
}

static void other_outputs_are_only_closed(void **state)
{
    static const enum output_kind kinds[] = {OUTPUT_FILE, OUTPUT_CALLBACK, OUTPUT_PULL};

    (void)state;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct connection connection;
        int copy;

        connection_open_pair(&connection);
        connection_send(connection.client, 10);
        copy = dup(connection.ours);
        sse_output_close(connection.ours, kinds[i]);
        assert_true(is_closed(connection.ours));
        assert_false(connection_has_input(connection.client));
        assert_true(connection_has_input(copy));
        close(copy);
        close(connection.client);
    }
}

static void broken_sockets_are_closed_as_well(void **state)
{
    struct connection connection;

    (void)state;
    connection_open_tcp(&connection);
    set_lingering(connection.client, 0);
    close(connection.client);
    connection_await(connection.ours, POLLIN);
    sse_output_close(connection.ours, OUTPUT_SOCKET);
    assert_true(is_closed(connection.ours));
}

static int reset(void **state)
{
    (void)state;
    faulty_calls_reset();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_last_event_is_not_lost_by_a_reset, reset),
        cmocka_unit_test_setup(a_client_that_sends_without_end_does_not_hold_up_a_close, reset),
        cmocka_unit_test_setup(what_was_written_is_not_lost_by_lingering, reset),
        cmocka_unit_test_setup(a_client_that_does_not_read_does_not_hold_up_a_close, reset),
        cmocka_unit_test_setup(the_client_sees_the_end_at_once, reset),
        cmocka_unit_test_setup(other_outputs_are_only_closed, reset),
        cmocka_unit_test_setup(broken_sockets_are_closed_as_well, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
