/* SPDX-License-Identifier: MIT */
#include "hub.h"

#include "clock.h"

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

int hub_begin(struct hub *hub, const struct options *options)
{
    *hub = (struct hub){.options = *options, .random_state = read_seed()};
    hub->statistics.started_ms = clock_now_ms();
    return sse_registry_new(&hub->registry, NULL);
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

int hub_send(struct hub *hub, struct sse_str topic, struct sse_message *message,
             struct sse_delivery *delivery)
{
    int error;

    *delivery = (struct sse_delivery){.size = sizeof(*delivery)};
    if (topic.ptr)
        error = sse_registry_publish_message(hub->registry, topic, message, delivery);
    else
        error = sse_registry_broadcast_message(hub->registry, message, delivery);
    if (error == 0)
        statistics_add_delivery(&hub->statistics, delivery);
    return error;
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
