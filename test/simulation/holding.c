/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <errno.h>

/* Writing that is held back: until the last release, or until it is too much, nothing that is published is
 * written of the library's own accord. */

/* What a socket takes at once. */
#define HELD_BYTES_MAX ((size_t)64 << 10)
#define HELD_MESSAGES_MAX 1024

static void lower(size_t *limit, size_t value)
{
    if (value < *limit)
        *limit = value;
}

static void note_limits(struct held_limits *limits, const struct sse_emitter_options *options)
{
    lower(&limits->bytes, (options->queue_bytes ? options->queue_bytes : (size_t)1 << 20) / 2);
    lower(&limits->messages, (options->queue_messages ? options->queue_messages : 4096) / 2);
}

static bool is_full(const struct holding *holding, const struct held_limits *limits)
{
    return holding->bytes >= limits->bytes || holding->messages >= limits->messages;
}

void holding_init(struct holding *holding)
{
    holding->least = holding->most = (struct held_limits){HELD_BYTES_MAX, HELD_MESSAGES_MAX};
}

void holding_joins(struct connection *connection)
{
    note_limits(&connection->world->holding.least, &connection->options);
}

void holding_joined(struct connection *connection)
{
    note_limits(&connection->world->holding.most, &connection->options);
}

void holding_written(struct holding *holding)
{
    holding->written++;
    holding->bytes = holding->messages = 0;
    holding->any = holding->unsure = false;
    memset(holding->waits, 0, sizeof(holding->waits));
}

bool holding_add(struct holding *holding, const struct record *record)
{
    holding->bytes += record_wire_size(record, true);
    holding->messages++;
    if (!holding->unsure && is_full(holding, &holding->most)) {
        holding_written(holding);
        return true;
    }
    /* One that was refused may have lowered the limits. */
    holding->unsure |= is_full(holding, &holding->least);
    return false;
}

bool connection_waits(const struct connection *connection)
{
    return connection->world->holding.waits[connection->number];
}

void hold(struct world *world)
{
    narrate(world, "hold");
    world->holding.holds++;
    expect_equal(world, 0, (uint64_t)sse_registry_hold(world->registry), "result of a hold");
}

/* By the last release, or by a flush. */
static void write_all(struct world *world, int (*call)(struct sse_registry *registry))
{
    bool inside = world->publishing;

    world->publishing = true;
    if (!inside)
        world->publishing_depth = world->depth;
    holding_written(&world->holding);
    fail_begin(world);
    expect_equal(world, 0, (uint64_t)call(world->registry), "result of writing what is held");
    (void)fail_end(world);
    if (!inside)
        world->publishing = false;
}

void release(struct world *world)
{
    struct holding *holding = &world->holding;
    bool last = holding->holds == 1, inside = world->publishing;
    uint64_t calls = world->calls;

    narrate(world, "release, of %u", holding->holds);
    requests_resolve(world);
    if (!holding->holds) {
        expect_equal(world, (uint64_t)-EALREADY, (uint64_t)sse_registry_release(world->registry),
                     "result of a release of nothing");
        return;
    }
    holding->holds--;
    if (last) {
        write_all(world, sse_registry_release);
    } else {
        world->woken &= !holding->any || holding->unsure;
        expect_equal(world, 0, (uint64_t)sse_registry_release(world->registry), "result of a release");
        expect(world, world->woken || !world->scenario.wakes || !holding->any || holding->unsure,
               "a release leaves events held, and the host sleeps");
    }
    expect(world, (last && !inside) || calls == world->calls, "a release calls back before its time");
}

void flush_held(struct world *world)
{
    unsigned holds = world->holding.holds;
    bool inside = world->publishing;
    uint64_t calls = world->calls;

    narrate(world, "flush of what %u hold", holds);
    requests_resolve(world);
    if (holds == 1)
        write_all(world, sse_registry_flush);
    else
        expect_equal(world, holds ? 0 : (uint64_t)-EALREADY, (uint64_t)sse_registry_flush(world->registry),
                     "result of a flush of what others hold too, or nobody");
    expect(world, (holds == 1 && !inside) || calls == world->calls, "a flush calls back before its time");
}
