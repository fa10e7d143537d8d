/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "faulty_calls.h"
#include "loop/wake.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool is_raised(const struct wake *wake)
{
    struct pollfd poll_fd = {.fd = wake->reader, .events = POLLIN};

    return poll(&poll_fd, 1, 0) == 1;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* The lowest free number. It grows if a descriptor is left open. */
static int lowest_free(void)
{
    int fd = dup(STDERR_FILENO);

    assert_true(fd >= 0);
    close(fd);
    return fd;
}

static void open_wake(struct wake *wake)
{
    assert_int_equal(sse_wake_open(wake), 0);
    assert_true(wake->reader >= 0);
    assert_true(wake->writer >= 0);
}

static void a_raise_makes_it_readable_until_a_clear(void **state)
{
    struct wake wake;

    (void)state;
    open_wake(&wake);
    for (int raises = 1; raises < 2000; raises += raises) {
        assert_false(is_raised(&wake));
        for (int i = 0; i < raises; i++) {
            sse_wake_raise(&wake);
            assert_true(is_raised(&wake));
        }
        sse_wake_clear(&wake);
    }
    assert_false(is_raised(&wake));
    sse_wake_close(&wake);
}

static void a_clear_does_not_wait_for_a_raise(void **state)
{
    struct wake wake;

    (void)state;
    open_wake(&wake);
    sse_wake_clear(&wake);
    sse_wake_clear(&wake);
    assert_false(is_raised(&wake));
    sse_wake_close(&wake);
}

/* More than any pipe accepts, and then more than an eventfd can count. */
static void raises_without_clear_block_nobody(void **state)
{
    const uint64_t nearly_all = UINT64_MAX - 1 - 200000;
    struct wake wake;

    (void)state;
    open_wake(&wake);
    for (int i = 0; i < 200000; i++)
        sse_wake_raise(&wake);
    assert_true(is_raised(&wake));
    if (wake.reader == wake.writer)
        assert_int_equal(write(wake.writer, &nearly_all, sizeof(nearly_all)), sizeof(nearly_all));
    errno = ENOTTY;
    sse_wake_raise(&wake);
    assert_int_equal(errno, ENOTTY);
    assert_true(is_raised(&wake));
    sse_wake_clear(&wake);
    assert_false(is_raised(&wake));
    sse_wake_close(&wake);
}

static void errno_stays_as_it_is(void **state)
{
    static const int errors[] = {0, EAGAIN, EINTR, EBADF};
    struct wake wake;

    (void)state;
    open_wake(&wake);
    for (size_t i = 0; i < COUNT(errors); i++) {
        if (errors[i])
            faulty_calls_fail(FAULTY_WRITE, 0, 1, errors[i]);
        errno = ENOTTY;
        sse_wake_raise(&wake);
        assert_int_equal(errno, ENOTTY);
        assert_int_equal(faulty_calls_left(FAULTY_WRITE), 0);
    }
    sse_wake_close(&wake);
}

static void interrupted_calls_are_made_again(void **state)
{
    struct wake wake;

    (void)state;
    open_wake(&wake);
    for (int times = 1; times < 20; times++) {
        faulty_calls_fail(FAULTY_WRITE, 0, times, EINTR);
        sse_wake_raise(&wake);
        assert_int_equal(faulty_calls_left(FAULTY_WRITE), 0);
        assert_true(is_raised(&wake));
        faulty_calls_fail(FAULTY_READ, 0, times, EINTR);
        sse_wake_clear(&wake);
        assert_int_equal(faulty_calls_left(FAULTY_READ), 0);
        assert_false(is_raised(&wake));
    }
    sse_wake_close(&wake);
}

static void errors_of_a_clear_end_it(void **state)
{
    static const int errors[] = {EAGAIN, EIO, EBADF, 0};
    struct wake wake;

    (void)state;
    open_wake(&wake);
    for (size_t i = 0; i < COUNT(errors); i++) {
        faulty_calls_fail(FAULTY_READ, 0, 1, errors[i]);
        sse_wake_clear(&wake);
        assert_int_equal(faulty_calls_left(FAULTY_READ), 0);
    }
    sse_wake_close(&wake);
}

static const struct wake *raised_by_signal;

static void raise_wake(int number)
{
    (void)number;
    sse_wake_raise(raised_by_signal);
}

static void a_signal_handler_may_raise_it(void **state)
{
    const struct sigaction action = {.sa_handler = raise_wake};
    struct sigaction before;
    struct wake wake;

    (void)state;
    open_wake(&wake);
    raised_by_signal = &wake;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    errno = ENOTTY;
    raise(SIGUSR1);
    assert_int_equal(errno, ENOTTY);
    assert_true(is_raised(&wake));
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
    sse_wake_close(&wake);
}

struct raiser {
    struct wake wake;
    atomic_int work;
    atomic_bool survived;
};

#define WORK_MAX 20000

static void *do_work(void *argument)
{
    struct raiser *raiser = argument;

    for (int i = 0; i < WORK_MAX; i++) {
        atomic_fetch_add(&raiser->work, 1);
        sse_wake_raise(&raiser->wake);
    }
    return NULL;
}

/* A thread that waits, clears and then checks has seen all work once there is none left to wait for. */
static void no_raise_is_lost_between_threads(void **state)
{
    struct raiser raiser = {.work = 0};
    struct pollfd poll_fd;
    pthread_t threads[2];

    (void)state;
    open_wake(&raiser.wake);
    poll_fd = (struct pollfd){.fd = raiser.wake.reader, .events = POLLIN};
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, do_work, &raiser), 0);
    while (atomic_load(&raiser.work) < (int)COUNT(threads) * WORK_MAX) {
        assert_int_equal(poll(&poll_fd, 1, -1), 1);
        sse_wake_clear(&raiser.wake);
    }
    for (size_t i = 0; i < COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    sse_wake_close(&raiser.wake);
}

