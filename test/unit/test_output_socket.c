/* SPDX-License-Identifier: MIT */
/* Features of sockets only: many pieces in one call, discarding input, options. */
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
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* At most this much is discarded in one call. */
#define DISCARDED_MAX 65536

static int int_option(int fd, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof(value);

    assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
    return value;
}

/* Writing */

static void all_pieces_are_written_in_one_call(void **state)
{
    static char first[] = "da", second[] = "ta: ", third[] = "x\n";
    const struct iovec iov[] = {{first, 2}, {second, 4}, {third, 2}};
    struct connection connection;
    struct output output;

    (void)state;
    connection_open_pair(&connection);
    assert_int_equal(fcntl(connection.ours, F_SETFL, O_NONBLOCK), 0);
    output = (struct output){.number = connection.ours};
    assert_int_equal(sse_socket_write(&output, iov, 3), 8);
    assert_int_equal(faulty_calls_made(FAULTY_SENDMSG), 1);
    assert_int_equal(sse_socket_write(&output, iov, 1), 2);
    assert_int_equal(faulty_calls_made(FAULTY_SEND), 1);
    close(connection.ours);
    connection_read_to_the_end(connection.client, "data: x\nda");
    close(connection.client);
}

/* Discarding */

/* Row L4. */
static void nothing_to_discard(void **state)
{
    struct connection connection;

    (void)state;
    connection_open_pair(&connection);
    assert_int_equal(sse_socket_discard(connection.ours), -EAGAIN);
    connection_close(&connection);
}

static void input_is_discarded(void **state)
{
    static const size_t sizes[] = {1, 100, 4095, 4096, 4097, 20000};
    struct connection connection;

    (void)state;
    connection_open_pair(&connection);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        connection_send(connection.client, sizes[i]);
        assert_true(connection_has_input(connection.ours));
        assert_int_equal(sse_socket_discard(connection.ours), -EAGAIN);
        assert_false(connection_has_input(connection.ours));
    }
    connection_close(&connection);
}

static void a_client_that_sends_much_is_left_for_later(void **state)
{
    struct connection connection;

    (void)state;
    connection_open_pair(&connection);
    connection_send(connection.client, DISCARDED_MAX + 1);
    faulty_calls_reset();
    assert_int_equal(sse_socket_discard(connection.ours), 1);
    assert_int_equal(faulty_calls_made(FAULTY_RECV), 16);
    assert_true(connection_has_input(connection.ours));
    assert_int_equal(sse_socket_discard(connection.ours), -EAGAIN);
    assert_false(connection_has_input(connection.ours));
    connection_close(&connection);
}

static void the_end_of_input_is_reported(void **state)
{
    struct connection connection;

    (void)state;
    connection_open_pair(&connection);
    connection_send(connection.client, 5000);
    assert_int_equal(shutdown(connection.client, SHUT_WR), 0);
    assert_int_equal(sse_socket_discard(connection.ours), 0);
    assert_int_equal(sse_socket_discard(connection.ours), 0);
    connection_close(&connection);
}

static void a_reset_is_reported(void **state)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    struct connection connection;

    (void)state;
    connection_open_tcp(&connection);
    assert_int_equal(setsockopt(connection.client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    close(connection.client);
    connection_await(connection.ours, POLLIN);
    assert_int_equal(sse_socket_discard(connection.ours), -ECONNRESET);
    close(connection.ours);
}

static void interrupted_discards_are_made_again(void **state)
{
    struct connection connection;

    (void)state;
    connection_open_pair(&connection);
    for (int times = 1; times < 40; times++) {
        connection_send(connection.client, 10);
        faulty_calls_fail(FAULTY_RECV, 0, times, EINTR);
        faulty_calls_fail(FAULTY_POLL, 0, times, EINTR);
        assert_int_equal(sse_socket_discard(connection.ours), -EAGAIN);
        assert_int_equal(faulty_calls_left(FAULTY_RECV), 0);
        faulty_calls_reset();
        assert_false(connection_has_input(connection.ours));
    }
    connection_close(&connection);
}

static void errors_of_input_are_returned(void **state)
{
    static const int errors[] = {EAGAIN, EWOULDBLOCK, ETIMEDOUT, ECONNRESET,
                                 EBADF,  ENOTCONN,    ENOBUFS,   ENOMEM};
    struct connection connection;

    (void)state;
    connection_open_pair(&connection);
    for (size_t i = 0; i < COUNT(errors); i++) {
        connection_send(connection.client, 10);
        faulty_calls_fail(FAULTY_RECV, 0, 1, errors[i]);
        assert_int_equal(sse_socket_discard(connection.ours),
                         errors[i] == EWOULDBLOCK ? -EAGAIN : -errors[i]);
        assert_true(connection_has_input(connection.ours));
    }
    connection_close(&connection);
    assert_int_equal(sse_socket_discard(connection.ours), -EBADF);
}

/* The library writes and reads without waiting, and does not change the flags. */
static void blocking_sockets_stay_blocking(void **state)
{
    struct connection connection;

    (void)state;
    connection_open_pair(&connection);
    assert_int_equal(sse_socket_discard(connection.ours), -EAGAIN);
    assert_false(fcntl(connection.ours, F_GETFL) & O_NONBLOCK);
    connection_close(&connection);
}

/* Where the system has no MSG_DONTWAIT */

#ifdef SSE_WITHOUT_DONTWAIT

static ssize_t write_bytes(int fd, size_t size)
{
    static char bytes[100000];
    const struct output output = {.number = fd};
    const struct iovec iov = {.iov_base = bytes, .iov_len = size};

    return sse_socket_write(&output, &iov, 1);
}

static void flags_that_cannot_be_read_are_an_error(void **state)
{
    struct connection connection;

    (void)state;
    connection_open_pair(&connection);
    faulty_calls_fail(FAULTY_FCNTL, 0, 1, EBADF);
    assert_int_equal(write_bytes(connection.ours, 10), -EBADF);
    assert_false(connection_has_input(connection.client));
    connection_close(&connection);
}

static void a_blocking_socket_gets_only_what_fits(void **state)
{
    struct connection connection;
    int mark;

    (void)state;
    connection_open_pair(&connection);
    mark = int_option(connection.ours, SOL_SOCKET, SO_SNDLOWAT);
    assert_int_equal(write_bytes(connection.ours, 100000), mark);
    faulty_calls_fail(FAULTY_GETSOCKOPT, 0, 1, ENOPROTOOPT);
    assert_int_equal(write_bytes(connection.ours, 100000), 1);
    faulty_calls_fail(FAULTY_GETSOCKOPT, 0, 1, 0); /* it fills in nothing */
    assert_int_equal(write_bytes(connection.ours, 100000), 1);
    connection_close(&connection);
}

static void without_poll_a_blocking_socket_has_no_room_and_no_input(void **state)
{
    struct connection connection;

    (void)state;
    connection_open_pair(&connection);
    connection_send(connection.client, 10);
    faulty_calls_fail(FAULTY_POLL, 0, 2, ENOMEM);
    assert_int_equal(write_bytes(connection.ours, 10), -EAGAIN);
    assert_int_equal(sse_socket_discard(connection.ours), -EAGAIN);
    assert_int_equal(faulty_calls_left(FAULTY_POLL), 0);
    assert_true(connection_has_input(connection.ours));
    assert_false(connection_has_input(connection.client));
    connection_close(&connection);
}

#endif

/* Options */

#if defined(TCP_USER_TIMEOUT) && !defined(SSE_BARE_SYSTEM)

static void check_user_timeout(int fd, uint32_t stall_ms, int expected)
{
    sse_socket_tune(fd, stall_ms);
    assert_int_equal(int_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), expected);
}

