/* SPDX-License-Identifier: MIT */
/* What a turn of a loop costs, and what many emitters of a loop cost. */
#include "scene.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURN "loop_turn, dispatch, run"

static uint64_t turn(void)
{
    uint64_t before = steps_count();

    scene_check(sse_loop_turn(scene.loop) >= -1, "a turn failed");
    return steps_count() - before;
}

static uint64_t turn_of_marked(size_t n)
{
    struct sse_emitter_options options;
    uint64_t steps;

    scene_open(NULL);
    options = scene_options();
    scene_add_many(&options, n, absent);
    scene_settle();
    (void)scene_publish(absent, "an event");
    steps = turn();
    scene_close();
    return steps;
}

/* All outputs become full in the turn. */
static uint64_t turn_of_marked_that_become_full(size_t n)
{
    struct sse_emitter_options options;
    uint64_t steps;

    scene_open(NULL);
    options = scene_options();
    scene_add_many(&options, n, absent);
    scene_settle();
    (void)scene_publish(absent, "an event");
    scene.full = true;
    steps = turn();
    scene_close();
    return steps;
}

/* All emitters end, and are finished. */
static uint64_t turn_of_marked_that_end(size_t n)
{
    struct sse_emitter_options options;
    uint64_t steps;

    scene_open(NULL);
    options = scene_options();
    scene_add_many(&options, n, sse_str("topic"));
    scene_settle();
    (void)sse_registry_complete(scene.registry, absent);
    steps = turn();
    scene_check(!sse_registry_count(scene.registry, absent), "they have not ended");
    scene_close();
    return steps;
}

static uint64_t turn_among_bound(size_t n)
{
    struct sse_emitter_options options;
    const struct sse_text topic = sse_str("topic");
    uint64_t steps;

    scene_open(NULL);
    options = scene_options();
    scene_add_many(&options, n, absent);
    (void)scene_add(&options, &topic, 1);
    scene_settle();
    (void)scene_publish(topic, "an event");
    steps = turn();
    scene_close();
    return steps;
}

/* One turn writes 256 events of one emitter. */
static uint64_t turn_with_a_queue(size_t n)
{
    struct sse_emitter_options options;
    uint64_t steps;

    scene_open(NULL);
    options = scene_options();
    options.queue_messages = 2 * n;
    (void)scene_add(&options, NULL, 0);
    scene_settle();
    (void)scene_publish_many(absent, n, NULL);
    steps = turn();
    scene_close();
    return steps;
}

/* The heartbeats of all are due at once. One turn runs 1,024. */
static uint64_t turn_with_timers(size_t n)
{
    struct sse_emitter_options options;
    uint64_t steps;

    scene_open(NULL);
    options = scene_options();
    scene_add_many(&options, n, absent);
    scene_settle();
    steps_advance_ms(3600000);
    steps = turn();
    scene_close();
    return steps;
}

static uint64_t turn_with_some_timers(size_t n)
{
    struct sse_emitter_options options;
    uint64_t steps;

    scene_open(NULL);
    options = scene_options();
    scene_add_many(&options, n, absent);
    scene_settle();
    steps_advance_ms(3600000);
    steps = turn();
    scene_close();
    return steps;
}

static uint64_t free_the_loop(size_t n)
{
    struct sse_emitter_options options;
    uint64_t before;

    scene_open(NULL);
    options = scene_options();
    scene_add_many(&options, n, sse_str("topic"));
    scene_settle();
    before = steps_count();
    sse_loop_free(scene.loop);
    before = steps_count() - before;
    scene.loop = NULL;
    scene_close();
    return before;
}

static uint64_t dispatch(void)
{
    uint64_t before = steps_count();

    scene_check(!sse_loop_dispatch(scene.loop, 0), "not dispatched");
    return steps_count() - before;
}

static uint64_t dispatch_marked(size_t n)
{
    struct sse_emitter_options options;
    uint64_t steps;

    scene_open_polled(NULL, SSE_POLLER_BEST);
    options = scene_options();
    scene_add_many(&options, n, absent);
    for (int i = 0; i < 5; i++)
        (void)dispatch();
    (void)scene_publish(absent, "an event");
    steps = dispatch();
    scene_close();
    return steps;
}

static void add_descriptors(size_t n, bool watched)
{
    struct sse_emitter_options options = scene_options();
    int one = watched ? scene_descriptor() : -1;

    if (!watched) {
        options.output = SSE_OUTPUT_FD;
        options.write = NULL;
        options.keep_fd = true;
    }
    for (size_t i = 0; i < n; i++) {
        options.watch_fd = watched ? one : 0;
        options.fd = watched ? 0 : scene_descriptor();
        (void)scene_add(&options, NULL, 0);
    }
    for (int i = 0; i < 5; i++)
        (void)dispatch();
}

/* There is nothing to do. */
static uint64_t idle(size_t n, enum sse_poller poller)
{
    uint64_t steps;

    scene_open_polled(NULL, poller);
    add_descriptors(n, false);
    steps = dispatch();
    scene_close();
    return steps;
}

#ifdef SSE_HAVE_EPOLL
static uint64_t dispatch_idle(size_t n)
{
    return idle(n, SSE_POLLER_EPOLL);
}
#endif

