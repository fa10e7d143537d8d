/* SPDX-License-Identifier: MIT */
/* What both pollers promise, asked of each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "driver/poller.h"
#include "fake_host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

typedef int make_poller(struct poller **poller, const struct sse_host *host);

#define PAIRS_MAX 200

struct stage {
    make_poller *make;
    struct fake_host fake;
    struct poller *poller;
    struct poller_event events[POLLER_EVENTS_MAX];
};

/* An item for the first end of a socket pair. */
struct pair {
    struct poller_item item;
    int ends[2];
};

static make_poller *const makers[] = {sse_poller_poll_new, sse_poller_epoll_new};

static int set_up(void **state)
{
    struct stage *stage = calloc(1, sizeof(*stage));

    assert_non_null(stage);
    stage->make = **(make_poller *const **)state;
    fake_host_init(&stage->fake);
    assert_int_equal(stage->make(&stage->poller, &stage->fake.host), 0);
    *state = stage;
    return 0;
}

static int tear_down(void **state)
{
    struct stage *stage = *state;

    stage->poller->free(stage->poller);
    fake_host_check_no_leak(&stage->fake);
    free(stage);
    return 0;
}

static void open_pair(struct pair *pair, unsigned interest)
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair->ends), 0);
    assert_int_equal(fcntl(pair->ends[0], F_SETFL, O_NONBLOCK), 0);
    pair->item = (struct poller_item){.descriptor = pair->ends[0], .interest = interest};
}

static void add_pair(struct stage *stage, struct pair *pair, unsigned interest)
{
    open_pair(pair, interest);
    assert_int_equal(stage->poller->add(stage->poller, &pair->item), 0);
}

static void remove_pair(struct stage *stage, struct pair *pair)
{
    stage->poller->remove(stage->poller, &pair->item);
    close(pair->ends[0]);
    close(pair->ends[1]);
}

static int wait_now(struct stage *stage)
{
    return stage->poller->wait(stage->poller, stage->events, 0);
}

/* What has happened to this item; 0 for nothing. */
static unsigned happened_to(struct stage *stage, const struct pair *pair)
{
    int count = wait_now(stage);

    assert_true(count >= 0);
    for (int i = 0; i < count; i++) {
        if (stage->events[i].item == &pair->item)
            return stage->events[i].happened;
    }
    return 0;
}

static void nothing_without_items(void **state)
{
    assert_int_equal(wait_now(*state), 0);
}

static void input_is_told(void **state)
{
    struct pair pair;

    add_pair(*state, &pair, POLLER_INPUT);
    assert_false(happened_to(*state, &pair) & POLLER_INPUT);
    assert_int_equal(write(pair.ends[1], "x", 1), 1);
    assert_true(happened_to(*state, &pair) & POLLER_INPUT);
    remove_pair(*state, &pair);
}

static void input_before_the_add_is_told(void **state)
{
    struct pair pair;
    struct stage *stage = *state;

    open_pair(&pair, POLLER_INPUT);
    assert_int_equal(write(pair.ends[1], "x", 1), 1);
    assert_int_equal(stage->poller->add(stage->poller, &pair.item), 0);
    assert_true(happened_to(stage, &pair) & POLLER_INPUT);
    remove_pair(stage, &pair);
}

static void more_input_after_all_was_read_is_told(void **state)
{
    struct pair pair;
    char byte;

    add_pair(*state, &pair, POLLER_INPUT);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(write(pair.ends[1], "x", 1), 1);
        assert_true(happened_to(*state, &pair) & POLLER_INPUT);
        assert_int_equal(read(pair.ends[0], &byte, 1), 1);
        assert_int_equal(read(pair.ends[0], &byte, 1), -1);
        assert_false(happened_to(*state, &pair) & POLLER_INPUT);
    }
    remove_pair(*state, &pair);
}

