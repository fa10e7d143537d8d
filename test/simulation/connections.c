/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <errno.h>
#include <stdlib.h>

/* One emitter: its options, and the model of its stream. */

#define RETRY_MS 900

uint64_t milliseconds(int64_t option, int64_t by_default)
{
    if (option == SSE_TIMER_OFF)
        return NEVER;
    return (uint64_t)(option ? option : by_default) * MILLISECOND;
}

static int64_t draw_timer(struct world *world, unsigned percent, int64_t least, size_t range)
{
    return chance_percent(world, percent) ? least + (int64_t)chance_below(world, range) : SSE_TIMER_OFF;
}

static void draw_timers(struct world *world, struct sse_emitter_options *options)
{
    options->start_ms = draw_timer(world, 50, 10, 3000);
    options->lifetime_ms = draw_timer(world, 8, 100, 20000);
    if (options->lifetime_ms > 0 && chance_percent(world, 50))
        options->lifetime_jitter_ms = 1 + (int64_t)chance_below(world, (size_t)options->lifetime_ms);
    options->stall_ms = draw_timer(world, 40, 10, 5000);
    options->drain_ms = draw_timer(world, 60, 10, 2000);
    options->heartbeat_ms = draw_timer(world, 30, 20, 3000);
    if (chance_percent(world, 10))
        options->start_ms = options->stall_ms = options->drain_ms = options->heartbeat_ms = 0;
}

static void draw_http(struct connection *connection)
{
    struct world *world = connection->world;
    ssize_t size;
    char *head;

    connection->http = (struct sse_http_options){.size = sizeof(connection->http)};
    connection->http.version = (enum sse_http_version)chance_below(world, 3);
    connection->http.chunked = connection->http.version == SSE_HTTP_1_1 && chance_percent(world, 80);
    connection->options.http = &connection->http;
    connection->chunked = connection->http.chunked;
    size = sse_http_head(NULL, 0, &connection->http);
    head = world->arena + world->arena_used;
    expect(world, size > 0 && size < TEXT_MAX, "a head of %zd bytes", size);
    (void)sse_http_head(head, (size_t)size, &connection->http);
    world->arena_used += (size_t)size;
    connection->head = (struct sse_text){head, (size_t)size};
}

void connection_draw(struct connection *connection)
{
    struct world *world = connection->world;
    struct sse_emitter_options *options = &connection->options;

    *options = (struct sse_emitter_options){.size = sizeof(*options), .platform = &world->fake.platform};
    options->registry = connection->registered ? world->registry : NULL;
    options->loop = connection->loop ? connection->loop->loop : NULL;
    options->output = chance_percent(world, 60) ? SSE_OUTPUT_CALLBACK : SSE_OUTPUT_PULL;
    if (chance_percent(world, 25))
        options->output = SSE_OUTPUT_FD;
    if (connection->registered && !connection->loop)
        options->output = SSE_OUTPUT_PULL;
    if (options->output == SSE_OUTPUT_FD)
        socket_open(connection);
    options->framing = chance_percent(world, 50) ? SSE_FRAMING_CHUNKED : SSE_FRAMING_RAW;
    connection->chunked = options->framing == SSE_FRAMING_CHUNKED;
    options->overflow = (enum sse_overflow)chance_below(world, 4);
    options->queue_bytes = chance_percent(world, 70) ? 120 + chance_below(world, 700) : 0;
    options->queue_messages = chance_percent(world, 50) ? 2 + chance_below(world, 8) : 0;
    options->paused = chance_percent(world, 20);
    /* Ids that belong to several events would not tell the model where a gap ends. */
    if (world->scenario.empty_ids || world->scenario.shared_ids || world->scenario.repeated_ids)
        options->paused = false;
    if (chance_percent(world, 50))
        draw_http(connection);
    options->retry_ms = chance_percent(world, 30) ? RETRY_MS : 0;
    connection->first_line = sse_str(options->retry_ms ? "retry: 900\n" : ":\n");
    draw_timers(world, options);
    callbacks_install(options, connection);
    connection->mood = (enum mood)chance_below(world, 3);
    connection->error_percent = chance_percent(world, 15) ? 5 : 0;
}

