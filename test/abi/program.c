/* SPDX-License-Identifier: MIT */
/* Runs a program of one version with a library of another. NEWER: compiled with the headers of newer.py. Prints
 * each error, and ends with status 1 if there was one. */
#include <sse/sse.h>

#include <stdio.h>
#include <stdlib.h>

static int failures;

static void expect(int holds, int line)
{
    if (!holds)
        fprintf(stderr, "program.c:%d: not as expected\n", line), failures++;
}

#define EXPECT(condition) expect(condition, __LINE__)

/* The first id that a registry with the prefix `p` assigns. */
#define ID "p-0000000000000001"

static unsigned allocations;
static int completions;

static void *allocate(size_t size, void *user)
{
    (void)user;
    allocations++;
    return malloc(size);
}

static void deallocate(void *block, void *user)
{
    (void)user;
    free(block);
}

static void on_wake(struct sse_loop *loop, void *user)
{
    (void)loop, (void)user;
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    (void)emitter, (void)user;
    completions++;
    EXPECT(completion->reason == SSE_REASON_SHUTDOWN);
    EXPECT(completion->error == 0);
    EXPECT(completion->events == 2);
    EXPECT(completion->last_event_id.len == strlen(ID));
    EXPECT(completion->age_ms >= 0);
}

static const struct sse_http_options http = {.size = sizeof(http), .cors_origin = {"*", 1}};
static const struct sse_platform platform = {
    .size = sizeof(platform), .allocate = allocate, .deallocate = deallocate};

static struct sse_loop *loop;
static struct sse_registry *registry;

static struct sse_emitter_options emitter_options(void)
{
    const struct sse_emitter_options options = {.size = sizeof(options),
                                                .platform = &platform,
                                                .registry = registry,
                                                .loop = loop,
                                                .output = SSE_OUTPUT_PULL,
                                                .http = &http,
                                                .on_completion = on_completion};

    return options;
}

/* Reads everything that is there, and returns its size. */
static size_t read_all(struct sse_emitter *emitter)
{
    char buffer[4096];
    size_t total = 0;
    ssize_t size;

    while ((size = sse_emitter_read(emitter, buffer, sizeof(buffer))) > 0)
        total += (size_t)size;
    return total;
}

static void check_info(struct sse_emitter *emitter)
{
    struct sse_emitter_info info;

    memset(&info, 0xa5, sizeof(info));
    EXPECT(sse_emitter_get_info(emitter, &info, sizeof(info)) == 0);
    EXPECT(info.state == SSE_STATE_OPEN && info.reason == SSE_REASON_NONE && info.events == 1 && !info.paused);
#ifdef NEWER
    for (size_t i = 0; i < sizeof(info.later) / sizeof(info.later[0]); i++)
        EXPECT(info.later[i] == 0);
#endif
}

/* A whole stream. Members that an older program lacks have their defaults. Members that a newer one adds are
 * zero. */
static void stream(void)
{
    const struct sse_event event = {.data = sse_str("hello")};
    const struct sse_shutdown_options shutdown = {
        .size = sizeof(shutdown), .final_event = &event, .drain_ms = 1000};
    const struct sse_emitter_options options = emitter_options();
    struct sse_registry_stats stats;
    struct sse_emitter *emitter = NULL;
    struct sse_replay replay;

    EXPECT(sse_emitter_new(&emitter, &options, &replay) == 0);
    EXPECT(replay.outcome == SSE_REPLAY_NONE);
    EXPECT(read_all(emitter) > 100);
    EXPECT(sse_registry_publish(registry, sse_str(NULL), &event, NULL) == 0);
    EXPECT(read_all(emitter) == strlen("data: hello\nid: " ID "\n\n"));
    check_info(emitter);
    EXPECT(sse_registry_shutdown(registry, &shutdown) == 0);
    EXPECT(read_all(emitter) == strlen("data: hello\n\n"));
    EXPECT(sse_loop_turn(loop) >= -1);
    EXPECT(completions == 1);
    EXPECT(sse_registry_get_stats(registry, &stats, sizeof(stats)) == 0);
    EXPECT(stats.published == 1 && stats.emitters == 0 && stats.shutdown_completed == 1);
    sse_emitter_close(emitter);
    EXPECT(sse_loop_turn(loop) >= -1);
    EXPECT(sse_registry_wait(registry, 0) == 0);
}

#ifdef NEWER

/* A member that the library does not know is refused, because it would have no effect. */
static void refusals(void)
{
    struct sse_emitter_options emitter = emitter_options();
    struct sse_registry_options registries = {.size = sizeof(registries)};
    struct sse_loop_options loops = {.size = sizeof(loops), .on_wake = on_wake};
    struct sse_shutdown_options shutdown = {.size = sizeof(shutdown)};
    struct sse_http_options heads = {.size = sizeof(heads)};
    struct sse_platform other = {.size = sizeof(other)};
    struct sse_registry *no_registry;
    struct sse_emitter *no_emitter;
    struct sse_loop *no_loop;

    emitter.later[3] = 1;
    EXPECT(sse_emitter_new(&no_emitter, &emitter, NULL) == -EINVAL);
    registries.later[0] = 1;
    EXPECT(sse_registry_new(&no_registry, &registries) == -EINVAL);
    loops.later[0] = 1;
    EXPECT(sse_loop_new(&no_loop, &loops) == -EINVAL);
    shutdown.later[0] = 1;
    EXPECT(sse_registry_shutdown(registry, &shutdown) == -EINVAL);
    heads.later[0] = 1;
    EXPECT(sse_http_head(NULL, 0, &heads) == -EINVAL);
    emitter.later[3] = 0;
    emitter.http = &heads;
    EXPECT(sse_emitter_new(&no_emitter, &emitter, NULL) == -EINVAL);
    other.later[0] = 1;
    registries.later[0] = 0;
    registries.platform = &other;
    EXPECT(sse_registry_new(&no_registry, &registries) == -EINVAL);
}

#else

static void refusals(void)
{
    struct sse_emitter_options options = emitter_options();
    struct sse_emitter *none;

    options.size = 8;
    EXPECT(sse_emitter_new(&none, &options, NULL) == -EINVAL);
}

#endif

int main(void)
{
    const struct sse_loop_options loops = {.size = sizeof(loops), .platform = &platform, .on_wake = on_wake};
    const struct sse_registry_options registries = {
        .size = sizeof(registries), .platform = &platform, .history = {.events = 10}, .id_prefix = {"p", 1}};

    if (sse_loop_new(&loop, &loops) || sse_registry_new(&registry, &registries)) {
        fputs("neither a loop nor a registry can be made\n", stderr);
        return 1;
    }
    refusals();
    stream();
    EXPECT(allocations > 3);
    sse_registry_unref(registry);
    sse_loop_free(loop);
    return failures != 0;
}
