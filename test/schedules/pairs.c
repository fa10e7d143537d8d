/* SPDX-License-Identifier: MIT */
#include "pairs.h"
#include "failure.h"
#include "scene.h"

/* An emitter in topic one, in a loop of its own kind. The test holds this many references. */
static void add_client(const struct plan *plan, unsigned references)
{
    struct client *client = &scene.clients[scene.client_count];

    require(scene_add_client(plan) == 0);
    for (; client->references < references; client->references++)
        sse_emitter_ref(client->emitter);
}

static struct plan plan_of(enum sse_output output, unsigned loop)
{
    return (struct plan){
        .output = output, .loop = &scene.loops[loop], .topics = &first_topic, .topic_count = 1};
}

static void add_registry(void)
{
    scene_add_registry(&(struct sse_registry_options){.size = sizeof(struct sse_registry_options)});
}

/* It has had its first turn: its timer is set, and no work is left. */
static void begin(unsigned loop)
{
    while (loop_is_due(&scene.loops[loop]))
        loop_turn(&scene.loops[loop]);
}

static void add_one(enum sse_output output, unsigned references)
{
    struct plan plan = plan_of(output, 0);

    add_registry();
    scene_add_loop(0, false);
    add_client(&plan, references);
}

static void one_callback(void)
{
    add_one(SSE_OUTPUT_CALLBACK, 1);
}

static void callback_held_twice(void)
{
    add_one(SSE_OUTPUT_CALLBACK, 2);
}

static void idle_callback_held_twice(void)
{
    add_one(SSE_OUTPUT_CALLBACK, 2);
    begin(0);
}

static void idle_descriptor_held_twice(void)
{
    add_one(SSE_OUTPUT_FD, 2);
    begin(0);
}

/* The queue has room for two events, so the publisher writes itself. */
static void small_descriptor(void)
{
    struct plan plan = plan_of(SSE_OUTPUT_FD, 0);

    plan.queue_messages = 2;
    add_registry();
    scene_add_loop(0, false);
    add_client(&plan, 1);
    begin(0);
}

static void history(void)
{
    scene_add_registry(&(struct sse_registry_options){.size = sizeof(struct sse_registry_options),
                                                      .history = {.events = 8}});
    scene_add_loop(0, false);
    publish();
    publish();
}

static void one_reader(void)
{
    add_one(SSE_OUTPUT_PULL, 1);
}

static void reader_held_twice(void)
{
    add_one(SSE_OUTPUT_PULL, 2);
}

static void idle_reader_held_twice(void)
{
    add_one(SSE_OUTPUT_PULL, 2);
    begin(0);
    read_0();
    begin(0);
}

static void full_callback(void)
{
    struct plan plan = plan_of(SSE_OUTPUT_CALLBACK, 0);

    plan.full = true;
    add_registry();
    scene_add_loop(0, false);
    add_client(&plan, 1);
}

static void paused_callback(void)
{
    struct plan plan = plan_of(SSE_OUTPUT_CALLBACK, 0);

    plan.paused = true;
    add_registry();
    scene_add_loop(0, false);
    add_client(&plan, 2);
}

/* The registry has a reference for each of two threads. */
static void callback_and_registry_held_twice(void)
{
    add_one(SSE_OUTPUT_CALLBACK, 1);
    sse_registry_ref(scene.registry);
    scene.registry_references++;
}

static void reader_without_loop(void)
{
    const struct plan plan = {.output = SSE_OUTPUT_PULL, .topics = &first_topic, .topic_count = 1};

    add_registry();
    add_client(&plan, 3);
    read_0();
}

static void two_loops(void)
{
    add_registry();
    for (unsigned i = 0; i < LOOPS; i++) {
        struct plan plan = plan_of(SSE_OUTPUT_CALLBACK, i);

        scene_add_loop(i, false);
        add_client(&plan, 1);
        begin(i);
    }
}

static void room_for_one(void)
{
    const struct plan plan = plan_of(SSE_OUTPUT_CALLBACK, 0);

    scene_add_registry(&(struct sse_registry_options){.size = sizeof(struct sse_registry_options),
                                                      .emitters_max = 1,
                                                      .admission = SSE_ADMISSION_EVICT_OLDEST});
    scene_add_loop(0, false);
    add_client(&plan, 1);
}

/* An event has 10 bytes. If one of the three clients has one queued, the budget is passed. */
static void small_budget(void)
{
    struct plan plan = plan_of(SSE_OUTPUT_CALLBACK, 0);

    plan.full = true;
    scene_add_registry(
        &(struct sse_registry_options){.size = sizeof(struct sse_registry_options), .backlog_bytes = 25});
    scene_add_loop(0, false);
    add_client(&plan, 1);
    add_client(&plan, 1);
}

