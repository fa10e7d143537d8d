/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <stdlib.h>

/* How a run begins and ends. */

static size_t pick(struct world *world, const size_t *values, size_t count)
{
    return values[chance_below(world, count)];
}

#define PICK(world, ...)                                                                                     \
    pick((world), (const size_t[]){__VA_ARGS__}, sizeof((const size_t[]){__VA_ARGS__}) / sizeof(size_t))

uint64_t first_sequence(const struct world *world)
{
    return world->scenario.options.first_id ? world->scenario.options.first_id : 1;
}

static void draw_registry(struct world *world)
{
    static const uint64_t first_ids[] = {0, 0, 0, 1, 500, UINT64_C(1) << 40};
    struct scenario *scenario = &world->scenario;
    struct sse_registry_options *options = &scenario->options;

    *options = (struct sse_registry_options){.size = sizeof(*options), .platform = &world->fake.platform};
    scenario->history = chance_percent(world, 88);
    if (scenario->history) {
        options->history.events = PICK(world, 1, 2, 3, 5, 8, 20, 1000, 1000, 1000);
        options->history.bytes = PICK(world, 0, 0, 0, 100, 400, 900, 2000);
        options->topic_history.events = PICK(world, 0, 0, 1, 2, 5);
        options->topic_history.bytes = PICK(world, 0, 0, 0, 250, 700);
        options->history_age_ms = (int64_t)PICK(world, 0, 0, 0, 5, 200, 20000);
    }
    options->backlog_bytes = PICK(world, 0, 0, 0, 200, 1000, 5000);
    options->emitters_max = PICK(world, 0, 0, 0, 1, 2, 4);
    options->topic_emitters_max = PICK(world, 0, 0, 0, 1, 2, 4);
    options->admission = (enum sse_admission)chance_below(world, 2);
    options->first_id = first_ids[chance_below(world, sizeof(first_ids) / sizeof(first_ids[0]))];
    if (chance_percent(world, 60))
        options->id_prefix = sse_str(chance_percent(world, 50) ? "e" : "20240501-2");
    if (chance_percent(world, 50))
        options->gap_type = sse_str("lost events");
}

static void draw_scenario(struct world *world)
{
    struct scenario *scenario = &world->scenario;

    draw_registry(world);
    scenario->given_ids = chance_percent(world, scenario->history ? 35 : 70);
    scenario->empty_ids = scenario->given_ids && chance_percent(world, 10);
    scenario->repeated_ids = scenario->given_ids && chance_percent(world, 10);
    scenario->shared_ids = scenario->given_ids && !scenario->repeated_ids && chance_percent(world, 20);
    scenario->nests = chance_percent(world, 50) ? 5 + (unsigned)chance_below(world, 20) : 0;
    scenario->fails = chance_percent(world, 30) ? 2 + (unsigned)chance_below(world, 10) : 0;
    scenario->steps = 30 + (unsigned)chance_below(world, 70);
    scenario->loops = 1 + (unsigned)chance_below(world, LOOPS_MAX);
    scenario->lazy = chance_percent(world, 50) ? (unsigned)chance_below(world, 80) : 0;
    scenario->clients = 1 + (unsigned)chance_below(world, chance_percent(world, 95) ? 5 : CLIENTS_MAX);
    for (unsigned i = 0; i < scenario->clients; i++) {
        world->clients[i].topics = (unsigned)chance_below(world, 1U << TOPIC_COUNT);
        world->clients[i].disordered = scenario->shared_ids || scenario->repeated_ids;
    }
}

/* If no prefix is given, it is in the first id that the registry assigns. */
static void learn_prefix(struct world *world)
{
    const struct sse_event event = {.data = sse_str("the first")};
    struct sse_delivery delivery;
    struct sse_text given = world->scenario.options.id_prefix;

    if (given.ptr)
        memcpy(world->id_prefix, given.ptr, given.len);
    if (!world->scenario.history)
        return;
    expect_equal(world, 0, (uint64_t)sse_registry_publish(world->registry, topic_name(0), &event, &delivery),
                 "result of the first publish");
    expect(world, strlen(delivery.id) > 17, "the id \"%s\"", delivery.id);
    if (!given.ptr)
        memcpy(world->id_prefix, delivery.id, strlen(delivery.id) - 17);
    (void)record_new(world, 0, &event, 1);
    expect(world, same_text(world->records[world->record_count - 1].id, sse_str(delivery.id)),
           "the id \"%s\"", delivery.id);
    history_add(world, &world->history, world->record_count - 1);
    world->stats.published++;
}

static void open_loops(struct world *world)
{
    for (size_t i = 0; i < world->scenario.loops; i++) {
        world->loops[i].world = world;
        world->loops[i].number = i;
        loop_open(&world->loops[i]);
    }
}

static uint64_t read_clock(void *user)
{
    struct fake_platform *fake = user;
    struct world *world = (struct world *)(void *)((char *)fake - offsetof(struct world, fake));

    world->readings++;
    return world_now(world);
}

