/* SPDX-License-Identifier: MIT */
/*
 * Does one thing COUNT times, for callgrind. The difference between two runs of different length is the cost of
 * that thing, without start and end.
 *
 *   instructions SHAPE COUNT
 */
#include "steady.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define EMITTERS 1000

static const char filler[] = "1234567890123456789 and then what fills an event up to one hundred bytes, as "
                             "the bench has it, abc..";

struct shape {
    const char *name;
    void (*run)(struct steady *steady, size_t count);
    bool sockets;
    bool polled;
    size_t per_count; /* how many deliveries or calls each count makes */
};

/* The same in every run, because the layout of a hash table makes a difference of some thousand instructions. */
static uint64_t same_random(void *user)
{
    uint64_t *state = user;

    return *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
}

static uint64_t random_state = 1;
static const struct sse_platform platform = {
    .size = sizeof(platform), .random = same_random, .user = &random_state};

static const struct sse_text everyone;

static struct sse_event hundred_bytes(void)
{
    return (struct sse_event){.data = {.ptr = filler, .len = 100}};
}

/* The work of a server without the library, which the kernel needs in any case: one send of a ready frame for each
 * client. */
static void run_bare(struct steady *steady, size_t count)
{
    char frame[108];

    memcpy(frame, "data: ", 6);
    memcpy(frame + 6, filler, 100);
    memcpy(frame + 106, "\n\n", 2);
    for (size_t i = 0; i < count; i++) {
        for (size_t at = 0; at < EMITTERS; at++)
            (void)send(steady->pairs[at % STEADY_PAIRS][0], frame, sizeof(frame),
                       MSG_NOSIGNAL | MSG_DONTWAIT);
        steady_drain(steady);
    }
}

static void run_broadcast(struct steady *steady, size_t count)
{
    const struct sse_event event = hundred_bytes();

    for (size_t i = 0; i < count; i++) {
        steady_check(sse_registry_publish(steady->registry, everyone, &event, NULL), "publish");
        steady_turn(steady);
        steady_drain(steady);
    }
}

/* Sixteen small events in one message, so that those of all emitters fit into the socket pairs. */
static void run_batch(struct steady *steady, size_t count)
{
    struct sse_event events[16];
    struct sse_message *message;

    for (size_t i = 0; i < 16; i++)
        events[i] = (struct sse_event){.data = {.ptr = filler, .len = 20}};
    for (size_t i = 0; i < count; i++) {
        steady_check(sse_message_new(&message, events, 16, NULL), "message");
        steady_check(sse_registry_publish_message(steady->registry, everyone, message, NULL), "broadcast");
        sse_message_unref(message);
        steady_turn(steady);
        steady_drain(steady);
    }
}

/* The same number, each published by itself before the loop's turn. A polled loop is woken by a write. */
static void run_burst(struct steady *steady, size_t count)
{
    const struct sse_event event = {.data = {.ptr = filler, .len = 20}};

    for (size_t i = 0; i < count; i++) {
        for (size_t at = 0; at < 16; at++)
            steady_check(sse_registry_publish(steady->registry, everyone, &event, NULL), "publish");
        steady_turn(steady);
        steady_drain(steady);
    }
}

static void run_send(struct steady *steady, size_t count)
{
    const struct sse_event event = hundred_bytes();

    for (size_t i = 0; i < count; i++) {
        for (size_t at = 0; at < EMITTERS; at++)
            steady_check(sse_emitter_send(steady->emitters[at], &event), "send");
        steady_drain(steady);
    }
}

/* Publishing to a topic of one: the way of a token stream with a registry. */
static void run_publish(struct steady *steady, size_t count)
{
    const struct sse_event event = hundred_bytes();
    char text[32];

    for (size_t i = 0; i < count; i++) {
        struct sse_text topic = steady_topic(i % EMITTERS, text);

        steady_check(sse_registry_publish(steady->registry, topic, &event, NULL), "publish");
        steady_turn(steady);
        if (i % EMITTERS == 0)
            steady_drain(steady);
    }
}

static void run_info(struct steady *steady, size_t count)
{
    struct sse_emitter_info info;

    for (size_t i = 0; i < count; i++)
        steady_check(sse_emitter_get_info(steady->emitters[0], &info, sizeof(info)), "info");
}

static void run_turn(struct steady *steady, size_t count)
{
    for (size_t i = 0; i < count; i++)
        steady_turn(steady);
}

static const struct shape shapes[] = {
    {"bare", run_bare, true, false, EMITTERS},
    {"broadcast", run_broadcast, true, false, EMITTERS},
    {"broadcast_callback", run_broadcast, false, false, EMITTERS},
    {"batch_of_16", run_batch, true, false, EMITTERS},
    {"burst_of_16", run_burst, true, false, 16 * (size_t)EMITTERS},
    {"burst_of_16_polled", run_burst, false, true, 16 * (size_t)EMITTERS},
    {"send", run_send, true, false, EMITTERS},
    {"send_callback", run_send, false, false, EMITTERS},
    {"publish", run_publish, true, false, 1},
    {"info", run_info, true, false, 1},
    {"turn", run_turn, true, false, 1},
};

int main(int argc, char **argv)
{
    const struct shape *shape = shapes;
    const struct shape *end = shapes + sizeof(shapes) / sizeof(shapes[0]);
    struct steady steady;

    while (argc == 3 && shape < end && strcmp(shape->name, argv[1]) != 0)
        shape++;
    if (argc != 3 || shape == end) {
        fprintf(stderr, "usage: instructions SHAPE COUNT\n");
        return 2;
    }
    steady_open(&steady, &(struct steady_options){.count = EMITTERS,
                                                  .sockets = shape->sockets,
                                                  .polled = shape->polled,
                                                  .topics = true,
                                                  .platform = &platform});
    shape->run(&steady, strtoul(argv[2], NULL, 10));
    steady_close(&steady);
    printf("%zu\n", shape->per_count);
    return 0;
}
