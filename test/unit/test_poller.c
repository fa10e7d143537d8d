/* SPDX-License-Identifier: MIT */
/* Tests of what both pollers must report. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop/wake.h"
#include "poller_stage.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* Without POLLRDHUP, poll does not report that the peer has closed its sending side. */
static bool reports_hangups(const struct poller_stage *stage)
{
#ifdef SSE_BARE_SYSTEM
    return poller_stage_is_epoll(stage);
#else
    (void)stage;
    return true;
#endif
}

/* The teardown checks for leaks. */
static void a_descriptor_that_is_never_waited_for(void **state)
{
    struct poller_pair pair;

    poller_pair_add(*state, &pair, POLLER_INPUT);
    poller_pair_remove(*state, &pair);
}

static void without_descriptors_there_are_no_events(void **state)
{
    assert_int_equal(poller_stage_wait(*state), 0);
}

/* Input */

static void input_is_reported(void **state)
{
    struct poller_pair pair;

    poller_pair_add(*state, &pair, POLLER_INPUT);
    assert_false(poller_stage_happened(*state, &pair) & ~(unsigned)POLLER_OUTPUT);
    poller_pair_send(&pair);
    assert_int_equal(poller_stage_happened(*state, &pair) & ~(unsigned)POLLER_OUTPUT, POLLER_INPUT);
    poller_pair_remove(*state, &pair);
}

static void input_before_the_add_is_reported(void **state)
{
    struct poller_pair pair;
    struct poller_stage *stage = *state;

    poller_pair_open(&pair);
    poller_pair_send(&pair);
    assert_int_equal(stage->poller->add(stage->poller, pair.ends[0], pair.generation, POLLER_INPUT), 0);
    assert_true(poller_stage_happened(stage, &pair) & POLLER_INPUT);
    poller_pair_remove(stage, &pair);
}

static void more_input_after_all_was_read_is_reported(void **state)
{
    struct poller_pair pair;
    char byte;

    poller_pair_add(*state, &pair, POLLER_INPUT);
    for (int i = 0; i < 3; i++) {
        poller_pair_send(&pair);
        assert_true(poller_stage_happened(*state, &pair) & POLLER_INPUT);
        assert_int_equal(read(pair.ends[0], &byte, 1), 1);
        assert_int_equal(read(pair.ends[0], &byte, 1), -1);
        assert_false(poller_stage_happened(*state, &pair) & POLLER_INPUT);
    }
    poller_pair_remove(*state, &pair);
}