static void polled_descriptor(void)
{
    struct plan plan = plan_of(SSE_OUTPUT_FD, 0);

    plan.owned = true;
    add_registry();
    scene_add_loop(0, true);
    add_client(&plan, 2);
    begin(0);
}

const struct pair pairs[] = {
    {"close-callback",
     idle_callback_held_twice,
     {{turn_0, turn_0, turn_0}, {send_0, publish, unref_0}, {publish, close_0, publish}},
     "222"},
    {"close-descriptor",
     idle_descriptor_held_twice,
     {{turn_0, turn_0, turn_0}, {send_0, send_0, unref_0}, {publish, close_0, publish}},
     "333"},
    {"close-behind",
     small_descriptor,
     {{turn_0, turn_0, turn_0}, {publish, publish, publish}, {publish, close_0, publish}},
     "212"},
    {"close-polled",
     polled_descriptor,
     {{turn_0, turn_0, turn_0}, {send_0, publish, unref_0}, {publish, complete_0, close_0}},
     "223"},
    {"send-publish",
     idle_descriptor_held_twice,
     {{turn_0, turn_0, turn_0}, {send_0, send_0, send_0}, {publish, publish, publish}},
     "333"},
    {"flush-write",
     full_callback,
     {{turn_0, turn_0, turn_0}, {publish, make_room_0, flush_0}, {publish, send_0, publish}},
     "322"},
    {"end-subscribe",
     callback_held_twice,
     {{turn_0, turn_0, turn_0},
      {subscribe_0, publish_to_second, unref_0},
      {publish_to_second, complete_0, close_0}},
     "322"},
    {"abort-subscribe",
     idle_callback_held_twice,
     {{turn_0, turn_0, turn_0}, {subscribe_0, publish_to_second, unsubscribe_0}, {publish, abort_0, unref_0}},
     "333"},
    {"free_loop-mark",
     callback_held_twice,
     {{turn_0, free_loop_0, NULL}, {publish, send_0, unref_0}, {publish, close_0, publish_to_all}},
     "212"},
    {"shutdown-new",
     one_callback,
     {{serve_0, NULL, NULL}, {add_callback_client, publish, close_0}, {shut_down, publish, NULL}},
     "121"},
    {"shutdown-wait",
     one_callback,
     {{serve_0, NULL, NULL}, {publish, close_0, NULL}, {shut_down, wait_for_all, NULL}},
     "121"},
    {"shutdown-polled",
     polled_descriptor,
     {{serve_0, NULL, NULL}, {add_forgotten_client, publish, NULL}, {shut_down, wait_for_all, NULL}},
     "111"},
    {"publish-publish",
     two_loops,
     {{publish, turn_0, publish}, {publish_to_all, turn_1, publish}, {publish, publish_to_all, publish}},
     "221"},
    {"replay-publish",
     history,
     {{serve_0, NULL, NULL}, {add_client_that_returns, publish, NULL}, {publish, publish, publish}},
     "333"},
    {"unref-publish",
     callback_and_registry_held_twice,
     {{turn_0, turn_0, turn_0}, {publish, publish, unref_registry}, {publish, unref_0, unref_registry}},
     "333"},
    {"unref-close",
     one_callback,
     {{turn_0, turn_0, turn_0}, {publish, publish, unref_registry}, {publish, close_0, NULL}},
     "222"},
    {"read-publish",
     one_reader,
     {{turn_0, turn_0, turn_0}, {read_0, read_0, read_0}, {publish, publish, publish}},
     "333"},
    {"read-end",
     reader_held_twice,
     {{turn_0, turn_0, turn_0}, {read_0, read_0, close_0}, {publish, complete_0, unref_0}},
     "322"},
    {"start-publish",
     paused_callback,
     {{turn_0, turn_0, turn_0}, {send_0, start_filled_0, unref_0}, {publish, publish, publish}},
     "333"},
    {"wait-close",
     idle_reader_held_twice,
     {{turn_0, turn_0, turn_0}, {wait_and_read_0, wait_and_read_0, unref_0}, {publish, close_0, publish}},
     "222"},
    {"wait-end",
     reader_without_loop,
     {{send_0, interrupt_0, unref_0},
      {wait_and_read_0, wait_and_read_0, close_0},
      {publish, complete_0, unref_0}},
     "322"},
    {"wait-publish",
     reader_without_loop,
     {{publish, publish, publish}, {wait_and_read_0, read_0, close_0}, {publish, publish_to_all, publish}},
     "232"},
    {"evict-close",
     room_for_one,
     {{turn_0, turn_0, turn_0},
      {add_callback_client, publish, NULL},
      {publish, close_0, add_callback_client}},
     "112"},
    {"budget-close",
     small_budget,
     {{turn_0, turn_0, turn_0}, {publish, publish, publish}, {publish, close_0, close_1}},
     "111"},
};

const unsigned pairs_count = sizeof(pairs) / sizeof(pairs[0]);