struct connection *connection_make(struct world *world, bool registered)
{
    struct connection *connection = calloc(1, sizeof(*connection));

    if (!connection)
        abort();
    *connection = (struct connection){
        .world = world,
        .number = world->connection_count,
        .registered = registered,
        .created = world_now(world),
        .progress = world_now(world),
        .drain_end = NEVER,
        .armed = true,
        .waiting = true,
        .peer = -1,
    };
    connection->front.lost = connection->later.lost = connection->lost;
    if (chance_percent(world, 85))
        connection->loop = loop_draw(world);
    connection->looped = connection->loop;
    connection_draw(connection);
    world->connections[world->connection_count++] = connection;
    return connection;
}

void connection_free(struct connection *connection)
{
    lane_clear(&connection->front);
    lane_clear(&connection->later);
    free(connection->pause);
    free(connection->received);
    free(connection->pieces);
    free(connection);
}

bool connection_info(const struct connection *connection, struct sse_emitter_info *info)
{
    if (!connection->emitter) {
        *info = (struct sse_emitter_info){.state = SSE_STATE_CLOSED};
        return false;
    }
    expect_equal(connection->world, 0,
                 (uint64_t)sse_emitter_get_info(connection->emitter, info, sizeof(*info)),
                 "result of sse_emitter_get_info");
    return true;
}

bool connection_is_usable(const struct connection *connection)
{
    return connection->emitter && (connection->owned || connection->refs);
}

bool connection_is_pull(const struct connection *connection)
{
    return connection->options.output == SSE_OUTPUT_PULL;
}

/* Errors that the calls themselves return cannot be the reason of an end. */
static bool is_reserved(int error)
{
    static const int reserved[] = {-EINVAL,  -EINTR,  -EAGAIN, -EALREADY, -EPERM,     -EDEADLK, -EMSGSIZE,
                                   -ENOBUFS, -ENOMEM, -EILSEQ, -ERANGE,   -EOVERFLOW, SSE_ENDED};

    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
        if (reserved[i] == error)
            return true;
    return false;
}

int end_error(const struct connection *connection)
{
    if (connection->state == SSE_STATE_OPEN)
        return 0;
    if (connection->state == SSE_STATE_DRAINING || !connection->error)
        return SSE_ENDED;
    return is_reserved(connection->error) ? -EIO : connection->error;
}

struct lane *connection_tail(struct connection *connection)
{
    return connection->has_later ? &connection->later : &connection->front;
}

size_t connection_queued(const struct connection *connection)
{
    return lane_bytes(&connection->front) + (connection->paused ? 0 : lane_bytes(&connection->later));
}

size_t connection_backlog(const struct connection *connection)
{
    return lane_bytes(&connection->front) + lane_bytes(&connection->later);
}

/* Once the events of the pause are written, the events behind the pause become the queue. */
static void merge(struct connection *connection)
{
    if (connection->paused || !connection->has_later || connection->front.count)
        return;
    lane_clear(&connection->front);
    connection->front = connection->later;
    connection->later = (struct lane){.lost = connection->lost};
    connection->has_later = false;
}

void connection_queue(struct connection *connection, struct lane *lane, struct item item)
{
    item.size = wire_size(connection, &item);
    if (!connection_queued(connection) && !(connection->paused && lane == &connection->later))
        connection->progress = world_now(connection->world);
    connection->world->queued++;
    lane_push(lane, item);
}

void connection_queue_ping(struct connection *connection)
{
    if (connection->state != SSE_STATE_OPEN)
        return;
    connection->ping_owed = connection->front.count > 0;
    if (connection->ping_owed)
        return;
    connection_queue(connection, &connection->front, (struct item){.kind = ITEM_HEARTBEAT});
    lane_exempt_all(&connection->front);
    connection->pings++;
}