static uint64_t dispatch_idle_with_poll(size_t n)
{
    return idle(n, SSE_POLLER_POLL);
}

/* All descriptors have input, which the first emitter reads. */
static uint64_t dispatch_input(size_t n)
{
    uint64_t steps;

    scene_open_polled(NULL, SSE_POLLER_BEST);
    add_descriptors(n, false);
    scene_check(send(scene_peer(), "x", 1, 0) == 1, "not sent");
    steps = dispatch();
    scene_close();
    return steps;
}

/* The most expensive of all while they join. */
static uint64_t new_with_a_descriptor(size_t n)
{
    struct sse_emitter_options options;
    uint64_t worst = 0;

    if (!scene_has_descriptors(n))
        return 0;
    scene_open_polled(NULL, SSE_POLLER_BEST);
    options = scene_options();
    options.output = SSE_OUTPUT_FD;
    options.write = NULL;
    options.keep_fd = true;
    for (size_t i = 0; i < n; i++) {
        uint64_t before, steps;

        options.fd = scene_descriptor();
        before = steps_count();
        (void)scene_add(&options, NULL, 0);
        steps = steps_count() - before;
        worst = steps > worst ? steps : worst;
    }
    scene_close();
    return worst;
}

/* Writes until the socket that they share is full. */
static void fill_socket(void)
{
    static const char bytes[4096];
    int descriptor = scene_descriptor();

    while (send(descriptor, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        continue;
}

/* Streams of one full connection, as over HTTP/2. Each asks for room. */
static uint64_t dispatch_streams_of_a_full_connection(size_t n)
{
    uint64_t steps;

    scene_open_polled(NULL, SSE_POLLER_BEST);
    add_descriptors(n, true);
    fill_socket();
    (void)scene_publish(absent, "an event");
    scene.full = true;
    steps = dispatch();
    scene_close();
    return steps;
}

static uint64_t dispatch_streams_that_end(size_t n)
{
    uint64_t steps;

    scene_open_polled(NULL, SSE_POLLER_BEST);
    add_descriptors(n, true);
    (void)sse_registry_complete(scene.registry, absent);
    steps = dispatch();
    scene_check(!sse_registry_count(scene.registry, absent), "they have not ended");
    scene_close();
    return steps;
}

static uint64_t close_streams(size_t n)
{
    uint64_t before;

    scene_open_polled(NULL, SSE_POLLER_BEST);
    add_descriptors(n, true);
    before = steps_count();
    for (size_t i = 0; i < n; i++)
        sse_emitter_close(scene.emitters[i]);
    before = steps_count() - before;
    scene.count = 0;
    scene_close();
    return before / n;
}

static uint64_t loop_calls(size_t n)
{
    uint64_t before;
    int descriptor; /* without epoll or timerfd, there is no descriptor */

    scene_open_polled(NULL, SSE_POLLER_BEST);
    add_descriptors(n, false);
    before = steps_count();
    descriptor = sse_loop_fd(scene.loop);
    scene_check((descriptor >= 0 || descriptor == -ENOTSUP) && !sse_loop_stop(scene.loop) &&
                    !sse_loop_run(scene.loop) && !sse_loop_finish(scene.loop),
                "a call failed");
    before = steps_count() - before;
    scene_close();
    return before;
}

const struct cost costs_of_loops[] = {
    COST(TURN, "emitters with work", LINEAR, 1000, turn_of_marked),
    COST(TURN, "emitters with work", LINEAR, 1000, turn_of_marked_that_become_full),
    COST(TURN, "emitters with work", LINEAR, 1000, dispatch_marked),
    COST(TURN, "emitters that end", LINEARITHMIC, 1000, turn_of_marked_that_end),
    COST(TURN, "emitters without work", LOGARITHMIC, 1000, turn_among_bound),
    COST("loop_turn; emitter_flush", "events queued", CONSTANT, 1000, turn_with_a_queue),
    COST(TURN, "timers that are due", LINEARITHMIC, 250, turn_with_some_timers),
    COST(TURN, "timers that are due, above 1,024", LOGARITHMIC, 2000, turn_with_timers),
    COST("loop_free", "emitters", LINEARITHMIC, 1000, free_the_loop),
#ifdef SSE_HAVE_EPOLL
    COST(TURN, "emitters without work", LOGARITHMIC, 200, dispatch_idle),
#endif
    COST("loop_dispatch, run", "descriptors, with poll(2)", LINEAR, 200, dispatch_idle_with_poll),
    COST("loop_dispatch, run", "descriptors that are ready", LINEARITHMIC, 200, dispatch_input),
    COST("loop_dispatch, run", "emitters of one `watch_fd`", LINEARITHMIC, 200,
         dispatch_streams_of_a_full_connection),
    COST("loop_dispatch, run", "emitters of one `watch_fd`", LINEARITHMIC, 200, dispatch_streams_that_end),
    COST("emitter_close", "emitters of one `watch_fd`", CONSTANT, 200, close_streams),
    COST("emitter_new", "descriptors of a polled loop", CONSTANT, 600, new_with_a_descriptor),
    COST("loop_fd, stop, finish", "emitters", CONSTANT, 200, loop_calls),
    {.name = NULL},
};