/* Otherwise a client that closed its sending side would keep the loop awake for ever. */
static void end_of_input_is_not_told_for_ever(void **state)
{
    struct stage *stage = *state;
    struct pair pair;
    char byte;

    add_pair(stage, &pair, POLLER_INPUT);
    (void)wait_now(stage);
    assert_int_equal(shutdown(pair.ends[1], SHUT_WR), 0);
    assert_true(happened_to(stage, &pair) & POLLER_INPUT);
    assert_int_equal(read(pair.ends[0], &byte, 1), 0);
    stage->poller->change(stage->poller, &pair.item, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(happened_to(stage, &pair), 0);
    remove_pair(stage, &pair);
}

static void fill(int fd)
{
    char bytes[4096] = "";

    while (write(fd, bytes, sizeof(bytes)) > 0)
        ;
    assert_true(errno == EAGAIN);
}

static void empty(int fd)
{
    char bytes[4096];

    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    while (read(fd, bytes, sizeof(bytes)) > 0)
        ;
}

static void output_is_told_after_it_was_blocked(void **state)
{
    struct stage *stage = *state;
    struct pair pair;

    add_pair(stage, &pair, POLLER_INPUT);
    (void)wait_now(stage);
    fill(pair.ends[0]);
    stage->poller->change(stage->poller, &pair.item, POLLER_INPUT | POLLER_OUTPUT);
    (void)wait_now(stage);
    assert_int_equal(happened_to(stage, &pair), 0);
    empty(pair.ends[1]);
    assert_true(happened_to(stage, &pair) & POLLER_OUTPUT);
    remove_pair(stage, &pair);
}

/* The room came after the sink had said that it was full, and before the poller was asked. */
static void output_that_came_between_is_told(void **state)
{
    struct stage *stage = *state;
    struct pair pair;

    add_pair(stage, &pair, POLLER_INPUT);
    (void)wait_now(stage);
    fill(pair.ends[0]);
    empty(pair.ends[1]);
    stage->poller->change(stage->poller, &pair.item, POLLER_INPUT | POLLER_OUTPUT);
    assert_true(happened_to(stage, &pair) & POLLER_OUTPUT);
    remove_pair(stage, &pair);
}

static void output_that_is_of_no_interest_does_not_spin(void **state)
{
    struct stage *stage = *state;
    struct pair pair;

    add_pair(stage, &pair, POLLER_INPUT);
    (void)wait_now(stage);
    assert_int_equal(wait_now(stage), 0);
    assert_int_equal(wait_now(stage), 0);
    remove_pair(stage, &pair);
}

static void errors_are_told_without_interest(void **state)
{
    struct stage *stage = *state;
    struct pair pair;

    add_pair(stage, &pair, 0);
    close(pair.ends[1]);
    pair.ends[1] = -1;
    assert_true(happened_to(stage, &pair) & POLLER_ERROR);
    remove_pair(stage, &pair);
}

static void pipe_whose_reader_left_is_an_error(void **state)
{
    struct stage *stage = *state;
    struct pair pair;

    assert_int_equal(pipe(pair.ends), 0);
    pair.item = (struct poller_item){.descriptor = pair.ends[1]};
    assert_int_equal(stage->poller->add(stage->poller, &pair.item), 0);
    assert_false(happened_to(stage, &pair) & POLLER_ERROR);
    close(pair.ends[0]);
    pair.ends[0] = -1;
    assert_true(happened_to(stage, &pair) & POLLER_ERROR);
    remove_pair(stage, &pair);
}

static void removed_items_are_not_told(void **state)
{
    struct stage *stage = *state;
    struct pair pairs[3];

    for (int i = 0; i < 3; i++)
        add_pair(stage, &pairs[i], POLLER_INPUT);
    for (int i = 0; i < 3; i++)
        assert_int_equal(write(pairs[i].ends[1], "x", 1), 1);
    stage->poller->remove(stage->poller, &pairs[0].item);
    assert_int_equal(happened_to(stage, &pairs[0]), 0);
    assert_int_equal(stage->poller->add(stage->poller, &pairs[0].item), 0);
    assert_true(happened_to(stage, &pairs[0]) & POLLER_INPUT);
    for (int i = 0; i < 3; i++)
        remove_pair(stage, &pairs[i]);
}

/* The number is another's as soon as it is closed; what the old one had to tell is not told. */
static void number_used_again_is_another_item(void **state)
{
    struct stage *stage = *state;
    struct pair old, new;
    int number;

    add_pair(stage, &old, POLLER_INPUT);
    assert_int_equal(write(old.ends[1], "x", 1), 1);
    number = old.ends[0];
    stage->poller->remove(stage->poller, &old.item);
    open_pair(&new, POLLER_INPUT);
    assert_int_equal(dup2(new.ends[0], number), number);
    new.item.descriptor = number;
    assert_int_equal(stage->poller->add(stage->poller, &new.item), 0);
    assert_false(happened_to(stage, &new) & POLLER_INPUT);
    assert_int_equal(write(new.ends[1], "x", 1), 1);
    assert_true(happened_to(stage, &new) & POLLER_INPUT);
    close(old.ends[1]);
    close(number);
    remove_pair(stage, &new);
}

/* More than one wait tells of: all of them have their turn. */
static void all_of_many_are_told(void **state)
{
    static struct pair pairs[PAIRS_MAX];
    struct stage *stage = *state;
    bool told[PAIRS_MAX] = {false};
    size_t waits = 0, found = 0;

    for (size_t i = 0; i < PAIRS_MAX; i++) {
        add_pair(stage, &pairs[i], POLLER_INPUT);
        assert_int_equal(write(pairs[i].ends[1], "x", 1), 1);
    }
    for (; waits < PAIRS_MAX / POLLER_EVENTS_MAX + 1; waits++) {
        int count = wait_now(stage);

        assert_in_range(count, 1, POLLER_EVENTS_MAX);
        for (int i = 0; i < count; i++) {
            struct pair *pair = (struct pair *)(void *)stage->events[i].item;

            found += !told[pair - pairs];
            told[pair - pairs] = true;
        }
    }
    assert_int_equal(found, PAIRS_MAX);
    for (size_t i = 0; i < PAIRS_MAX; i++)
        remove_pair(stage, &pairs[i]);
}

struct waiting {
    struct stage *stage;
    int result;
    atomic_bool done;
};

static void *wait_for_ever(void *argument)
{
    struct waiting *waiting = argument;

    waiting->result = waiting->stage->poller->wait(waiting->stage->poller, waiting->stage->events, -1);
    atomic_store(&waiting->done, true);
    return NULL;
}

/* Enough of them to make every table grow under the thread that waits. */
static void items_are_added_during_a_wait(void **state)
{
    static struct pair pairs[PAIRS_MAX];
    struct stage *stage = *state;
    struct waiting waiting = {.stage = stage};
    struct pair wake;
    pthread_t thread;

    add_pair(stage, &wake, POLLER_INPUT);
    (void)wait_now(stage);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_ever, &waiting), 0);
    for (size_t i = 0; i < PAIRS_MAX; i++)
        add_pair(stage, &pairs[i], 0);
    assert_int_equal(write(wake.ends[1], "x", 1), 1);
    pthread_join(thread, NULL);
    assert_true(waiting.result > 0);
    while (wait_now(stage) == POLLER_EVENTS_MAX)
        ;
    for (size_t i = 0; i < PAIRS_MAX; i++) {
        close(pairs[i].ends[1]);
        pairs[i].ends[1] = -1;
        assert_true(happened_to(stage, &pairs[i]) & POLLER_ERROR);
        remove_pair(stage, &pairs[i]);
    }
    remove_pair(stage, &wake);
}

