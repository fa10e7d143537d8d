/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "poller_stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static make_poller *const makers[] = {sse_poller_poll_new, sse_poller_epoll_new};

int poller_stage_set_up(void **state)
{
    struct poller_stage *stage = calloc(1, sizeof(*stage));

    assert_non_null(stage);
    stage->make = **(make_poller *const **)state;
    fake_platform_init(&stage->fake);
    assert_int_equal(stage->make(&stage->poller, &stage->fake.platform), 0);
    *state = stage;
    return 0;
}

int poller_stage_tear_down(void **state)
{
    struct poller_stage *stage = *state;

    stage->poller->free(stage->poller);
    fake_platform_check_no_leak(&stage->fake);
    free(stage);
    return 0;
}

static bool epoll_is_built(void)
{
    struct poller *poller;

    if (sse_poller_epoll_new(&poller, NULL) == -ENOTSUP)
        return false;
    poller->free(poller);
    return true;
}

int poller_stage_run(int (*run)(make_poller *const *maker, const char *name))
{
    int failed = run(&makers[0], "poll");

    if (epoll_is_built())
        failed += run(&makers[1], "epoll");
    return failed;
}

bool poller_stage_is_epoll(const struct poller_stage *stage)
{
    return stage->make == sse_poller_epoll_new;
}

void poller_pair_open(struct poller_pair *pair)
{
    static uint32_t generation = UINT32_MAX - 2; /* the number may wrap around */

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair->ends), 0);
    assert_int_equal(fcntl(pair->ends[0], F_SETFL, O_NONBLOCK), 0);
    pair->generation = generation++;
}

void poller_pair_close_end(struct poller_pair *pair, int end)
{
    if (pair->ends[end] >= 0)
        close(pair->ends[end]);
    pair->ends[end] = -1;
}

void poller_pair_close(struct poller_pair *pair)
{
    poller_pair_close_end(pair, 0);
    poller_pair_close_end(pair, 1);
}

void poller_pair_add(struct poller_stage *stage, struct poller_pair *pair, unsigned interest)
{
    poller_pair_open(pair);
    assert_int_equal(stage->poller->add(stage->poller, pair->ends[0], pair->generation, interest), 0);
}

void poller_pair_remove(struct poller_stage *stage, struct poller_pair *pair)
{
    stage->poller->remove(stage->poller, pair->ends[0]);
    poller_pair_close(pair);
}

void poller_pair_change(struct poller_stage *stage, const struct poller_pair *pair, unsigned interest)
{
    stage->poller->change(stage->poller, pair->ends[0], pair->generation, interest);
}

int poller_stage_wait(struct poller_stage *stage)
{
    return stage->poller->wait(stage->poller, stage->events, 0);
}

void poller_stage_settle(struct poller_stage *stage)
{
    while (poller_stage_wait(stage) > 0 && poller_stage_is_epoll(stage))
        ;
}

unsigned poller_stage_happened(struct poller_stage *stage, const struct poller_pair *pair)
{
    int count = poller_stage_wait(stage);

    assert_true(count >= 0);
    for (int i = 0; i < count; i++) {
        const struct poller_event *event = &stage->events[i];

        if (event->descriptor == pair->ends[0] && event->generation == pair->generation)
            return event->happened;
    }
    return 0;
}

void poller_pair_send(const struct poller_pair *pair)
{
    assert_int_equal(write(pair->ends[1], "x", 1), 1);
}

void poller_pair_fill(int fd)
{
    char bytes[4096] = "";

    while (write(fd, bytes, sizeof(bytes)) > 0)
        ;
    assert_true(errno == EAGAIN);
}

void poller_pair_empty(int fd)
{
    char bytes[4096];

    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    while (read(fd, bytes, sizeof(bytes)) > 0)
        ;
}
