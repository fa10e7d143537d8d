/* SPDX-License-Identifier: MIT */
#include "api.h"

#include <stdlib.h>

/* Registries: publishing, subscribing, walking, ending. */

static void make_registry(struct world *world, struct registry *registry)
{
    static const size_t budgets[] = {0, 0, 0, 300, 2000, 100000};
    static const int errors[] = {-EINVAL, 0};
    struct fuzz_input *input = &world->input;
    struct sse_registry_options options = {.size = sizeof(options), .platform = &world->fake.platform};
    unsigned flags = fuzz_byte(input);
    int error;

    options.history.events = flags & 1 ? 1 + fuzz_below(input, 12) : 0;
    options.history.bytes = flags & 2 ? 300 + 10 * (size_t)fuzz_byte(input) : 0;
    options.topic_history.events = flags & 4 ? 1 + fuzz_below(input, 4) : 0;
    options.history_age_ms = flags & 8 ? 1000 : 0;
    options.gap_type = flags & 16 ? sse_str("gap") : options.gap_type;
    options.backlog_bytes = budgets[fuzz_below(input, 6)];
    options.emitters_max = flags & 32 ? 1 + fuzz_below(input, 4) : 0;
    options.topic_emitters_max = flags & 64 ? 1 + fuzz_below(input, 3) : 0;
    options.admission = flags & 128 ? SSE_ADMISSION_EVICT_OLDEST : SSE_ADMISSION_REFUSE;
    if (fuzz_one_in(input, 8))
        options.id_prefix = sse_str("0");
    if (fuzz_one_in(input, 32))
        options.history_age_ms = -1;
    enter(world, IN_OTHER, registry, "sse_registry_new");
    error = sse_registry_new(&registry->registry, &options);
    leave(world);
    expect_result(world, "sse_registry_new", error, errors);
    fuzz_expect(!error == !!registry->registry, "a registry and an error, or neither");
    registry->number = world->registry_count++;
    registry->has_history = flags & 1;
    registry->shut_down = false;
    registry->added = registry->published = registry->queued = 0;
}

/* A history refuses an id that looks like an assigned one. */
static void expect_published(const struct registry *registry, int wrong, int result)
{
    static const int errors[] = {-EBADMSG, -EINVAL, -EMSGSIZE, 0}, without_history[] = {-EBADMSG, -EMSGSIZE, 0};

    if (wrong)
        fuzz_expect(result == wrong || result == -EBADMSG ||
                        (registry->has_history && result == -EINVAL),
                    "publish gives %d, not %d", result, wrong);
    else
        expect_result(registry->world, "publish", result, registry->has_history ? errors : without_history);
}

static void count_published(struct registry *registry, size_t members, const struct sse_delivery *delivery)
{
    struct world *world = registry->world;

    fuzz_expect(delivery->receivers + delivery->dropped + delivery->ended <= members,
                "%zu receivers, %zu dropped, %zu ended of %zu", delivery->receivers, delivery->dropped,
                delivery->ended, members);
    registry->published++;
    registry->queued += delivery->receivers;
    if (delivery->id[0])
        memcpy(world->ids[world->id_count++ % IDS_MAX], delivery->id, sizeof(delivery->id));
}

/* Chooses a topic, or everyone: then *number is TOPICS. */
static struct sse_text draw_audience(struct world *world, unsigned *number)
{
    struct sse_text topic = {.ptr = NULL};
    unsigned mask = 0;

    *number = TOPICS;
    if (fuzz_below(&world->input, 4))
        topic = draw_topic(world, &mask);
    for (unsigned i = 0; i < TOPICS; i++)
        if (mask >> i & 1)
            *number = i;
    return topic;
}

static void publish(struct registry *registry)
{
    struct world *world = registry->world;
    struct sse_delivery delivery;
    struct sse_event event;
    unsigned number;
    struct sse_text topic = draw_audience(world, &number);
    int wrong = draw_event(world, &event, 'p', registry->number, number), result;
    size_t members = sse_registry_count(registry->registry, topic);

    enter(world, IN_OTHER, registry, "sse_registry_publish");
    result = sse_registry_publish(registry->registry, topic, &event, &delivery);
    leave(world);
    expect_published(registry, wrong, result);
    if (!result)
        count_published(registry, members, &delivery);
}

