/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <stdlib.h>

/* The model of the history: what the bounds leave of what was published. */

/* What an event costs beside its text: the library alone knows. */
static size_t overhead;

void history_learn_overhead(void)
{
    const struct sse_event event = {.id = sse_str("1"), .data = sse_str("the first")};
    struct sse_registry_options options = {.size = sizeof(options), .history.events = 1};
    struct sse_registry_stats stats = {.size = sizeof(stats)};
    struct sse_registry *registry;

    if (sse_registry_new(&registry, &options) || sse_registry_broadcast(registry, &event, NULL) ||
        sse_registry_stats(registry, &stats))
        abort();
    overhead = stats.history_bytes - strlen("data: the first\nid: 1\n\n");
    sse_registry_unref(registry);
}

static size_t cost(const struct record *record)
{
    return record->size + record->events[0].key.len + overhead;
}

static bool is_held(const struct world *world, const struct history *history, size_t index)
{
    const struct record *record = &world->records[index];

    return record->kept && index >= history->first[record->topic];
}

bool history_holds(const struct world *world, size_t index)
{
    return is_held(world, &world->history, index);
}

size_t history_oldest(const struct world *world, int topic)
{
    size_t index = world->history.first[topic];

    while (index < world->record_count &&
           !(world->records[index].kept && world->records[index].topic == topic))
        index++;
    return index < world->record_count ? index : RECORDS_MAX;
}

static void drop_oldest(const struct world *world, struct history *history, int topic)
{
    size_t index = history->first[topic];
    const struct record *record;

    while (!world->records[index].kept || world->records[index].topic != topic)
        index++;
    record = &world->records[index];
    history->first[topic] = index + 1;
    history->count[topic]--;
    history->bytes[topic] -= cost(record);
    history->all_count--;
    history->all_bytes -= cost(record);
    if (record->sequence > history->lost)
        history->lost = record->sequence;
}

static size_t bound(size_t of_topic, size_t of_all)
{
    return of_topic ? of_topic : of_all;
}

static int largest_topic(struct history *history)
{
    int largest = 0;
    bool tie = false;

    for (int topic = 1; topic <= TOPIC_COUNT; topic++) {
        if (history->bytes[topic] > history->bytes[largest]) {
            largest = topic;
            tie = false;
        } else {
            tie |= history->bytes[topic] == history->bytes[largest];
        }
    }
    history->tie |= tie;
    return largest;
}

void history_add(const struct world *world, struct history *history, size_t index)
{
    const struct sse_registry_options *options = &world->scenario.options;
    const struct record *record = &world->records[index];
    size_t bytes_max = options->history.bytes ? options->history.bytes : (size_t)16 << 20;
    int topic = record->topic;

    history->count[topic]++;
    history->bytes[topic] += cost(record);
    history->all_count++;
    history->all_bytes += cost(record);
    while (history->count[topic] > bound(options->topic_history.events, options->history.events) ||
           history->bytes[topic] > bound(options->topic_history.bytes, bytes_max))
        drop_oldest(world, history, topic);
    while (history->all_count > options->history.events || history->all_bytes > bytes_max)
        drop_oldest(world, history, largest_topic(history));
}

void history_expire(struct world *world)
{
    uint64_t age = (uint64_t)world->scenario.options.history_age_ms * MILLISECOND;

    for (int topic = 0; age && topic <= TOPIC_COUNT; topic++) {
        size_t oldest;

        while ((oldest = history_oldest(world, topic)) < RECORDS_MAX &&
               world->records[oldest].time + age <= world_now(world))
            drop_oldest(world, &world->history, topic);
    }
}

void history_follow(struct world *world)
{
    struct sse_registry_stats stats = {.size = sizeof(stats)};

    (void)sse_registry_stats(world->registry, &stats);
    if (stats.history_events != world->history.all_count)
        history_expire(world);
}

/* The last that came with this id in a topic; 0 for none. */
static uint64_t find_named(const struct world *world, struct sse_str id, int topic)
{
    uint64_t sequence = 0;

    for (size_t i = 0; i < world->record_count; i++) {
        const struct record *record = &world->records[i];

        if (record->topic == topic && history_holds(world, i) && !record->assigned &&
            same_text(record->id, id))
            sequence = record->sequence;
    }
    return sequence;
}

static bool find_assigned(const struct world *world, struct sse_str id, uint64_t *place)
{
    size_t epoch_size = strlen(world->epoch);
    char digits[17];
    char *end;

    if (id.len != epoch_size + 17 || memcmp(id.ptr, world->epoch, epoch_size) || id.ptr[epoch_size] != '-')
        return false;
    memcpy(digits, id.ptr + epoch_size + 1, 16);
    digits[16] = '\0';
    *place = strtoull(digits, &end, 16);
    return !*end && *place <= world->sequence;
}

enum known history_find(const struct world *world, struct sse_str id, unsigned topics, uint64_t *place)
{
    uint64_t earliest = NEVER, elsewhere = 0;
    unsigned others = 0;

    if (!world->scenario.history)
        return KNOWN_NOWHERE;
    for (int topic = 0; topic <= TOPIC_COUNT; topic++) {
        uint64_t found = find_named(world, id, topic);

        if (found && (topic == BROADCAST || (topics >> topic & 1)))
            earliest = found < earliest ? found : earliest;
        else if (found)
            elsewhere = found;
        others += found > 0;
    }
    *place = earliest;
    if (earliest < NEVER || find_assigned(world, id, place))
        return KNOWN_HERE;
    *place = elsewhere;
    return others == 1 ? KNOWN_ELSEWHERE : KNOWN_NOWHERE;
}