/* Fault 19. */
static void a_vanished_client_is_noticed_in_time(void **state)
{
    struct connection connection;

    (void)state;
    connection_open_tcp(&connection);
    check_user_timeout(connection.ours, UINT32_MAX, 0);
    check_user_timeout(connection.ours, 1, 1);
    check_user_timeout(connection.ours, 30000, 30000);
    check_user_timeout(connection.ours, UINT32_MAX, 30000);
    check_user_timeout(connection.ours, INT_MAX, INT_MAX);
    check_user_timeout(connection.ours, (uint32_t)INT_MAX + 1, INT_MAX);
    check_user_timeout(connection.ours, 5, 5);
    check_user_timeout(connection.ours, UINT32_MAX - 1, INT_MAX);
    connection_close(&connection);
}

#endif

static void small_events_are_not_delayed(void **state)
{
    struct connection connection;

    (void)state;
    connection_open_tcp(&connection);
    assert_int_equal(int_option(connection.ours, IPPROTO_TCP, TCP_NODELAY), 0);
    sse_socket_tune(connection.ours, UINT32_MAX);
    assert_true(int_option(connection.ours, IPPROTO_TCP, TCP_NODELAY));
    connection_close(&connection);
}

static void other_descriptors_are_not_tuned(void **state)
{
    struct connection connection;
    int ends[2];

    (void)state;
    connection_open_pair(&connection);
    sse_socket_tune(connection.ours, 1000);
    connection_send(connection.ours, 10);
    assert_int_equal(sse_socket_discard(connection.client), -EAGAIN);
    connection_close(&connection);
    sse_socket_tune(connection.ours, 1000);
    assert_int_equal(pipe(ends), 0);
    sse_socket_tune(ends[1], 1000);
    close(ends[0]);
    close(ends[1]);
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
        cmocka_unit_test_setup(all_pieces_are_written_in_one_call, reset),
        cmocka_unit_test_setup(nothing_to_discard, reset),
        cmocka_unit_test_setup(input_is_discarded, reset),
        cmocka_unit_test_setup(a_client_that_sends_much_is_left_for_later, reset),
        cmocka_unit_test_setup(the_end_of_input_is_reported, reset),
        cmocka_unit_test_setup(a_reset_is_reported, reset),
        cmocka_unit_test_setup(interrupted_discards_are_made_again, reset),
        cmocka_unit_test_setup(errors_of_input_are_returned, reset),
        cmocka_unit_test_setup(blocking_sockets_stay_blocking, reset),
#ifdef SSE_WITHOUT_DONTWAIT
        cmocka_unit_test_setup(flags_that_cannot_be_read_are_an_error, reset),
        cmocka_unit_test_setup(a_blocking_socket_gets_only_what_fits, reset),
        cmocka_unit_test_setup(without_poll_a_blocking_socket_has_no_room_and_no_input, reset),
#endif
#if defined(TCP_USER_TIMEOUT) && !defined(SSE_BARE_SYSTEM)
        cmocka_unit_test_setup(a_vanished_client_is_noticed_in_time, reset),
#endif
        cmocka_unit_test_setup(small_events_are_not_delayed, reset),
        cmocka_unit_test_setup(other_descriptors_are_not_tuned, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
