/* SPDX-License-Identifier: MIT */
#include "bridge.h"

static void *read_all(void *user)
{
    struct bridge *bridge = user;

    while (!atomic_load(&bridge->stopping)) {
        if (!bridge_read(bridge))
            redis_pause(&bridge->reader);
    }
    return NULL;
}

void bridge_open(struct bridge *bridge, const char *host, int port, const char *stream)
{
    *bridge = (struct bridge){.stream = stream};
    redis_open(&bridge->reader, "reader", host, port);
    redis_open(&bridge->commands, "commands", host, port);
    progress_open(&bridge->progress);
}

int bridge_start(struct bridge *bridge, struct sse_registry *registry)
{
    bridge->registry = registry;
    return -pthread_create(&bridge->thread, NULL, read_all, bridge);
}

void bridge_stop(struct bridge *bridge)
{
    atomic_store(&bridge->stopping, true);
    redis_stop(&bridge->reader);
    redis_stop(&bridge->commands);
    pthread_join(bridge->thread, NULL);
}

void bridge_close(struct bridge *bridge)
{
    redis_close(&bridge->reader);
    redis_close(&bridge->commands);
    progress_close(&bridge->progress);
}