static void on_signal(int number)
{
    (void)number;
}

static void signal_ends_a_wait_without_error(void **state)
{
    const struct sigaction action = {.sa_handler = on_signal};
    struct waiting waiting = {.stage = *state};
    struct sigaction before;
    pthread_t thread;

    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_ever, &waiting), 0);
    while (!atomic_load(&waiting.done)) {
        pthread_kill(thread, SIGUSR1);
        sched_yield();
    }
    pthread_join(thread, NULL);
    assert_int_equal(waiting.result, 0);
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
}

static void descriptor_is_readable_when_something_happened(void **state)
{
    struct stage *stage = *state;
    int descriptor = stage->poller->descriptor(stage->poller);
    struct pollfd poll_fd = {.fd = descriptor, .events = POLLIN};
    struct pair pair;

    if (stage->make == sse_poller_poll_new) {
        assert_int_equal(descriptor, -ENOTSUP);
        return;
    }
    add_pair(stage, &pair, POLLER_INPUT);
    (void)wait_now(stage);
    assert_int_equal(poll(&poll_fd, 1, 0), 0);
    assert_int_equal(write(pair.ends[1], "x", 1), 1);
    assert_int_equal(poll(&poll_fd, 1, 0), 1);
    remove_pair(stage, &pair);
}

