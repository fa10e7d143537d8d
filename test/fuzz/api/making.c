/* SPDX-License-Identifier: MIT */
#include "api.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Emitters with options of every kind. */

static const int64_t timers[] = {0, 0, 0, SSE_TIMER_OFF, 1, 10, 1000, 30000, INT64_MAX, -2};
static const size_t sizes[] = {0, 0, 1, 40, 100, 400, 2000, 70000};

static int64_t draw_timer(struct fuzz_input *input)
{
    unsigned which = fuzz_below(input, 32);

    /* Only a few of these are refused. */
    return which < 10 ? timers[which] : timers[which % 8];
}

struct sse_text draw_topic(struct world *world, unsigned *mask)
{
    static const char *const names[] = {"t0", "t1", "t2", "t3"};
    unsigned which = fuzz_below(&world->input, 32);

    *mask = 0;
    if (which == 31)
        return sse_str("");
    if (which == 30)
        return fuzz_copy(&world->texts, fuzz_room(&world->texts, SSE_TOPIC_SIZE_MAX + 1),
                         SSE_TOPIC_SIZE_MAX + 1);
    *mask = 1U << which % TOPICS;
    return sse_str(names[which % TOPICS]);
}

static void draw_topics(struct world *world, struct client *client, struct sse_emitter_options *options)
{
    struct sse_text *topics = fuzz_room(&world->texts, 4 * sizeof(*topics));

    options->topic_count = fuzz_below(&world->input, 4);
    options->topics = topics;
    for (size_t i = 0; i < options->topic_count; i++) {
        unsigned mask;

        topics[i] = draw_topic(world, &mask);
        client->topics |= mask;
    }
}

static struct registry *draw_place(struct world *world, struct client *client,
                                   struct sse_emitter_options *options)
{
    struct loop *loop = &world->loops[fuzz_below(&world->input, LOOPS_MAX)];
    struct registry *registry = &world->registries[fuzz_below(&world->input, REGISTRIES_MAX)];

    if (fuzz_below(&world->input, 8) && loop->loop) {
        options->loop = loop->loop;
        client->loop = loop;
    }
    if (fuzz_below(&world->input, 4) && registry->registry) {
        options->registry = registry->registry;
        client->registry_number = registry->number;
    }
    options->output = (enum sse_output)(1 + fuzz_below(&world->input, 3));
    /* All others are refused, so a few are enough. */
    if (!options->loop && options->registry && !fuzz_one_in(&world->input, 16))
        options->output = SSE_OUTPUT_PULL;
    if (options->registry || fuzz_one_in(&world->input, 32))
        draw_topics(world, client, options);
    if (fuzz_one_in(&world->input, 3))
        options->last_event_id = draw_id(world);
    return options->registry ? registry : NULL;
}

static const struct sse_http_options *draw_http(struct world *world)
{
    struct sse_http_options *http;
    unsigned which = fuzz_byte(&world->input);

    if (which % 4)
        return NULL;
    http = fuzz_room(&world->texts, sizeof(*http));
    *http =
        (struct sse_http_options){.size = sizeof(*http), .version = (enum sse_http_version)(which / 4 % 3)};
    http->chunked = which & 64 && http->version == SSE_HTTP_1_1;
    /* Refused. */
    http->cors_credentials = which >= 250;
    return http;
}

