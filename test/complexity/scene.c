/* SPDX-License-Identifier: MIT */
#include "scene.h"
#include "base/siphash.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define DESCRIPTORS_MAX 2500
#define DESCRIPTORS_BESIDE 50 /* for pipes, libraries, and the test runner's open descriptors */
#define NAME_SIZE 256
#define COMMON_SIZE 200
#define COLLIDING_PLACES 256

struct scene scene;
const struct sse_text absent = {.ptr = NULL};

/* scene_close frees these names and descriptors. */
static struct sse_text *names;
static char *name_bytes;
static int pair[2];
static int descriptors[DESCRIPTORS_MAX];
static size_t descriptor_count;

void scene_check(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "complexity: %s\n", what);
    abort();
}

static void ignore_wake(struct sse_loop *loop, void *user)
{
    (void)loop;
    (void)user;
}

static void open_registry(const struct sse_registry_options *given)
{
    struct sse_registry_options options = {.size = sizeof(options)};

    if (given)
        options = *given;
    options.size = sizeof(options);
    options.platform = &steps_platform;
    scene_check(!sse_registry_new(&scene.registry, &options), "no registry");
}

void scene_open(const struct sse_registry_options *options)
{
    const struct sse_loop_options driven = {
        .size = sizeof(driven), .platform = &steps_platform, .on_wake = ignore_wake};

    steps_reset();
    scene = (struct scene){.registry = NULL};
    open_registry(options);
    scene_check(!sse_loop_new(&scene.loop, &driven), "no loop");
}

void scene_open_polled(const struct sse_registry_options *options, enum sse_poller poller)
{
    const struct sse_loop_options polled = {
        .size = sizeof(polled), .platform = &steps_platform, .poller = poller};

    steps_reset();
    scene = (struct scene){.registry = NULL};
    open_registry(options);
    scene_check(!sse_loop_new(&scene.loop, &polled), "no polled loop");
    scene_check(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "no sockets");
}

static void close_descriptors(void)
{
    while (descriptor_count)
        close(descriptors[--descriptor_count]);
    for (size_t i = 0; i < 2; i++)
        if (pair[i])
            close(pair[i]);
    pair[0] = 0;
    pair[1] = 0;
}

void scene_close(void)
{
    for (size_t i = 0; i < scene.count; i++)
        sse_emitter_close(scene.emitters[i]);
    sse_loop_free(scene.loop);
    sse_registry_unref(scene.registry);
    free(scene.emitters);
    free(names);
    free(name_bytes);
    names = NULL;
    name_bytes = NULL;
    close_descriptors();
}

static ssize_t take(void *user, const struct iovec *iov, int count)
{
    size_t size = 0;

    (void)user;
    for (int i = 0; i < count; i++)
        size += iov[i].iov_len;
    return scene.full ? -EAGAIN : (ssize_t)size;
}

struct sse_emitter_options scene_options(void)
{
    return (struct sse_emitter_options){
        .size = sizeof(struct sse_emitter_options),
        .platform = &steps_platform,
        .registry = scene.registry,
        .loop = scene.loop,
        .output = SSE_OUTPUT_CALLBACK,
        .write = take,
    };
}

/* At a power of two the list is doubled. */
static void keep(struct sse_emitter *emitter)
{
    if (!(scene.count & (scene.count - 1)))
        scene.emitters = realloc(scene.emitters, (scene.count ? 2 * scene.count : 1) * sizeof(emitter));
    scene_check(scene.emitters, "out of memory");
    scene.emitters[scene.count++] = emitter;
}

struct sse_emitter *scene_add(const struct sse_emitter_options *options, const struct sse_text *topics,
                              size_t count)
{
    struct sse_emitter_options own = *options;
    struct sse_emitter *emitter;

    own.topics = topics;
    own.topic_count = count;
    scene_check(!sse_emitter_new(&emitter, &own, NULL), "no emitter");
    keep(emitter);
    return emitter;
}

void scene_add_many(const struct sse_emitter_options *options, size_t count, struct sse_text topic)
{
    for (size_t i = 0; i < count; i++)
        (void)scene_add(options, &topic, topic.ptr ? 1 : 0);
}

void scene_settle(void)
{
    int next;

    do
        next = sse_loop_turn(scene.loop);
    while (!next);
    scene_check(next >= -1, "a turn failed");
}

void scene_block(void)
{
    scene.full = true;
    scene_settle();
}

uint64_t scene_publish_event(struct sse_text topic, const struct sse_event *event)
{
    uint64_t before = steps_count();
    int error = sse_registry_publish(scene.registry, topic, event, NULL);
    uint64_t steps = steps_count() - before;

    scene_check(!error, "a publish failed");
    return steps;
}

uint64_t scene_publish(struct sse_text topic, const char *data)
{
    return scene_publish_event(topic, &(struct sse_event){.data = sse_str(data)});
}

uint64_t scene_publish_many(struct sse_text topic, size_t count, uint64_t *worst)
{
    uint64_t sum = 0, most = 0;

    for (size_t i = 0; i < count; i++) {
        uint64_t steps = scene_publish(topic, "an event");

        sum += steps;
        most = steps > most ? steps : most;
    }
    if (worst)
        *worst = most;
    return sum;
}

/* Searches for a number, from *number on, that makes the name collide. */
static size_t write_name(char *text, enum names kind, size_t *number)
{
    static const uint64_t secret[2] = {0, 0};
    size_t size;

    for (;; ++*number) {
        size =
            (size_t)snprintf(text, NAME_SIZE, "%0*zu", kind == NAMES_ALIKE ? COMMON_SIZE + 20 : 1, *number);
        if (kind != NAMES_COLLIDING || sse_siphash(secret, text, size) % COLLIDING_PLACES == 0)
            break;
    }
    if (kind != NAMES_THE_SAME)
        ++*number;
    return size;
}

const struct sse_text *scene_names(enum names kind, size_t count)
{
    size_t number = 0;

    free(names);
    free(name_bytes);
    names = calloc(count, sizeof(*names));
    name_bytes = calloc(count, NAME_SIZE);
    scene_check(names && name_bytes, "out of memory");
    for (size_t i = 0; i < count; i++) {
        names[i].ptr = name_bytes + i * NAME_SIZE;
        names[i].len = write_name(name_bytes + i * NAME_SIZE, kind, &number);
    }
    return names;
}

struct sse_text scene_id(size_t number)
{
    static char id[32];

    return (struct sse_text){.ptr = id, .len = (size_t)snprintf(id, sizeof(id), "E-%016zx", number)};
}

bool scene_has_descriptors(size_t count)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return false;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    return count <= DESCRIPTORS_MAX && count + DESCRIPTORS_BESIDE <= limit.rlim_cur;
}

int scene_descriptor(void)
{
    int descriptor = dup(pair[0]);

    scene_check(descriptor >= 0 && descriptor_count < DESCRIPTORS_MAX, "no descriptor");
    descriptors[descriptor_count++] = descriptor;
    return descriptor;
}

int scene_peer(void)
{
    return pair[1];
}

void scene_drain(void)
{
    char bytes[4096];

    while (recv(pair[1], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        continue;
}
