/* SPDX-License-Identifier: MIT */
/* An emitter belongs to one registry. Another registry refuses it without reading members that the emitter's own
 * registry may be changing. Race detectors and AddressSanitizer check this. */
#include "schedule.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <sse/registry.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define ROUNDS 2000
#define TOPICS 4

static const struct sse_text topics[TOPICS] = {{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}};
static const struct sse_text absent = {.ptr = NULL};

struct scene {
    struct fake_platform fake;
    struct sse_platform platform;
    struct sse_registry *own, *other;
    struct sse_emitter *emitter;
    struct sse_emitter *neighbour; /* in the other registry, with the same topics */
    unsigned rounds;
};

static struct sse_registry *open_registry(struct scene *scene)
{
    const struct sse_registry_options options = {
        .size = sizeof(options), .platform = &scene->platform, .history = {.events = 10}};
    struct sse_registry *registry;

    require(sse_registry_new(&registry, &options) == 0);
    return registry;
}

static struct sse_emitter *open_emitter(struct scene *scene, struct sse_registry *registry)
{
    const struct sse_emitter_options options = {.size = sizeof(options),
                                                .platform = &scene->platform,
                                                .registry = registry,
                                                .topics = topics,
                                                .topic_count = TOPICS,
                                                .output = SSE_OUTPUT_PULL};
    struct sse_emitter *emitter;

    require(sse_emitter_new(&emitter, &options, NULL) == 0);
    return emitter;
}

/* Its list of topics grows, and is freed. */
static void *change_topics(void *user)
{
    struct scene *scene = user;

    for (unsigned i = 0; i < scene->rounds; i++) {
        require(sse_registry_unsubscribe(scene->own, scene->emitter, topics, TOPICS) == 0);
        for (size_t topic = 0; topic < TOPICS; topic++)
            require(sse_registry_subscribe(scene->own, scene->emitter, &topics[topic], 1, absent, NULL) == 0);
    }
    return NULL;
}

static void *offer_elsewhere(void *user)
{
    struct scene *scene = user;

    for (unsigned i = 0; i < scene->rounds; i++) {
        require(sse_registry_subscribe(scene->other, scene->emitter, topics, TOPICS, sse_str("id"), NULL) ==
                -ENOENT);
        require(sse_registry_unsubscribe(scene->other, scene->emitter, topics, 1 + i % TOPICS) == -ENOENT);
    }
    return NULL;
}

/* Neither registry's actions change the other one. */
static void check_members(struct scene *scene)
{
    for (size_t topic = 0; topic < TOPICS; topic++) {
        require(sse_registry_count(scene->own, topics[topic]) == 1);
        require(sse_registry_count(scene->other, topics[topic]) == 1);
    }
    require(sse_registry_count(scene->own, absent) == 1);
    require(sse_registry_count(scene->other, absent) == 1);
}

/* Row M1. */
static void another_registry_does_not_read_the_emitter(void **state)
{
    struct scene scene = {.rounds = schedule_rounds(ROUNDS)};
    pthread_t changer, offerer;

    (void)state;
    fake_platform_init(&scene.fake);
    schedule_platform_init(&scene.platform, &scene.fake, false);
    scene.own = open_registry(&scene);
    scene.other = open_registry(&scene);
    scene.emitter = open_emitter(&scene, scene.own);
    scene.neighbour = open_emitter(&scene, scene.other);
    require(pthread_create(&changer, NULL, change_topics, &scene) == 0);
    require(pthread_create(&offerer, NULL, offer_elsewhere, &scene) == 0);
    pthread_join(changer, NULL);
    pthread_join(offerer, NULL);
    check_members(&scene);
    sse_emitter_close(scene.emitter);
    sse_emitter_close(scene.neighbour);
    sse_registry_unref(scene.own);
    sse_registry_unref(scene.other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_registry_does_not_read_the_emitter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