static void begin(struct world *world, uint64_t seed)
{
    bool verbose = world->verbose;

    /* The arena need not be cleared. */
    memset(world, 0, offsetof(struct world, arena));
    memset((char *)world + offsetof(struct world, arena_used), 0,
           sizeof(*world) - offsetof(struct world, arena_used));
    world->verbose = verbose;
    world->chance = world->seed = seed;
    world->doing = "the beginning";
    fake_platform_init(&world->fake);
    world->fake.platform.now = read_clock;
    atomic_store(&world->fake.random, chance_bits(world) | 1);
    draw_scenario(world);
    world->sequence = world->history.lost = first_sequence(world) - 1;
    narrate(
        world,
        "history %zu events %zu bytes, of a topic %zu and %zu, age %lld ms; budget %zu; caps %zu and %zu; "
        "%u loops",
        world->scenario.options.history.events, world->scenario.options.history.bytes,
        world->scenario.options.topic_history.events, world->scenario.options.topic_history.bytes,
        (long long)world->scenario.options.history_age_ms, world->scenario.options.backlog_bytes,
        world->scenario.options.emitters_max, world->scenario.options.topic_emitters_max,
        world->scenario.loops);
    expect_equal(world, 0, (uint64_t)sse_registry_new(&world->registry, &world->scenario.options),
                 "result of sse_registry_new");
    learn_prefix(world);
    open_loops(world);
}

static void let_flow(struct connection *connection)
{
    connection->mood = MOOD_FAST;
    connection->error_percent = 0;
    if (connection_is_usable(connection) && connection->paused)
        start(connection);
}

/* Every queued event is written or read. */
static void flow(struct world *world)
{
    for (size_t i = 0; i < world->connection_count; i++)
        let_flow(world->connections[i]);
    for (int rounds = 0; rounds < 3; rounds++) {
        serve_loops(world);
        for (size_t i = 0; i < world->connection_count; i++) {
            struct connection *connection = world->connections[i];

            for (int tries = 0;
                 connection_is_usable(connection) && connection_queued(connection) && tries < 50; tries++) {
                drive(connection, 4096);
                audit(world);
            }
        }
    }
    serve_loops(world);
}

/* Every disconnected client reconnects, and reads to the end. */
static void come_back(struct world *world)
{
    for (unsigned i = 0; i < world->scenario.clients; i++) {
        struct client *client = &world->clients[i];
        struct connection *connection = client->connection;

        if (connection) {
            client_leave(client, world, connection->received_size);
            if (connection->owned)
                close_connection(connection);
        }
        if (!world->shut_down)
            client_connect(world, client);
        audit(world);
    }
    flow(world);
    audit(world);
}

static void check_clients(struct world *world)
{
    for (unsigned i = 0; i < world->scenario.clients; i++) {
        struct client *client = &world->clients[i];
        struct connection *connection = client->connection;
        bool settled = connection && connection->owned && connection->member && !world->shut_down &&
                       connection->state == SSE_STATE_OPEN && !connection_backlog(connection);

        if (connection)
            client_leave(client, world, connection->received_size);
        if (settled)
            client_check(client, world);
    }
}

static void look_after_readers(struct world *world)
{
    for (size_t i = 0; i < world->connection_count; i++) {
        struct connection *connection = world->connections[i];

        if (!connection->looped && connection_is_usable(connection) && connection_is_pull(connection))
            look(connection);
    }
}

static void finish_shutdown(struct world *world)
{
    if (chance_percent(world, 25) && !world->shut_down)
        shut_down(world);
    if (!world->shut_down)
        return;
    audit(world);
    if (world->shutdown_end > world_now(world))
        atomic_fetch_add(&world->fake.now, world->shutdown_end - world_now(world));
    serve_loops(world);
    look_after_readers(world);
    expect_equal(world, 0, count_members(world, BROADCAST), "members after the time of the shutdown");
}

static void release_connection(struct connection *connection)
{
    if (connection->owned)
        close_connection(connection);
    while (connection->refs)
        release_reference(connection);
}

static void release_registry(struct world *world)
{
    struct sse_registry *registry = world->registry;

    narrate(world, "the registry is released");
    world->registry = NULL;
    sse_registry_unref(registry);
    sync_all(world);
}

/* The server releases everything in any order. */
static void release_all(struct world *world)
{
    size_t loops = world->scenario.loops, count = world->connection_count + loops + 1;
    size_t order[CONNECTIONS_MAX + LOOPS_MAX + 1];

    for (size_t i = 0; i < count; i++) {
        size_t other = chance_below(world, i + 1);

        order[i] = order[other];
        order[other] = i;
    }
    for (size_t i = 0; i < count; i++) {
        if (order[i] == count - 1)
            release_registry(world);
        else if (order[i] >= loops)
            release_connection(world->connections[order[i] - loops]);
        else if (world->loops[order[i]].loop)
            loop_close(&world->loops[order[i]]);
        if (chance_percent(world, 10))
            serve_loops(world);
        audit(world);
    }
}

/* So that the clients do not all reconnect at once. */
static void check_retries(struct world *world)
{
    bool wide = world->retry_max - world->retry_min > 1000;

    expect(world, world->retries < 4 || !wide || world->retries_differ, "%u clients come back after %lld ms",
           world->retries, (long long)world->retry_first);
}

static void end(struct world *world)
{
    world->doing = "the end";
    world->quiet = true;
    world->scenario.fails = 0;
    come_back(world);
    come_back(world);
    check_clients(world);
    finish_shutdown(world);
    audit(world);
    check_retries(world);
    release_all(world);
    for (size_t i = 0; i < world->connection_count; i++) {
        struct connection *connection = world->connections[i];

        expect(world, !connection->emitter, "connection %zu was not released", i);
        expect(world, connection->settled, "connection %zu has no completion record", i);
        connection_free(connection);
    }
    expect_equal(world, 0, atomic_load(&world->fake.blocks), "blocks of memory that are left");
}

void world_run(struct world *world, uint64_t seed)
{
    begin(world, seed);
    world->doing = "a step";
    for (world->step = 1; world->step <= world->scenario.steps; world->step++) {
        narrate(world, "-- step %u", world->step);
        step(world);
    }
    end(world);
}