/* Otherwise a client that has closed its sending side would keep the loop awake for ever. */
static void the_end_of_input_is_not_reported_for_ever(void **state)
{
    struct poller_stage *stage = *state;
    struct poller_pair pair;
    unsigned happened;
    char byte;

    poller_pair_add(stage, &pair, POLLER_INPUT);
    poller_stage_settle(stage);
    assert_int_equal(shutdown(pair.ends[1], SHUT_WR), 0);
    happened = poller_stage_happened(stage, &pair);
    assert_true(happened & POLLER_INPUT);
    assert_int_equal(!!(happened & POLLER_HANGUP), reports_hangups(stage));
    assert_false(happened & POLLER_ERROR);
    assert_int_equal(read(pair.ends[0], &byte, 1), 0);
    poller_pair_change(stage, &pair, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(poller_stage_happened(stage, &pair), 0);
    poller_pair_remove(stage, &pair);
}

/* Output */

static void output_is_reported_after_it_was_blocked(void **state)
{
    struct poller_stage *stage = *state;
    struct poller_pair pair;

    poller_pair_add(stage, &pair, POLLER_INPUT);
    poller_stage_settle(stage);
    for (int i = 0; i < 3; i++) {
        poller_pair_fill(pair.ends[0]);
        poller_pair_change(stage, &pair, POLLER_INPUT | POLLER_OUTPUT);
        poller_stage_settle(stage);
        assert_int_equal(poller_stage_happened(stage, &pair), 0);
        poller_pair_empty(pair.ends[1]);
        assert_int_equal(poller_stage_happened(stage, &pair), POLLER_OUTPUT);
        poller_pair_change(stage, &pair, POLLER_INPUT);
        assert_int_equal(poller_stage_happened(stage, &pair), 0);
    }
    poller_pair_remove(stage, &pair);
}

/* It does not matter for what the descriptor was added. */
static void output_can_be_asked_for_later(void **state)
{
    static const unsigned interests[] = {0, POLLER_HANGUP, POLLER_INPUT, POLLER_OUTPUT};
    struct poller_stage *stage = *state;

    for (size_t i = 0; i < 4; i++) {
        for (int is_pipe = 0; is_pipe < 2; is_pipe++) {
            struct poller_pair pair;
            int ends[2];
            unsigned interest = interests[i];

            if (is_pipe && interest & POLLER_INPUT)
                continue;
            poller_pair_open(&pair);
            if (is_pipe) {
                poller_pair_close(&pair);
                assert_int_equal(pipe(ends), 0);
                assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
                pair.ends[0] = ends[1];
                pair.ends[1] = ends[0];
            }
            assert_int_equal(stage->poller->add(stage->poller, pair.ends[0], pair.generation, interest), 0);
            poller_stage_settle(stage);
            poller_pair_fill(pair.ends[0]);
            poller_pair_change(stage, &pair, interest | POLLER_OUTPUT);
            poller_stage_settle(stage);
            assert_int_equal(poller_stage_happened(stage, &pair), 0);
            poller_pair_empty(pair.ends[1]);
            assert_int_equal(poller_stage_happened(stage, &pair), POLLER_OUTPUT);
            poller_pair_remove(stage, &pair);
        }
    }
}

/* The room came after the output had reported that it was full, and before the poller was asked. */
static void output_that_came_between_is_reported(void **state)
{
    struct poller_stage *stage = *state;
    static const unsigned interests[] = {POLLER_INPUT, POLLER_HANGUP, 0};

    for (size_t i = 0; i < 3; i++) {
        struct poller_pair pair;

        poller_pair_add(stage, &pair, interests[i]);
        poller_stage_settle(stage);
        poller_pair_fill(pair.ends[0]);
        poller_pair_empty(pair.ends[1]);
        poller_pair_change(stage, &pair, interests[i] | POLLER_OUTPUT);
        assert_int_equal(poller_stage_happened(stage, &pair), POLLER_OUTPUT);
        poller_pair_remove(stage, &pair);
    }
}

static void output_that_is_of_no_interest_does_not_spin(void **state)
{
    static const unsigned interests[] = {POLLER_INPUT, POLLER_HANGUP, 0};
    struct poller_stage *stage = *state;

    for (size_t i = 0; i < 3; i++) {
        struct poller_pair pair;

        poller_pair_add(stage, &pair, interests[i]);
        (void)poller_stage_wait(stage);
        assert_int_equal(poller_stage_wait(stage), 0);
        assert_int_equal(poller_stage_wait(stage), 0);
        poller_pair_remove(stage, &pair);
    }
}

/* Clearing an eventfd makes room in it. The loop must not wake for that. */
static void a_wake_that_is_cleared_is_not_reported_as_output(void **state)
{
    struct poller_stage *stage = *state;
    struct wake wake;

    assert_int_equal(sse_wake_open(&wake), 0);
    assert_int_equal(stage->poller->add(stage->poller, wake.reader, 1, POLLER_WAKE), 0);
    assert_int_equal(poller_stage_wait(stage), 0);
    for (int i = 0; i < 3; i++) {
        sse_wake_raise(&wake);
        assert_int_equal(poller_stage_wait(stage), 1);
        assert_int_equal(stage->events[0].happened, POLLER_INPUT);
        sse_wake_clear(&wake);
        assert_int_equal(poller_stage_wait(stage), 0);
    }
    stage->poller->remove(stage->poller, wake.reader);
    sse_wake_close(&wake);
}

/* Hang-ups and errors */

static void a_hangup_is_reported_without_input(void **state)
{
    struct poller_stage *stage = *state;
    struct poller_pair pair;

    poller_pair_add(stage, &pair, POLLER_HANGUP);
    assert_int_equal(poller_stage_happened(stage, &pair), 0);
    poller_pair_send(&pair);
    for (int i = 0; i < 3; i++)
        assert_int_equal(poller_stage_happened(stage, &pair), 0);
    assert_int_equal(shutdown(pair.ends[1], SHUT_WR), 0);
    assert_int_equal(poller_stage_happened(stage, &pair), reports_hangups(stage) ? POLLER_HANGUP : 0);
    poller_pair_change(stage, &pair, 0);
    assert_int_equal(poller_stage_happened(stage, &pair), 0);
    poller_pair_close_end(&pair, 1);
    assert_true(poller_stage_happened(stage, &pair) & POLLER_ERROR);
    poller_pair_remove(stage, &pair);
}

static void a_peer_that_closes_is_an_error_whatever_the_interest(void **state)
{
    static const unsigned interests[] = {0, POLLER_INPUT, POLLER_OUTPUT, POLLER_HANGUP};
    struct poller_stage *stage = *state;

    for (size_t i = 0; i < 4; i++) {
        struct poller_pair pair;

        poller_pair_add(stage, &pair, interests[i]);
        poller_stage_settle(stage);
        poller_pair_close_end(&pair, 1);
        assert_true(poller_stage_happened(stage, &pair) & POLLER_ERROR);
        poller_pair_remove(stage, &pair);
    }
}

static void a_pipe_without_reader_is_an_error(void **state)
{
    struct poller_stage *stage = *state;
    struct poller_pair pair = {.generation = 7};

    assert_int_equal(pipe(pair.ends), 0);
    poller_pair_close_end(&pair, 0);
    pair.ends[0] = pair.ends[1];
    pair.ends[1] = -1;
    assert_int_equal(stage->poller->add(stage->poller, pair.ends[0], pair.generation, 0), 0);
    assert_true(poller_stage_happened(stage, &pair) & POLLER_ERROR);
    poller_pair_remove(stage, &pair);
}

/* Others */

static void a_regular_file(void **state)
{
    struct poller_stage *stage = *state;
    FILE *file = tmpfile();
    int error;

    assert_non_null(file);
    error = stage->poller->add(stage->poller, fileno(file), 1, POLLER_OUTPUT);
    if (poller_stage_is_epoll(stage)) {
        assert_int_equal(error, -EPERM);
    } else {
        assert_int_equal(error, 0);
        assert_int_equal(poller_stage_wait(stage), 1);
        assert_int_equal(stage->events[0].happened, POLLER_OUTPUT);
        stage->poller->remove(stage->poller, fileno(file));
    }
    fclose(file);
}

static void a_closed_number_is_invalid(void **state)
{
    struct poller_stage *stage = *state;
    struct poller_pair pair;
    int number, error;

    poller_pair_open(&pair);
    number = pair.ends[0];
    poller_pair_close(&pair);
    error = stage->poller->add(stage->poller, number, pair.generation, POLLER_INPUT);
    if (poller_stage_is_epoll(stage)) {
        assert_int_equal(error, -EBADF);
        return;
    }
    assert_int_equal(error, 0);
    pair.ends[0] = number;
    assert_int_equal(poller_stage_happened(stage, &pair), POLLER_INVALID);
    stage->poller->remove(stage->poller, number);
}

static void the_descriptor_is_readable_while_there_is_something_to_report(void **state)
{
    struct poller_stage *stage = *state;
    int descriptor = stage->poller->descriptor(stage->poller);
    struct pollfd poll_fd = {.fd = descriptor, .events = POLLIN};
    struct poller_pair pair;

    if (descriptor == -ENOTSUP)
        return;
    poller_pair_add(stage, &pair, POLLER_INPUT);
    poller_stage_settle(stage);
    assert_int_equal(poll(&poll_fd, 1, 0), 0);
    poller_pair_send(&pair);
    assert_int_equal(poll(&poll_fd, 1, 0), 1);
    assert_int_equal(poll(&poll_fd, 1, 0), 1);
    assert_int_equal(poller_stage_wait(stage), 1);
    assert_int_equal(poll(&poll_fd, 1, 0), 0);
    assert_int_equal(stage->poller->descriptor(stage->poller), descriptor);
    poller_pair_remove(stage, &pair);
}

static int run(make_poller *const *maker, const char *name)
{
    const struct CMUnitTest tests[] = {
        POLLER_TEST(without_descriptors_there_are_no_events, maker),
        POLLER_TEST(a_descriptor_that_is_never_waited_for, maker),
        POLLER_TEST(input_is_reported, maker),
        POLLER_TEST(input_before_the_add_is_reported, maker),
        POLLER_TEST(more_input_after_all_was_read_is_reported, maker),
        POLLER_TEST(the_end_of_input_is_not_reported_for_ever, maker),
        POLLER_TEST(output_is_reported_after_it_was_blocked, maker),
        POLLER_TEST(output_can_be_asked_for_later, maker),
        POLLER_TEST(output_that_came_between_is_reported, maker),
        POLLER_TEST(output_that_is_of_no_interest_does_not_spin, maker),
        POLLER_TEST(a_wake_that_is_cleared_is_not_reported_as_output, maker),
        POLLER_TEST(a_hangup_is_reported_without_input, maker),
        POLLER_TEST(a_peer_that_closes_is_an_error_whatever_the_interest, maker),
        POLLER_TEST(a_pipe_without_reader_is_an_error, maker),
        POLLER_TEST(a_regular_file, maker),
        POLLER_TEST(a_closed_number_is_invalid, maker),
        POLLER_TEST(the_descriptor_is_readable_while_there_is_something_to_report, maker),
    };

    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
    return poller_stage_run(run);
}