void connection_choose(struct connection *connection, bool filled)
{
    struct lane *later = &connection->later;
    enum choice unwanted = filled ? IF_GAP : IF_FILLED;

    for (size_t i = later->count; i-- > 0;)
        if (later->items[i].choice == unwanted)
            lane_remove(later, i);
}

void connection_start(struct connection *connection, bool filled)
{
    connection_choose(connection, filled);
    if (!connection->front.count && connection->later.count)
        connection->progress = world_now(connection->world);
    connection->paused = false;
    merge(connection);
}

void connection_drop_later(struct connection *connection)
{
    connection_choose(connection, false);
    connection->dropped += lane_events(connection, &connection->later);
    lane_clear(&connection->later);
    connection->has_later = connection->paused = false;
}

static void add_piece(struct connection *connection, const struct item *item)
{
    size_t start = connection->received_size - connection->front.written;

    if (connection->piece_count == connection->piece_capacity) {
        connection->piece_capacity = connection->piece_capacity ? 2 * connection->piece_capacity : 32;
        connection->pieces = realloc(connection->pieces, connection->piece_capacity * sizeof(struct piece));
        if (!connection->pieces)
            abort();
    }
    connection->pieces[connection->piece_count++] = (struct piece){
        .item = *item,
        .start = start,
        .end = start + item->size,
        .frame = start + item_frame_offset(connection, item),
    };
}

/* Each client gets its own reconnection time from the server's range. */
static void check_retry(const struct connection *connection, const struct piece *piece)
{
    struct world *world = connection->world;
    const char *digits = (const char *)connection->received + piece->frame + strlen("retry: ");
    int64_t retry = strtoll(digits, NULL, 10);

    expect(world, retry >= world->retry_min && retry <= world->retry_max,
           "connection %zu: a retry of %lld ms", connection->number, (long long)retry);
    if (!world->retries++)
        world->retry_first = retry;
    world->retries_differ |= retry != world->retry_first;
}

static void count_latency(struct connection *connection, const struct item *item)
{
    uint64_t time = world_now(connection->world) - item->published;
    size_t bucket = 0;

    for (; time; time >>= 1)
        bucket++;
    if (item->live && connection->registered && !connection->front.exempt)
        connection->world->stats.latency[bucket]++;
}

static void finish_first(struct connection *connection)
{
    struct item item = connection->front.items[0];
    const struct record *record = &connection->world->records[item.record];

    if (item.kind == ITEM_RETRY)
        check_retry(connection, &connection->pieces[connection->piece_count - 1]);
    if (item.kind == ITEM_RECORD) {
        connection->events += record->counted;
        if (record->id.ptr)
            connection->last_id = record->id;
        count_latency(connection, &item);
    }
    lane_remove(&connection->front, 0);
    merge(connection);
}

static void append(struct connection *connection, const void *bytes, size_t size)
{
    if (connection->received_size + size > connection->received_capacity) {
        connection->received_capacity = 2 * (connection->received_size + size) + 256;
        connection->received = realloc(connection->received, connection->received_capacity);
        if (!connection->received)
            abort();
    }
    memcpy(connection->received + connection->received_size, bytes, size);
    connection->received_size += size;
}

void connection_took(struct connection *connection, const void *bytes, size_t size)
{
    const char *from = bytes;

    connection->progress = world_now(connection->world);
    while (size) {
        struct lane *front = &connection->front;
        size_t left = front->items[0].size - front->written;
        size_t piece = left < size ? left : size;

        if (!front->written)
            add_piece(connection, &front->items[0]);
        append(connection, from, piece);
        front->written += piece;
        from += piece;
        size -= piece;
        if (front->written == front->items[0].size)
            finish_first(connection);
    }
}

void connection_left(struct connection *connection)
{
    connection->member = false;
    connection->topics = 0;
}
