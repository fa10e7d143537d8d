/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <errno.h>

/* Single actions of the server, the clients and time. */

#define DEPTH_MAX 4

/* A connection that the server may call, or NULL. */
static struct connection *draw_connection(struct world *world)
{
    for (int tries = 0; tries < 10 && world->connection_count; tries++) {
        size_t recent = world->connection_count < 12 ? world->connection_count : 12;
        struct connection *connection =
            world->connections[world->connection_count - 1 - chance_below(world, recent)];

        if (connection_is_usable(connection))
            return connection;
    }
    return NULL;
}

/* Subscribes an emitter to another topic: without an id from now on, with an id also to earlier events. */
static void subscribe_more(struct connection *connection)
{
    struct world *world = connection->world;
    struct client *client = client_of(connection);
    struct request request = {.asked = 1U << chance_below(world, TOPIC_COUNT)};

    if (!connection->registered || !client || !records_have_room(world) || !world->registry)
        return;
    if (chance_percent(world, 30) && client->last_id_size) {
        request.id = arena_format(world, "%.*s", (int)client->last_id_size, client->last_id);
        client->disordered = true;
    }
    if (!subscribe(connection, &request))
        client->topics |= request.asked;
}

/* The output has room again, or the reader comes. */
void drive(struct connection *connection, size_t size)
{
    if (connection_is_socket(connection))
        socket_read(connection, size);
    if (connection_is_pull(connection))
        pull(connection, size);
    else if (connection_is_socket(connection) && !connection->looped && chance_percent(connection->world, 30))
        look(connection);
    else
        flush(connection);
}

/* The client disconnects. Its server learns that at once, later, or by an error. */
static void client_breaks(struct client *client, struct world *world)
{
    struct connection *connection = client->connection;
    size_t received = connection->received_size;

    if (!connection->completions || connection->error)
        received -= chance_percent(world, 50) ? 0 : chance_below(world, received + 1);
    client_leave(client, world, received);
    if (connection_is_usable(connection) && chance_percent(world, 40))
        break_off(connection);
    else if (connection_is_socket(connection))
        socket_break(connection);
    else
        connection->error_percent = 70;
    if (connection->owned && chance_percent(world, 60))
        close_connection(connection);
}

static void connect_alone(struct world *world)
{
    struct request request = {.asked = 0};

    if (world->connection_count < CONNECTIONS_MAX && records_have_room(world))
        (void)connection_open(world, false, &request);
}

static void act_on(struct world *world, size_t action, struct connection *connection)
{
    if (!connection)
        return;
    if (action < 14)
        send_direct(connection);
    else if (action < 19)
        complete(connection);
    else if (action < 23)
        break_off(connection);
    else if (action < 27 && connection->owned)
        close_connection(connection);
    else if (action < 29)
        change_references(connection);
    else if (action < 33 && connection->registered)
        unsubscribe(connection);
    else if (action < 38)
        subscribe_more(connection);
    else if (action < 42)
        ping(connection);
    else if (action < 52)
        start(connection);
    else if (action < 53 && connection_is_pull(connection))
        interrupt(connection);
    else if (action < 66)
        connection->mood = (enum mood)chance_below(world, 3);
    else
        drive(connection, 1 + chance_below(world, chance_percent(world, 30) ? 40 : 2000));
}

static void act_for_client(struct world *world, struct client *client)
{
    if (!client->connection)
        client_connect(world, client);
    else if (client->connection->paused && chance_percent(world, 60))
        start(client->connection);
    else if (client->connection->completions || chance_percent(world, 20))
        client_breaks(client, world);
}

/* Without a loop an owner calls from time to time. */
void serve_alone(struct world *world, unsigned percent)
{
    for (size_t i = 0; i < world->connection_count; i++) {
        struct connection *connection = world->connections[i];

        if (connection->looped || !connection_is_usable(connection) || !chance_percent(world, percent))
            continue;
        drive(connection, 4096);
        audit(world);
    }
}

/* Due loops usually take their turns. A loop may also take one for no reason. */
static void turn_loops(struct world *world)
{
    for (size_t i = 0; i < world->scenario.loops; i++) {
        struct loop *loop = &world->loops[i];

        if (!loop->loop || chance_percent(world, world->scenario.lazy))
            continue;
        loop_turn(loop);
        audit(world);
    }
}

static void turn_one(struct world *world)
{
    struct loop *loop = loop_draw(world);

    if (loop)
        loop_turn(loop);
}

