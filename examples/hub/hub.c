/* SPDX-License-Identifier: MIT */
#include "hub.h"

#include "clock.h"
#include "json.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define BODY_BYTES_MAX ((size_t)64 << 20)

/* Without a history, a topic stays in the list for this long after its last use. */
#define TOPIC_KEEP_MS 60000

/* The longest comment that names a topic as a JSON string: up to six bytes for each byte of the name. */
#define TOPIC_COMMENT_MAX (6 * SSE_TOPIC_SIZE_MAX + 64)

static int make_registry(struct hub *hub)
{
    const struct options *options = &hub->options;
    const struct sse_registry_options registry = {
        .size = sizeof(registry),
        .platform = &hub->memory.platform,
        .history = {.events = options->history_events, .bytes = options->history_bytes},
        .history_age_ms = options->history_age_ms,
        .gap_type = sse_str("gap"),
        .backlog_bytes = options->budget,
        .emitters_max = options->clients_max,
        .topic_emitters_max = options->topic_clients_max,
        .admission = options->admission,
    };

    return sse_registry_new(&hub->registry, &registry);
}

/* A watcher is a viewer of the page. It gets no replay, so it is notified of a gap. */
static int make_watchers(struct hub *hub)
{
    const struct sse_registry_options registry = {
        .size = sizeof(registry),
        .platform = &hub->memory.platform,
        .gap_type = sse_str("gap"),
        .backlog_bytes = hub->options.budget,
        .emitters_max = hub->options.clients_max,
        .admission = hub->options.admission,
    };

    return sse_registry_new(&hub->watchers, &registry);
}

static int make_loop(struct hub *hub)
{
    const struct sse_loop_options loop = {
        .size = sizeof(loop),
        .platform = &hub->memory.platform,
        .poller = hub->options.poller,
    };

    return sse_loop_new(&hub->loop, &loop);
}