static void *raise_when_cancelled(void *argument)
{
    struct raiser *raiser = argument;

    pthread_cancel(pthread_self());
    sse_wake_raise(&raiser->wake);
    atomic_store(&raiser->survived, true);
    pthread_testcancel();
    return NULL;
}

static void a_raise_is_no_cancellation_point(void **state)
{
    struct raiser raiser = {.survived = false};
    pthread_t thread;
    void *result;

    (void)state;
    open_wake(&raiser.wake);
    assert_int_equal(pthread_create(&thread, NULL, raise_when_cancelled, &raiser), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_true(atomic_load(&raiser.survived));
    assert_ptr_equal(result, PTHREAD_CANCELED);
    assert_true(is_raised(&raiser.wake));
    sse_wake_close(&raiser.wake);
}

static void a_closed_wake_has_no_descriptor(void **state)
{
    int free_before = lowest_free();
    struct wake wake, copy;

    (void)state;
    open_wake(&wake);
    copy = wake;
    sse_wake_close(&wake);
    assert_false(is_open(copy.reader));
    assert_false(is_open(copy.writer));
    assert_int_equal(wake.reader, -1);
    assert_int_equal(wake.writer, -1);
    sse_wake_close(&wake);
    assert_int_equal(lowest_free(), free_before);
}

/* If a number is closed twice, the second close may hit another thread's file. */
static void a_close_closes_each_descriptor_once(void **state)
{
    struct wake wake;
    int descriptors;

    (void)state;
    open_wake(&wake);
    descriptors = wake.reader == wake.writer ? 1 : 2;
    faulty_calls_reset();
    sse_wake_close(&wake);
    assert_int_equal(faulty_calls_made(FAULTY_CLOSE), descriptors);
    sse_wake_close(&wake);
    assert_int_equal(faulty_calls_made(FAULTY_CLOSE), descriptors);
}

static void the_descriptors_close_on_exec_and_do_not_block(void **state)
{
    struct wake wake;

    (void)state;
    open_wake(&wake);
    assert_true(fcntl(wake.reader, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(wake.writer, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(wake.reader, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(wake.writer, F_GETFL) & O_NONBLOCK);
    sse_wake_close(&wake);
}

static void check_failed_open(enum faulty_call call, int first, int error)
{
    int free_before = lowest_free();
    struct wake wake = {.reader = 0, .writer = 0};

    faulty_calls_fail(call, first, 1, error);
    assert_int_equal(sse_wake_open(&wake), -error);
    assert_int_equal(faulty_calls_left(call), 0);
    assert_int_equal(wake.reader, -1);
    assert_int_equal(wake.writer, -1);
    sse_wake_close(&wake);
    assert_int_equal(lowest_free(), free_before);
}

static void a_failed_open_leaves_nothing_open(void **state)
{
    static const int errors[] = {EMFILE, ENFILE, ENOMEM};

    (void)state;
    for (size_t i = 0; i < COUNT(errors); i++) {
#ifdef SSE_HAVE_EVENTFD
        check_failed_open(FAULTY_EVENTFD, 0, errors[i]);
#else
        check_failed_open(FAULTY_PIPE, 0, errors[i]);
        for (int first = 0; first < 4; first++)
            check_failed_open(FAULTY_FCNTL, first, errors[i]);
#endif
    }
}

static void no_descriptor_is_an_error(void **state)
{
    struct rlimit before, none;
    struct wake wake;
    int error;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    error = sse_wake_open(&wake);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(error, -EMFILE);
    assert_int_equal(wake.reader, -1);
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
        cmocka_unit_test_setup(a_raise_makes_it_readable_until_a_clear, reset),
        cmocka_unit_test_setup(a_clear_does_not_wait_for_a_raise, reset),
        cmocka_unit_test_setup(raises_without_clear_block_nobody, reset),
        cmocka_unit_test_setup(errno_stays_as_it_is, reset),
        cmocka_unit_test_setup(interrupted_calls_are_made_again, reset),
        cmocka_unit_test_setup(errors_of_a_clear_end_it, reset),
        cmocka_unit_test_setup(a_signal_handler_may_raise_it, reset),
        cmocka_unit_test_setup(no_raise_is_lost_between_threads, reset),
        cmocka_unit_test_setup(a_raise_is_no_cancellation_point, reset),
        cmocka_unit_test_setup(a_closed_wake_has_no_descriptor, reset),
        cmocka_unit_test_setup(a_close_closes_each_descriptor_once, reset),
        cmocka_unit_test_setup(the_descriptors_close_on_exec_and_do_not_block, reset),
        cmocka_unit_test_setup(a_failed_open_leaves_nothing_open, reset),
        cmocka_unit_test_setup(no_descriptor_is_an_error, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
