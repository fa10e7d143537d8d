/* SPDX-License-Identifier: MIT */
/* The whole library, used by a program that the input defines: see api/api.h. */

#include "api/api.h"
#include "faulty_calls.h"

#include <poll.h>
#include <stdlib.h>

#define STEPS_MAX 400
#define DESCRIPTORS 256

static void make_message(struct world *world)
{
    struct sse_message **message = &world->messages[fuzz_below(&world->input, MESSAGES_MAX)];
    struct sse_event events[3];
    unsigned count = 1 + fuzz_below(&world->input, 3);
    int wrong = 0, result;

    sse_message_unref(*message);
    *message = NULL;
    for (unsigned i = 0; i < count; i++) {
        int error = draw_event(world, &events[i], 'm', 0, 0);

        if (!error && count > 1 && events[i].key.ptr)
            error = -EINVAL;
        wrong = wrong ? wrong : error;
    }
    enter(world, IN_OTHER, NULL, "sse_message_new");
    result = sse_message_new(message, events, count, &world->fake.platform);
    leave(world);
    fuzz_expect(result == wrong || (!wrong && result == -ENOMEM && world->may_fail),
                "a message gives %d, not %d", result, wrong);
}

static void pass_time(struct world *world)
{
    static const uint64_t jumps[] = {0, 1, 9, 10, 999, 1000, 5000, 15000, 30000, 100000, 10000000};
    unsigned which = fuzz_below(&world->input, 12);

    /* Only once, to the time at which deadlines would overflow. */
    if (which == 11 && world->fake.now < UINT64_MAX / 4)
        fake_platform_advance_ms(&world->fake, UINT64_MAX / 2000000);
    else if (which < 11)
        fake_platform_advance_ms(&world->fake, jumps[which]);
}

static void make_memory_fail(struct world *world)
{
    world->fail_at = 1 + fuzz_below(&world->input, 8);
    world->fail_for_good = fuzz_one_in(&world->input, 2);
}

/* Errors that the system may return and that have no second meaning. */
static void make_call_fail(struct world *world)
{
    static const struct {
        enum faulty_call call;
        int error;
    } faults[] = {
        {FAULTY_SEND, EAGAIN},
        {FAULTY_SENDMSG, EAGAIN},
        {FAULTY_SENDMSG, EINTR},
        {FAULTY_SENDMSG, EPIPE},
        {FAULTY_SENDMSG, ENOBUFS},
        {FAULTY_SENDMSG, 0},
        {FAULTY_SEND, ECONNRESET},
        {FAULTY_SEND, EINTR},
        {FAULTY_WRITEV, EAGAIN},
        {FAULTY_WRITEV, EINTR},
        {FAULTY_WRITEV, EIO},
        {FAULTY_WRITEV, 0},
        {FAULTY_RECV, EAGAIN},
        {FAULTY_RECV, EINTR},
        {FAULTY_RECV, ECONNRESET},
        {FAULTY_READ, EINTR},
        {FAULTY_WRITE, EINTR},
        {FAULTY_POLL, EINTR},
        {FAULTY_EPOLL_WAIT, EINTR},
        {FAULTY_EPOLL_CTL, ENOMEM},
        {FAULTY_EPOLL_CTL, ENOSPC},
        {FAULTY_EPOLL_CREATE1, EMFILE},
        {FAULTY_EVENTFD, EMFILE},
        {FAULTY_PIPE, EMFILE},
        {FAULTY_TIMERFD_CREATE, ENFILE},
        {FAULTY_MUTEX_INIT, ENOMEM},
        {FAULTY_FCNTL, EBADF},
        {FAULTY_GETSOCKOPT, EBADF},
    };
    unsigned which = fuzz_below(&world->input, sizeof(faults) / sizeof(faults[0]));

    world->faulty_call = (int)faults[which].call;
    world->faulty_error = faults[which].error;
    world->faulty_first = fuzz_below(&world->input, 4);
    world->faulty_times = 1 + fuzz_below(&world->input, 3);
}

static void call_somebody(struct world *world, struct client *self)
{
    struct client *client = self;

    if (world->client_count && (!self || fuzz_one_in(&world->input, 2)))
        client = world->clients[fuzz_byte(&world->input) % world->client_count];
    if (client && is_usable(client))
        call_emitter(client);
}

void step(struct world *world, struct client *self)
{
    unsigned which = fuzz_below(&world->input, 64);

    if (which < 24)
        call_somebody(world, self);
    else if (which < 40)
        call_registry(world);
    else if (which < 50)
        call_loop(world);
    else if (which < 56)
        make_emitter(world);
    else if (which < 59)
        pass_time(world);
    else if (which < 60)
        make_message(world);
    else if (which < 62)
        make_memory_fail(world);
    else
        make_call_fail(world);
}

/* With one call of the system. */
static size_t count_descriptors(void)
{
    struct pollfd polls[DESCRIPTORS];
    size_t count = 0;

    for (int fd = 0; fd < DESCRIPTORS; fd++)
        polls[fd] = (struct pollfd){.fd = fd};
    (void)poll(polls, DESCRIPTORS, 0);
    for (int fd = 0; fd < DESCRIPTORS; fd++)
        count += !(polls[fd].revents & POLLNVAL);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t descriptors = count_descriptors();
    struct world *world = calloc(1, sizeof(*world));

    if (!world)
        abort();
    world->input = (struct fuzz_input){.at = data, .end = data + size};
    world->order = fuzz_byte(&world->input);
    world->faulty_call = -1;
    fake_platform_init(&world->fake);
    for (size_t i = 0; i < LOOPS_MAX; i++)
        world->loops[i].world = world;
    for (size_t i = 0; i < REGISTRIES_MAX; i++)
        world->registries[i].world = world;
    for (unsigned steps = 0; steps < STEPS_MAX && world->input.at < world->input.end; steps++)
        step(world, NULL);
    world_end(world);
    fuzz_texts_free(&world->texts);
    free(world);
    fuzz_expect(count_descriptors() == descriptors, "a descriptor is left open");
    return 0;
}