int hub_begin(struct hub *hub, const struct options *options)
{
    struct timespec now;
    int error;

    clock_gettime(CLOCK_REALTIME, &now);
    *hub = (struct hub){
        .options = *options,
        .random_state = (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec,
        .statistics = {.started_ms = clock_now_ms()},
    };
    memory_begin(&hub->memory);
    error = make_registry(hub);
    if (error == 0)
        error = make_watchers(hub);
    if (error == 0)
        error = make_loop(hub);
    if (error < 0)
        hub_end(hub);
    return error;
}

static void report(const struct hub *hub)
{
    struct sse_registry_stats stats = {.emitters = 0};
    struct sse_registry_stats watchers = {.emitters = 0};
    uint64_t completed, cut;

    sse_registry_get_stats(hub->registry, &stats, sizeof(stats));
    sse_registry_get_stats(hub->watchers, &watchers, sizeof(watchers));
    completed = stats.shutdown_completed + watchers.shutdown_completed;
    cut = stats.shutdown_cut + watchers.shutdown_cut;
    printf("shutdown: %" PRIu64 " clients, %" PRIu64 " completed, %" PRIu64 " cut, %" PRIu64
           " bytes left, %" PRId64 " ms\n",
           completed + cut, completed, cut, stats.shutdown_bytes_left + watchers.shutdown_bytes_left,
           clock_now_ms() - hub->shutdown_ms);
    fflush(stdout);
}

void hub_end(struct hub *hub)
{
    sse_loop_free(hub->loop);
    if (hub->shutdown_ms > 0)
        report(hub);
    sse_registry_unref(hub->registry);
    sse_registry_unref(hub->watchers);
    topics_release(&hub->topics);
    hub->loop = NULL;
    hub->registry = NULL;
    hub->watchers = NULL;
}

size_t hub_message_max(const struct hub *hub)
{
    size_t framing = 4; /* the line ends of a chunk */

    for (size_t size = hub->options.queue_bytes; size > 0; size /= 16)
        ++framing;
    if (hub->options.queue_bytes - framing > SSE_EVENT_SIZE_MAX)
        return SSE_EVENT_SIZE_MAX;
    return hub->options.queue_bytes - framing;
}

size_t hub_body_bytes_max(const struct hub *hub)
{
    size_t four_bodies = 4 * hub_message_max(hub);

    return four_bodies > BODY_BYTES_MAX ? four_bodies : BODY_BYTES_MAX;
}

/** The longest line with an assigned id. */
static size_t id_size(const struct hub *hub, const struct sse_event *event)
{
    return event->id.ptr || hub->options.history_events == 0 ? 0 : strlen("id: \n") + SSE_ASSIGNED_ID_SIZE;
}

size_t hub_watcher_queue_bytes(const struct hub *hub)
{
    return hub->options.queue_bytes + TOPIC_COMMENT_MAX;
}

/* The event has been published. If a watcher cannot get it, that is not an error. */
static void show(const struct hub *hub, struct sse_text topic, const struct sse_event *event,
                 const struct sse_delivery *delivery)
{
    struct sse_event shown = *event;
    struct buffer comment = {.length = 0};

    if (sse_registry_count(hub->watchers, sse_str(NULL)) == 0)
        return;
    if (topic.ptr) {
        buffer_text(&comment, "topic ");
        json_string(&comment, topic);
        shown.comment = (struct sse_text){.ptr = comment.bytes, .len = comment.length};
    }
    if (!shown.id.ptr && delivery->id[0] != '\0')
        shown.id = sse_str(delivery->id);
    if (!comment.failed)
        sse_registry_publish(hub->watchers, sse_str(NULL), &shown, NULL);
    buffer_release(&comment);
}

int hub_send(struct hub *hub, struct sse_text topic, const struct sse_event *event,
             struct sse_delivery *delivery)
{
    ssize_t size = sse_event_encode(event, NULL, 0);
    int error;

    if (size < 0)
        return (int)size;
    if ((size_t)size + id_size(hub, event) > hub_message_max(hub))
        return -EMSGSIZE;
    error = sse_registry_publish(hub->registry, topic, event, delivery);
    if (error < 0)
        return error;
    if (topic.ptr)
        topics_note_event(&hub->topics, topic);
    show(hub, topic, event, delivery);
    return 0;
}

void hub_note_topics(struct hub *hub, const struct sse_text *topics, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        topics_note_subscriber(&hub->topics, topics[i]);
}

void hub_write_topics(struct hub *hub, struct buffer *json)
{
    int64_t keep_ms = hub->options.history_events > 0 ? hub->options.history_age_ms : TOPIC_KEEP_MS;

    topics_forget_unused(&hub->topics, hub->registry, keep_ms);
    buffer_text(json, "{");
    json_name(json, "topics");
    topics_write(&hub->topics, hub->registry, json);
    buffer_text(json, "}");
}

static int complete_one(struct sse_emitter *emitter, void *user)
{
    ssize_t *completed = user;

    if (sse_emitter_complete(emitter) == 0)
        ++*completed;
    return 0;
}

ssize_t hub_complete(struct hub *hub, struct sse_text topic)
{
    ssize_t completed = 0;
    int error = sse_registry_each(hub->registry, topic, complete_one, &completed);

    if (error == 0 && !topic.ptr)
        error = sse_registry_each(hub->watchers, topic, complete_one, &completed);
    return error < 0 ? error : completed;
}

int hub_shut_down(struct hub *hub)
{
    const struct sse_event final_event = {
        .type = sse_str("farewell"),
        .data = sse_str("The hub is shutting down. Please reconnect."),
    };
    const struct sse_shutdown_options shutdown = {
        .size = sizeof(shutdown),
        .final_event = &final_event,
        .retry_min_ms = hub->options.retry_min_ms,
        .retry_max_ms = hub->options.retry_max_ms,
        .drain_ms = hub->options.grace_ms,
    };
    int64_t now_ms = clock_now_ms();
    int error = sse_registry_shutdown(hub->registry, &shutdown);

    if (error == 0)
        error = sse_registry_shutdown(hub->watchers, &shutdown);
    if (error == 0)
        hub->shutdown_ms = now_ms;
    return error;
}

/* splitmix64 */
uint64_t hub_random(struct hub *hub)
{
    uint64_t bits = hub->random_state += UINT64_C(0x9e3779b97f4a7c15);

    bits = (bits ^ (bits >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ (bits >> 27)) * UINT64_C(0x94d049bb133111eb);
    return bits ^ (bits >> 31);
}