static void regular_file(void **state)
{
    struct stage *stage = *state;
    FILE *file = tmpfile();
    struct poller_item item;
    int error;

    assert_non_null(file);
    item = (struct poller_item){.descriptor = fileno(file), .interest = POLLER_OUTPUT};
    error = stage->poller->add(stage->poller, &item);
    if (stage->make == sse_poller_poll_new) {
        assert_int_equal(error, 0);
        assert_int_equal(wait_now(stage), 1);
        assert_int_equal(stage->events[0].happened, POLLER_OUTPUT);
        stage->poller->remove(stage->poller, &item);
    } else {
        assert_int_equal(error, -EPERM);
    }
    fclose(file);
}

static void closed_number_is_invalid(void **state)
{
    struct stage *stage = *state;
    struct pair pair;

    open_pair(&pair, POLLER_INPUT);
    close(pair.ends[0]);
    close(pair.ends[1]);
    if (stage->make != sse_poller_poll_new) {
        assert_int_equal(stage->poller->add(stage->poller, &pair.item), -EBADF);
        return;
    }
    assert_int_equal(stage->poller->add(stage->poller, &pair.item), 0);
    assert_int_equal(happened_to(stage, &pair), POLLER_INVALID);
    stage->poller->remove(stage->poller, &pair.item);
}

static void no_memory_changes_nothing(void **state)
{
    struct stage *stage = *state;
    struct pair pairs[40];
    struct poller *poller = NULL;

    fake_host_fail_at(&stage->fake, 1, true);
    assert_int_equal(stage->make(&poller, &stage->fake.host), -ENOMEM);
    assert_null(poller);
    for (size_t i = 0; i < 40; i++) {
        size_t nth = 0;
        int error;

        open_pair(&pairs[i], POLLER_INPUT);
        do {
            fake_host_fail_at(&stage->fake, ++nth, false);
            error = stage->poller->add(stage->poller, &pairs[i].item);
            assert_true(error == 0 || error == -ENOMEM);
        } while (error);
        fake_host_fail_at(&stage->fake, 0, false);
    }
    while (wait_now(stage) > 0 && stage->make != sse_poller_poll_new)
        ;
    for (size_t i = 0; i < 40; i++) {
        assert_int_equal(write(pairs[i].ends[1], "x", 1), 1);
        assert_true(happened_to(stage, &pairs[i]) & POLLER_INPUT);
        remove_pair(stage, &pairs[i]);
    }
}

static void no_descriptor_is_an_error(void **state)
{
    struct stage *stage = *state;
    struct rlimit before, none;
    struct poller *poller = NULL;
    int error;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    error = stage->make(&poller, &stage->fake.host);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    if (stage->make == sse_poller_poll_new) {
        assert_int_equal(error, 0);
        poller->free(poller);
    } else {
        assert_int_equal(error, -EMFILE);
        assert_null(poller);
    }
}

#define TEST(function, maker) {#function, function, set_up, tear_down, (void *)(uintptr_t)(maker)}

static int run(make_poller *const *maker, const char *name)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_without_items, maker),
        TEST(input_is_told, maker),
        TEST(input_before_the_add_is_told, maker),
        TEST(more_input_after_all_was_read_is_told, maker),
        TEST(end_of_input_is_not_told_for_ever, maker),
        TEST(output_is_told_after_it_was_blocked, maker),
        TEST(output_that_came_between_is_told, maker),
        TEST(output_that_is_of_no_interest_does_not_spin, maker),
        TEST(errors_are_told_without_interest, maker),
        TEST(pipe_whose_reader_left_is_an_error, maker),
        TEST(removed_items_are_not_told, maker),
        TEST(number_used_again_is_another_item, maker),
        TEST(all_of_many_are_told, maker),
        TEST(items_are_added_during_a_wait, maker),
        TEST(signal_ends_a_wait_without_error, maker),
        TEST(descriptor_is_readable_when_something_happened, maker),
        TEST(regular_file, maker),
        TEST(closed_number_is_invalid, maker),
        TEST(no_memory_changes_nothing, maker),
        TEST(no_descriptor_is_an_error, maker),
    };

    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

static bool epoll_is_built(void)
{
    struct poller *poller;

    if (sse_poller_epoll_new(&poller, NULL) == -ENOTSUP)
        return false;
    poller->free(poller);
    return true;
}

int main(void)
{
    int failed = run(&makers[0], "poll");

    if (epoll_is_built())
        failed += run(&makers[1], "epoll");
    return failed;
}