static void publish_message(struct registry *registry)
{
    struct world *world = registry->world;
    struct sse_message *message = world->messages[fuzz_below(&world->input, MESSAGES_MAX)];
    struct sse_delivery delivery;
    unsigned number;
    struct sse_text topic = draw_audience(world, &number);
    size_t members = sse_registry_count(registry->registry, topic);
    int result;

    enter(world, IN_OTHER, registry, "sse_registry_publish_message");
    result = sse_registry_publish_message(registry->registry, topic, message, &delivery);
    leave(world);
    expect_published(registry, message ? 0 : -EINVAL, result);
    if (!result)
        count_published(registry, members, &delivery);
}

/* Returns an emitter that the program may use, or NULL. */
static struct client *draw_client(struct world *world)
{
    struct client *client;

    if (!world->client_count)
        return NULL;
    client = world->clients[fuzz_byte(&world->input) % world->client_count];
    return is_usable(client) ? client : NULL;
}

static void subscribe(struct registry *registry)
{
    static const int errors[] = {-EBADMSG, -ENOENT, -EAGAIN, -ECONNREFUSED, 0};
    struct world *world = registry->world;
    struct client *client = draw_client(world);
    struct sse_emitter_info info;
    struct sse_text topics[2], id;
    struct sse_replay replay;
    unsigned first, second;
    int result;

    if (!client)
        return;
    topics[0] = draw_topic(world, &first);
    topics[1] = draw_topic(world, &second);
    id = draw_id(world);
    info = look(client);
    enter(world, IN_OTHER, registry, "sse_registry_subscribe");
    result = sse_registry_subscribe(registry->registry, client->emitter, topics, 2, id, &replay);
    leave(world);
    if (info.state == SSE_STATE_OPEN || result != end_error(&info))
        expect_result(world, "subscribe", result, errors);
    if (result)
        return;
    fuzz_expect(client->registry_number == registry->number, "client %zu: subscribed to another registry",
                client->number);
    client->topics |= first | second;
    client->disordered |= id.len > 0;
}

static void unsubscribe(struct registry *registry)
{
    static const int errors[] = {-EBADMSG, -ENOENT, 0};
    struct world *world = registry->world;
    struct client *client = draw_client(world);
    struct sse_text topic;
    unsigned mask;

    if (!client)
        return;
    topic = draw_topic(world, &mask);
    enter(world, IN_OTHER, registry, "sse_registry_unsubscribe");
    expect_result(world, "unsubscribe",
                  sse_registry_unsubscribe(registry->registry, client->emitter, &topic, 1), errors);
    leave(world);
}

static void complete_topic(struct registry *registry)
{
    static const int errors[] = {-EBADMSG, 0};
    struct world *world = registry->world;
    unsigned number;
    struct sse_text topic = draw_audience(world, &number);

    enter(world, IN_OTHER, registry, "sse_registry_complete");
    expect_result(world, "complete", sse_registry_complete(registry->registry, topic), errors);
    leave(world);
}

#define STOPS 7

static int visit(struct sse_emitter *emitter, void *user)
{
    struct registry *registry = user;
    struct world *world = registry->world;
    struct client *client = sse_emitter_user(emitter);
    int result;

    fuzz_expect(client->made && !client->releases && client->registry_number == registry->number,
                "client %zu: visited", client->number);
    callback_begin(world, client);
    result = fuzz_one_in(&world->input, 16) ? STOPS : 0;
    callback_end(world);
    return result;
}

static void walk(struct registry *registry)
{
    static const int errors[] = {-EBADMSG, STOPS, 0};
    struct world *world = registry->world;
    unsigned number;
    struct sse_text topic = draw_audience(world, &number);
    int result;

    registry->inside++;
    enter(world, IN_WALK, registry, "sse_registry_each");
    result = sse_registry_each(registry->registry, topic, visit, registry);
    leave(world);
    registry->inside--;
    expect_result(world, "a walk", result, errors);
}