static void advance_clock(struct world *world)
{
    static const unsigned ranges[] = {2, 20, 200, 2000, 20000};
    uint64_t by = chance_below(world, ranges[chance_below(world, 5)]);
    const struct loop *loop = loop_draw(world);

    if (loop && loop->due != NEVER && loop->due > world_now(world) && chance_percent(world, 40))
        by = (loop->due - world_now(world)) / MILLISECOND;
    narrate(world, "%llu ms pass", (unsigned long long)by);
    fake_platform_advance_ms(&world->fake, by);
    if (chance_percent(world, 85))
        turn_loops(world);
    if (chance_percent(world, 50))
        serve_alone(world, 50);
}

/** A walk over a topic. */
struct walk {
    struct world *world;
    int topic;
    size_t count;
    size_t stop_at;
    bool seen[CONNECTIONS_MAX];
};

static int visit(struct sse_emitter *emitter, void *user)
{
    struct connection *connection = sse_emitter_user(emitter);
    struct walk *walk = user;

    walk->world->depth++;
    walk->world->calls++;
    fail_suspend(walk->world);
    expect(walk->world, !walk->seen[connection->number], "connection %zu: visited twice", connection->number);
    walk->seen[connection->number] = true;
    if (connection_is_usable(connection) && chance_percent(walk->world, 5))
        complete(connection);
    walk->world->depth--;
    return ++walk->count == walk->stop_at ? 7 : 0;
}

static void visit_all(struct world *world)
{
    struct walk walk = {.world = world, .topic = (int)chance_below(world, TOPIC_COUNT + 1)};
    size_t members, expected;
    bool failed;
    int result;

    sync_all(world);
    members = count_members(world, walk.topic);
    walk.stop_at = chance_percent(world, 20) ? 1 : 0;
    expected = walk.stop_at && members ? 1 : members;
    fail_begin(world);
    result = sse_registry_each(world->registry, topic_name(walk.topic), visit, &walk);
    failed = fail_end(world);
    if (failed && result == -ENOMEM)
        expected = 0;
    else
        expect_equal(world, walk.stop_at && members ? 7 : 0, (uint64_t)result, "result of a walk");
    expect_equal(world, expected, walk.count, "emitters visited");
}

static void act_on_loops(struct world *world)
{
    struct loop *loop = &world->loops[chance_below(world, world->scenario.loops)];

    if (!loop->loop)
        loop_open(loop);
    else if (loop->inside && !loop->freeing)
        loop_nest(loop);
    else if (!loop->inside && chance_percent(world, 30))
        loop_close(loop);
    else if (!loop->inside && chance_percent(world, 10))
        loop_finish(loop);
}

/* Draws one after the other, so that every compiler gets the same numbers. */
static void act_on_any(struct world *world)
{
    struct connection *connection = draw_connection(world);

    act_on(world, chance_below(world, 100), connection);
}

void step(struct world *world)
{
    size_t action = chance_below(world, 100);

    if (action < 30)
        publish(world, (int)chance_below(world, TOPIC_COUNT + 1));
    else if (action < 49)
        act_for_client(world, &world->clients[chance_below(world, world->scenario.clients)]);
    else if (action < 51)
        connect_alone(world);
    else if (action < 76)
        act_on_any(world);
    else if (action < 86)
        turn_one(world);
    else if (action < 94)
        advance_clock(world);
    else if (action < 96)
        serve_alone(world, 50);
    else if (action < 97)
        visit_all(world);
    else if (action < 98)
        act_on_loops(world);
    else if (chance_percent(world, 20))
        complete_many(world);
    else if (chance_percent(world, 20) && !world->shut_down)
        shut_down(world);
    audit(world);
}

static void connect_one(struct world *world)
{
    struct client *client = &world->clients[chance_below(world, world->scenario.clients)];

    if (chance_percent(world, 20))
        connect_alone(world);
    else if (!client->connection)
        client_connect(world, client);
}

/* The emitter in whose callback it happens, or another one. */
static void act_on_one(struct world *world, struct connection *self)
{
    struct connection *connection = chance_percent(world, 50) ? self : draw_connection(world);

    if (connection_is_usable(connection ? connection : self))
        act_on(world, chance_below(world, 100), connection ? connection : self);
}

static void act_on_all(struct world *world)
{
    if (!world->registry)
        return;
    if (chance_percent(world, 50))
        visit_all(world);
    else if (chance_percent(world, 50))
        complete_many(world);
    else if (!world->shut_down && chance_percent(world, 30))
        shut_down(world);
}

void nested_step(struct world *world, struct connection *self)
{
    if (world->quiet || world->depth > DEPTH_MAX || !chance_percent(world, world->scenario.nests))
        return;
    world->nested++;
    if (chance_percent(world, 40))
        publish(world, (int)chance_below(world, TOPIC_COUNT + 1));
    else if (chance_percent(world, 12))
        connect_one(world);
    else if (chance_percent(world, 4))
        act_on_all(world);
    else if (chance_percent(world, 2))
        act_on_loops(world);
    else
        act_on_one(world, self);
}