static void draw_pair(struct world *world, struct client *client, bool socket)
{
    bool pipe = !socket && fuzz_one_in(&world->input, 4);
    int size = 1;

    pair_open(&client->pair, pipe ? PAIR_PIPE : PAIR_STREAM);
    if (!pipe && fuzz_one_in(&world->input, 2))
        (void)setsockopt(client->pair.server, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static void draw_output(struct world *world, struct client *client, struct sse_emitter_options *options)
{
    options->framing = (enum sse_framing)fuzz_below(&world->input, 2);
    if (options->output == SSE_OUTPUT_FD) {
        draw_pair(world, client, false);
        options->fd = client->pair.server;
        options->keep_fd = client->keeps = fuzz_one_in(&world->input, 3);
        options->keep_socket_options = fuzz_one_in(&world->input, 3);
        if (fuzz_one_in(&world->input, 32))
            options->fd = 1 << 20;
    } else if (options->loop && !client->loop->driven && fuzz_one_in(&world->input, 3)) {
        draw_pair(world, client, true);
        options->watch_fd = client->pair.server;
        client->watches = true;
    }
}

static void draw_limits(struct fuzz_input *input, struct sse_emitter_options *options)
{
    options->retry_ms = fuzz_one_in(input, 4) ? 1000 : 0;
    options->paused = fuzz_one_in(input, 4);
    options->start_ms = draw_timer(input);
    options->lifetime_ms = draw_timer(input);
    options->lifetime_jitter_ms =
        options->lifetime_ms > 0 && fuzz_one_in(input, 4) ? options->lifetime_ms / 2 : 0;
    options->stall_ms = draw_timer(input);
    options->drain_ms = draw_timer(input);
    options->heartbeat_ms = draw_timer(input);
    options->queue_bytes = sizes[fuzz_below(input, 8)];
    options->queue_messages = fuzz_one_in(input, 3) ? 1 + fuzz_below(input, 6) : 0;
    options->overflow = (enum sse_overflow)fuzz_below(input, 4);
    if (fuzz_one_in(input, 64))
        options->overflow = (enum sse_overflow)4;
}

static void close_pair(struct client *client)
{
    if (client->output == SSE_OUTPUT_FD || client->watches)
        pair_close(&client->pair);
}

/* Nothing has changed: no emitter, no callback, and the program still owns the descriptor. */
static void refuse(struct client *client, const struct sse_emitter_options *options, int error)
{
    static const int errors[] = {-EINVAL, -EBADMSG, -EBADF, -EEXIST, -EAGAIN, -ECONNREFUSED, 0};
    static const int faults[] = {-EINVAL, -EBADMSG, -EBADF,        -EEXIST, -EAGAIN,
                                 -ENOSPC, -EPERM,   -ECONNREFUSED, -ERANGE, 0};

    expect_result(client->world, "sse_emitter_new", error, client->world->may_fail ? faults : errors);
    fuzz_expect(error < 0, "sse_emitter_new gives %d", error);
    fuzz_expect(options->output != SSE_OUTPUT_FD || fcntl(client->pair.server, F_GETFD) >= 0,
                "the descriptor of an emitter that was refused is closed");
    client->loop = NULL;
    close_pair(client);
}

static void begin_stream(struct client *client, const struct sse_emitter_options *options, bool named)
{
    client->looped = client->loop != NULL;
    client->owned = named;
    client->references = named;
    if (options->output == SSE_OUTPUT_FD && !client->keeps)
        client->pair.server = -1;
}

static size_t count_bound(const struct client *client)
{
    return client->loop ? sse_loop_count(client->loop->loop) : 0;
}

static size_t count_members(const struct registry *registry)
{
    return registry ? sse_registry_count(registry->registry, sse_str(NULL)) : 0;
}

void make_emitter(struct world *world)
{
    struct client *client;
    struct registry *registry;
    struct sse_emitter_options options = {.size = sizeof(options), .platform = &world->fake.platform};
    static char nobody;
    struct sse_emitter *const none = (struct sse_emitter *)(void *)&nobody;
    struct sse_emitter *emitter = none;
    struct sse_replay replay;
    size_t bound, members;
    bool named;
    int error;

    if (world->client_count == CLIENTS_MAX)
        return;
    client = fuzz_room(&world->texts, sizeof(*client));
    client->world = world;
    client->number = world->client_count;
    world->clients[world->client_count++] = client;
    client->registry_number = NO_REGISTRY;
    registry = draw_place(world, client, &options);
    client->output = options.output;
    draw_output(world, client, &options);
    draw_limits(&world->input, &options);
    options.http = draw_http(world);
    callbacks_install(&options, client, fuzz_byte(&world->input));
    named = fuzz_below(&world->input, 8) != 7;
    stream_begin(client, &options);
    bound = count_bound(client);
    members = count_members(registry);
    client->made = true;
    enter(world, IN_OTHER, client, "sse_emitter_new");
    error = sse_emitter_new(named ? &emitter : NULL, &options, &replay);
    leave(world);
    if (error) {
        client->made = false;
        fuzz_expect(emitter == none, "an emitter and an error");
        fuzz_expect(count_bound(client) == bound && count_members(registry) == members,
                    "an emitter that was refused is there");
        refuse(client, &options, error);
        return;
    }
    fuzz_expect(named == (emitter != none), "an emitter without a pointer");
    client->emitter = named ? emitter : NULL;
    begin_stream(client, &options, named);
    if (registry)
        registry->added++;
}
