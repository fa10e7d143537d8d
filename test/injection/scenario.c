/* SPDX-License-Identifier: MIT */
#include "scenario.h"

#define GAP                                                                                                  \
    {                                                                                                        \
        "gap", 3                                                                                             \
    }
#define PREFIX                                                                                               \
    {                                                                                                        \
        "E", 1                                                                                               \
    }

const struct scenario scenarios[SCENARIOS] = {
    {"create", play_create, {.size = 0}},
    {"replay", play_replay, {.history = {.events = 1000}, .gap_type = GAP, .id_prefix = PREFIX}},
    {"paused", play_paused, {.history = {.events = 1000}, .gap_type = GAP, .id_prefix = PREFIX}},
    {"http", play_http, {.emitters_max = 4, .gap_type = GAP}},
    {"caps",
     play_caps,
     {.emitters_max = 3, .topic_emitters_max = 2, .admission = SSE_ADMISSION_EVICT_OLDEST}},
    {"publish", play_publish, {.size = 0}},
    {"messages", play_messages, {.history = {.events = 1000}, .id_prefix = PREFIX}},
    {"overflow", play_overflow, {.size = 0}},
    {"budget", play_budget, {.backlog_bytes = 12000}},
    {"history", play_history, {.history = {.events = 5}, .gap_type = GAP, .id_prefix = PREFIX}},
    {"loops", play_loops, {.size = 0}},
    {"descriptors", play_descriptors, {.size = 0}},
    {"watch", play_watch, {.size = 0}},
    {"pull", play_pull, {.size = 0}},
    {"wait", play_wait, {.size = 0}},
    {"timers", play_timers, {.size = 0}},
    {"shutdown", play_shutdown, {.size = 0}},
};

static void finish_clients(void (*step)(struct client *client))
{
    for (size_t i = 0; i < CLIENTS; i++)
        if (server.clients[i].used)
            step(&server.clients[i]);
}

static void read_and_start(struct client *client)
{
    client_read(client, true);
    if (client->paused)
        step_start(client, false);
}

/* Every emitter that joined has been removed. */
static void expect_nothing_remains(void)
{
    struct sse_registry_stats stats;
    uint64_t ended = 0;

    expect(!sse_registry_get_stats(server.registry, &stats, sizeof(stats)), "no statistics");
    for (size_t i = 0; i < SSE_REASON_COUNT_MAX; i++)
        ended += stats.ended_by[i];
    expect(!stats.emitters && !stats.remaining && !stats.backlog_bytes, "an emitter or its bytes remain");
    expect(ended == stats.added, "not as many ends as emitters");
    for (size_t i = 0; i < LOOPS; i++)
        expect(!sse_loop_count(server.loops[i].loop), "an emitter remains in a loop");
}

/* Nothing is left that this could abort. */
static void close_emitter(struct client *client)
{
    sse_emitter_close(client->emitter);
    client->emitter = NULL;
}

/* Every client reads to the end of the stream, and disconnects. Missing loops are made again. */
static void conclude(void)
{
    for (size_t i = 0; i < LOOPS; i++)
        if (!server.loops[i].loop)
            (void)step_new_loop(&server.loops[i]);
    finish_clients(read_and_start);
    server_settle();
    finish_clients(step_complete);
    server_settle();
    finish_clients(close_emitter);
    server_settle();
    finish_clients(client_end);
    expect_nothing_remains();
}

bool scenario_run(const struct scenario *scenario, enum loop_kind kind, const struct fault *fault)
{
    const struct fault none = {.kind = FAULT_NONE};
    bool struck;

    server_open(scenario->name, kind, &scenario->registry);
    fault_arm(fault, &server.fake);
    scenario->play();
    struck = fault_disarm();
    conclude();
    fault_arm(&none, &server.fake);
    scenario->play();
    conclude();
    server_close();
    return struck;
}
