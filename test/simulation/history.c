/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <stdlib.h>

/* The model of the history: which published events the limits leave. */

/* The overhead of things beside their text. Only the library knows it. */
static size_t event_cost, slot_cost, name_cost, topic_cost;

static size_t bytes_after(struct sse_registry *registry, struct sse_text id)
{
    const struct sse_event event = {.id = id, .data = sse_str("the first")};
    struct sse_registry_stats stats;

    if (sse_registry_publish(registry, sse_str(NULL), &event, NULL) ||
        sse_registry_get_stats(registry, &stats, sizeof(stats)))
        abort();
    return stats.history_bytes;
}

/* A ring has room for four events, then for eight. Afterwards an event takes a spare slot. */
void history_learn_costs(void)
{
    struct sse_registry_options options = {
        .size = sizeof(options), .history.events = 100, .id_prefix = sse_str("e")};
    size_t text = strlen("data: the first\nid: e-0000000000000000\n\n");
    struct sse_registry *registry;
    size_t bytes[6];

    if (sse_registry_new(&registry, &options))
        abort();
    for (size_t i = 0; i < 5; i++)
        bytes[i] = bytes_after(registry, (struct sse_text){.ptr = NULL});
    bytes[5] = bytes_after(registry, sse_str("e-x0000000000000000"));
    sse_registry_unref(registry);
    slot_cost = ((bytes[4] - bytes[3]) - (bytes[1] - bytes[0])) / 4;
    event_cost = bytes[1] - bytes[0] - text + slot_cost;
    topic_cost = bytes[0] - text - event_cost - 3 * slot_cost;
    name_cost = bytes[5] - bytes[4] - (text + 1) - event_cost + slot_cost;
}

static size_t cost(const struct record *record)
{
    bool named = !record->assigned && record->id.len;

    return record->size + record->events[0].key.len + event_cost + (named ? name_cost : 0);
}

/* A topic costs memory while it has events. */
static void charge_topic(struct history *history, int topic)
{
    size_t charge = 0;

    if (history->count[topic])
        charge = topic_cost + (topic == BROADCAST ? 0 : topic_name(topic).len) +
                 (history->room[topic] - history->count[topic]) * slot_cost;
    history->all_bytes += charge - history->charged[topic];
    history->charged[topic] = charge;
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
    if (!history->count[topic])
        history->room[topic] = 0;
    charge_topic(history, topic);
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

    if (history->count[topic] == history->room[topic])
        history->room[topic] = history->room[topic] ? 2 * history->room[topic] : 4;
    history->count[topic]++;
    history->bytes[topic] += cost(record);
    history->all_count++;
    history->all_bytes += cost(record);
    charge_topic(history, topic);
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

/* Returns the last event with this id in a topic; 0 for none. */
static uint64_t find_named(const struct world *world, struct sse_text id, int topic)
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

static bool find_assigned(const struct world *world, struct sse_text id, uint64_t *place)
{
    size_t prefix_size = strlen(world->id_prefix);
    char digits[17];
    char *end;

    if (id.len != prefix_size + 17 || memcmp(id.ptr, world->id_prefix, prefix_size) ||
        id.ptr[prefix_size] != '-')
        return false;
    memcpy(digits, id.ptr + prefix_size + 1, 16);
    digits[16] = '\0';
    *place = strtoull(digits, &end, 16);
    return !*end && *place <= world->sequence;
}

enum known history_find(const struct world *world, struct sse_text id, unsigned topics, uint64_t *place)
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
