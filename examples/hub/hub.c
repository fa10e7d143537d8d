/* SPDX-License-Identifier: MIT */
#include "hub.h"

#include "clock.h"
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define BODY_BYTES_MAX ((size_t)64 << 20)

static uint64_t read_seed(void)
{
    uint64_t seed = (uint64_t)clock_now_ms();
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return seed;
    if (read(fd, &seed, sizeof(seed)) < 0)
        seed = (uint64_t)clock_now_ms();
    close(fd);
    return seed;
}

static int make_registry(struct hub *hub)
{
    const struct options *options = &hub->options;
    const struct sse_registry_options registry = {
        .size = sizeof(registry),
        .host = &hub->memory.host,
        .history = {.events = options->history_events, .bytes = options->history_bytes},
        .history_age_ms = options->history_age_ms,
        .gap_type = sse_str(HUB_GAP_TYPE),
        .backlog_bytes = options->budget,
        .emitters_max = options->clients_max,
        .topic_emitters_max = options->topic_clients_max,
        .admission = options->admission,
        .on_trace = stream_on_trace,
    };

    return sse_registry_new(&hub->registry, &registry);
}

int hub_begin(struct hub *hub, const struct options *options)
{
    *hub = (struct hub){.options = *options, .random_state = read_seed()};
    hub->statistics.started_ms = clock_now_ms();
    memory_begin(&hub->memory);
    return make_registry(hub);
}

void hub_end(struct hub *hub)
{
    sse_registry_unref(hub->registry);
    hub->registry = NULL;
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

/** What the line with an assigned id takes at most. */
static size_t id_size(const struct hub *hub, const struct sse_event *event)
{
    return event->id.ptr || hub->options.history_events == 0 ? 0 : strlen("id: \n") + SSE_ASSIGNED_ID_SIZE;
}

int hub_send(const struct hub *hub, struct sse_str topic, const struct sse_event *event,
             struct sse_delivery *delivery)
{
    ssize_t size = sse_event_encode(event, NULL, 0);

    if (size < 0)
        return (int)size;
    if ((size_t)size + id_size(hub, event) > hub_message_max(hub))
        return -EMSGSIZE;
    *delivery = (struct sse_delivery){.size = sizeof(*delivery)};
    if (topic.ptr)
        return sse_registry_publish(hub->registry, topic, event, delivery);
    return sse_registry_broadcast(hub->registry, event, delivery);
}

static int complete_one(struct sse_emitter *emitter, void *user)
{
    ssize_t *completed = user;

    if (sse_emitter_complete(emitter) == 0)
        ++*completed;
    return 0;
}

ssize_t hub_complete(struct hub *hub, struct sse_str topic)
{
    ssize_t completed = 0;
    int error = sse_registry_each(hub->registry, topic, complete_one, &completed);

    return error < 0 ? error : completed;
}

/* splitmix64 */
uint64_t hub_random(struct hub *hub)
{
    uint64_t bits = hub->random_state += UINT64_C(0x9e3779b97f4a7c15);

    bits = (bits ^ (bits >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ (bits >> 27)) * UINT64_C(0x94d049bb133111eb);
    return bits ^ (bits >> 31);
}