static void shut_down(struct registry *registry)
{
    static const int errors[] = {-EALREADY, -ERANGE, -EINVAL, 0};
    static const int64_t times[] = {0, 1, 10, 1000, -1, INT64_MAX};
    struct world *world = registry->world;
    struct fuzz_input *input = &world->input;
    const struct sse_event final_event = {.type = sse_str("final"), .data = sse_str("bye")};
    struct sse_shutdown_options options = {.size = sizeof(options)};
    int result;

    options.final_event = fuzz_one_in(input, 2) ? &final_event : NULL;
    options.drain_ms = times[fuzz_below(input, 6)];
    options.retry_min_ms = times[fuzz_below(input, 4)];
    options.retry_max_ms = times[fuzz_below(input, 6)];
    enter(world, IN_OTHER, registry, "sse_registry_shutdown");
    result = sse_registry_shutdown(registry->registry, &options);
    leave(world);
    expect_result(world, "shutdown", result, errors);
    fuzz_expect(result || !registry->shut_down, "a second shutdown");
    registry->shut_down |= !result;
}

static void look_at_registry(struct registry *registry)
{
    struct sse_registry_stats stats;
    int result = sse_registry_wait(registry->registry, 0);

    fuzz_expect(!sse_registry_get_stats(registry->registry, &stats, sizeof(stats)), "no stats");
    fuzz_expect(result == (stats.remaining ? -ETIMEDOUT : 0), "waiting for %zu gives %d", stats.remaining,
                result);
    fuzz_expect(stats.emitters == sse_registry_count(registry->registry, sse_str(NULL)) &&
                    stats.emitters <= stats.remaining,
                "%zu emitters, %zu remaining", stats.emitters, stats.remaining);
    fuzz_expect(stats.shutting_down == registry->shut_down, "the shutdown is not told");
    fuzz_expect(registry->has_history || (!stats.history_events && !stats.history_bytes), "a history");
}

static void release(struct registry *registry)
{
    struct sse_registry *released = registry->registry;

    if (registry->inside)
        return;
    registry->registry = NULL;
    enter(registry->world, IN_OTHER, registry, "sse_registry_unref");
    sse_registry_unref(released);
    leave(registry->world);
}

void call_registry(struct world *world)
{
    static void (*const calls[])(struct registry * registry) = {
        publish,   publish,   publish,     publish,        publish, publish, publish_message,
        subscribe, subscribe, unsubscribe, complete_topic, walk,    walk,    look_at_registry,
    };
    struct registry *registry = &world->registries[fuzz_below(&world->input, REGISTRIES_MAX)];
    unsigned which = fuzz_below(&world->input, 32);

    if (!registry->registry)
        make_registry(world, registry);
    else if (which == 31)
        shut_down(registry);
    else if (which == 30)
        release(registry);
    else
        calls[which % (sizeof(calls) / sizeof(calls[0]))](registry);
}

/* Every emitter is released. */
void registry_end(struct registry *registry)
{
    struct sse_registry_stats stats;
    uint64_t ended = 0;

    if (!registry->registry)
        return;
    look_at_registry(registry);
    (void)sse_registry_get_stats(registry->registry, &stats, sizeof(stats));
    for (size_t i = 0; i < SSE_REASON_COUNT_MAX; i++)
        ended += stats.ended_by[i];
    fuzz_expect(!stats.emitters && !stats.remaining && !stats.backlog_bytes,
                "in the end %zu emitters, %zu remaining, %zu bytes queued", stats.emitters, stats.remaining,
                stats.backlog_bytes);
    fuzz_expect(stats.added == registry->added && ended == registry->added,
                "%llu emitters, %llu counted, %llu ended", (unsigned long long)registry->added,
                (unsigned long long)stats.added, (unsigned long long)ended);
    fuzz_expect(stats.published == registry->published && stats.queued == registry->queued,
                "%llu published, %llu counted; %llu queued, %llu counted",
                (unsigned long long)registry->published, (unsigned long long)stats.published,
                (unsigned long long)registry->queued, (unsigned long long)stats.queued);
    release(registry);
}
