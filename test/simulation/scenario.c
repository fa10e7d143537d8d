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

static void draw_registry(struct world *world)
{
    struct scenario *scenario = &world->scenario;
    struct sse_registry_options *options = &scenario->options;

    *options =
        (struct sse_registry_options){.size = sizeof(*options), .host = &world->fake.host, .user = world};
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
    if (chance_percent(world, 60))
        options->epoch = sse_str(chance_percent(world, 50) ? "e" : "20240501-2");
    if (chance_percent(world, 50))
        options->gap_type = sse_str("lost events");
    scenario->wakes = chance_percent(world, 70);
    options->on_wake = scenario->wakes ? on_wake : NULL;
    options->on_gap = chance_percent(world, 40) ? on_gap : NULL;
    options->on_trace = on_trace;
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
    scenario->holds = chance_percent(world, 40);
    scenario->steps = 30 + (unsigned)chance_below(world, 70);
    scenario->clients = 1 + (unsigned)chance_below(world, chance_percent(world, 95) ? 5 : CLIENTS_MAX);
    for (unsigned i = 0; i < scenario->clients; i++) {
        world->clients[i].topics = (unsigned)chance_below(world, 1U << TOPIC_COUNT);
        world->clients[i].disordered = scenario->shared_ids || scenario->repeated_ids;
    }
}

/* Without an epoch given, the registry's is in the first id that it assigns. */
static void learn_epoch(struct world *world)
{
    const struct sse_event event = {.data = sse_str("the first")};
    struct sse_delivery delivery = {.size = sizeof(delivery)};
    struct sse_str given = world->scenario.options.epoch;

    if (given.ptr)
        memcpy(world->epoch, given.ptr, given.len);
    if (!world->scenario.history)
        return;
    expect_equal(world, 0, (uint64_t)sse_registry_publish(world->registry, topic_name(0), &event, &delivery),
                 "result of the first publish");
    expect(world, strlen(delivery.id) > 17, "the id \"%s\"", delivery.id);
    if (!given.ptr)
        memcpy(world->epoch, delivery.id, strlen(delivery.id) - 17);
    (void)record_new(world, 0, &event, 1);
    expect(world, same_text(world->records[world->record_count - 1].id, sse_str(delivery.id)),
           "the id \"%s\"", delivery.id);
    history_add(world, &world->history, world->record_count - 1);
    world->stats.published++;
}

static void begin(struct world *world, uint64_t seed)
{
    const struct sse_event retry = {.retry_ms = 900};
    bool verbose = world->verbose;

    /* The arena need not be cleared. */
    memset(world, 0, offsetof(struct world, arena));
    memset((char *)world + offsetof(struct world, arena_used), 0,
           sizeof(*world) - offsetof(struct world, arena_used));
    world->verbose = verbose;
    world->chance = world->seed = seed;
    world->doing = "the beginning";
    world->promised = NEVER;
    holding_init(&world->holding);
    fake_host_init(&world->fake);
    atomic_store(&world->fake.random, chance_bits(world) | 1);
    draw_scenario(world);
    narrate(world,
            "history %zu events %zu bytes, of a topic %zu and %zu, age %lld ms; budget %zu; caps %zu and %zu",
            world->scenario.options.history.events, world->scenario.options.history.bytes,
            world->scenario.options.topic_history.events, world->scenario.options.topic_history.bytes,
            (long long)world->scenario.options.history_age_ms, world->scenario.options.backlog_bytes,
            world->scenario.options.emitters_max, world->scenario.options.topic_emitters_max);
    expect_equal(world, 0, (uint64_t)sse_registry_new(&world->registry, &world->scenario.options),
                 "result of sse_registry_new");
    record_new(world, DIRECT, &retry, 1)->counted = 0;
    world->retry_record = 0;
    learn_epoch(world);
}

/* Everybody who is cut off comes back, and reads to the end. */
static void come_back(struct world *world)
{
    for (unsigned i = 0; i < world->scenario.clients; i++) {
        struct client *client = &world->clients[i];
        struct connection *connection = client->connection;

        if (connection) {
            client_leave(client, world, connection->received_size);
            if (connection->held)
                detach(connection);
        }
        if (!world->shut_down)
            client_connect(world, client);
        audit(world, false);
    }
    turn(world);
    audit(world, false);
}

static void check_clients(struct world *world)
{
    for (unsigned i = 0; i < world->scenario.clients; i++) {
        struct client *client = &world->clients[i];
        struct connection *connection = client->connection;
        bool settled = connection && connection->held && connection->member && !connection->was_queued &&
                       connection_is_open(connection) && !world->shut_down;

        if (connection)
            client_leave(client, world, connection->received_size);
        if (settled)
            client_check(client, world);
    }
}

static void finish_shutdown(struct world *world)
{
    if (chance_percent(world, 25) && !world->shut_down)
        shut_down(world);
    if (!world->shut_down)
        return;
    audit(world, false);
    atomic_fetch_add(&world->fake.now, world->shutdown_end - world_now(world) > NEVER / 2
                                           ? 0
                                           : world->shutdown_end - world_now(world));
    tick(world);
    expect_equal(world, 0, count_members(world, BROADCAST), "members after the time of the shutdown");
}

static void close_connections(struct world *world)
{
    for (size_t i = 0; i < world->connection_count; i++) {
        struct connection *connection = world->connections[i];

        if (connection->held && chance_percent(world, 50))
            detach(connection);
        if (connection->held)
            give_back(connection);
    }
}

static void close_registry(struct world *world)
{
    struct sse_registry *registry = world->registry;

    if (world->scenario.holds && chance_percent(world, 50)) {
        hold(world);
        publish(world, (int)chance_below(world, TOPIC_COUNT + 1));
    }
    for (size_t i = 0; i < world->connection_count; i++) {
        connection_left(world->connections[i]);
        world->connections[i]->listed = false;
    }
    holding_written(&world->holding);
    sse_registry_unref(registry);
    world->registry = NULL;
    for (size_t i = 0; i < world->connection_count; i++)
        check_queue(world->connections[i]);
}

static void end(struct world *world)
{
    world->doing = "the end";
    world->quiet = true;
    world->scenario.fails = 0;
    while (world->holding.holds && chance_percent(world, 80))
        release(world);
    come_back(world);
    come_back(world);
    check_clients(world);
    finish_shutdown(world);
    if (chance_percent(world, 50))
        close_connections(world);
    audit(world, false);
    close_registry(world);
    close_connections(world);
    for (size_t i = 0; i < world->connection_count; i++) {
        struct connection *connection = world->connections[i];

        expect(world, !connection->emitter, "connection %zu was not released", i);
        if (!connection->settled)
            stream_settle(connection);
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
