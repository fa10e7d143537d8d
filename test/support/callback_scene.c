/* SPDX-License-Identifier: MIT */
#include "callback_scene.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const place_names[PLACES] = {
    "write",    "on_ready (readable)", "on_ready (blocked)", "on_timeout",
    "on_error", "on_completion",       "on_release",         "on_wake",
    "visitor",
};

void scene_enter(struct scene *scene, enum scene_place place)
{
    /* Callbacks of a program may contain cancellation points. The library must not let a thread be cancelled
     * there. */
    pthread_testcancel();
    scene->calls[place]++;
    if (scene->place != place || scene->acted || !scene->ready)
        return;
    scene->acted = true;
    scene->act(scene);
    scene->left = true;
}

static ssize_t write_bytes(void *user, const struct iovec *iov, int count)
{
    struct scene *scene = user;
    size_t size = 0;

    scene_enter(scene, IN_WRITE);
    for (int i = 0; i < count; i++)
        size += iov[i].iov_len;
    if (scene->full || scene->refuses)
        size = 0;
    scene->refuses = false;
    return size ? (ssize_t)size : -EAGAIN;
}

static void on_ready(struct sse_emitter *emitter, unsigned what, void *user)
{
    (void)emitter;
    require(what == SSE_READABLE || what == SSE_BLOCKED);
    scene_enter(user, what == SSE_READABLE ? IN_READY : IN_BLOCKED);
}

static void on_timeout(struct sse_emitter *emitter, enum sse_reason reason, void *user)
{
    (void)emitter, (void)reason;
    scene_enter(user, IN_TIMEOUT);
}

static void on_error(struct sse_emitter *emitter, int error, void *user)
{
    (void)emitter, (void)error;
    scene_enter(user, IN_ERROR);
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct scene *scene = user;

    (void)emitter;
    scene->completion = *completion;
    if (scene->registry)
        require(sse_registry_count(scene->registry, sse_str(NULL)) == 0);
    /* Must not be called while a callback of the output runs. */
    require(scene->place > IN_BLOCKED || scene->left || !scene->acted);
    scene_enter(scene, IN_COMPLETION);
}

static void on_release(void *user)
{
    scene_enter(user, IN_RELEASE);
}

static void on_wake(struct sse_loop *loop, void *user)
{
    (void)loop;
    scene_enter(user, IN_WAKE);
}

static enum sse_output output_of(const struct scene *scene)
{
    if (scene->fd >= 0)
        return SSE_OUTPUT_FD;
    return scene->place == IN_READY ? SSE_OUTPUT_PULL : SSE_OUTPUT_CALLBACK;
}

static void open_emitter(struct scene *scene)
{
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .platform = &scene->platform,
        .registry = scene->registry,
        .loop = scene->loop,
        .output = output_of(scene),
        .fd = scene->fd,
        .keep_fd = scene->fd >= 0,
        .write = scene->fd < 0 && scene->place != IN_READY ? write_bytes : NULL,
        .lifetime_ms = 1000,
        .on_ready = on_ready,
        .on_timeout = on_timeout,
        .on_error = on_error,
        .on_completion = on_completion,
        .on_release = on_release,
        .user = scene,
    };
    char bytes[16];

    require(sse_emitter_new(&scene->emitter, &options, NULL) == 0);
    scene_settle(scene);
    if (options.output != SSE_OUTPUT_PULL)
        return;
    require(sse_emitter_read(scene->emitter, bytes, sizeof(bytes)) == 2);
    require(sse_emitter_read(scene->emitter, bytes, sizeof(bytes)) == 0);
}

static struct scene *make_scene(enum scene_place place, void (*act)(struct scene *scene))
{
    struct scene *scene = calloc(1, sizeof(*scene));
    struct sse_registry_options registry = {.size = sizeof(registry)};
    struct sse_loop_options loop = {.size = sizeof(loop), .on_wake = on_wake, .user = scene};

    require(scene != NULL);
    schedule_scene(place_names[place]);
    fake_platform_init(&scene->fake);
    schedule_platform_init(&scene->platform, &scene->fake, true);
    scene->place = place;
    scene->act = act;
    scene->fd = -1;
    scene->peer = -1;
    pthread_mutex_init(&scene->lock, NULL);
    pthread_cond_init(&scene->changed, NULL);
    registry.platform = &scene->platform;
    loop.platform = &scene->platform;
    require(sse_registry_new(&scene->registry, &registry) == 0);
    require(sse_loop_new(&scene->loop, &loop) == 0);
    return scene;
}

struct scene *scene_open(enum scene_place place, void (*act)(struct scene *scene))
{
    struct scene *scene = make_scene(place, act);

    open_emitter(scene);
    scene->full = place == IN_BLOCKED;
    return scene;
}

struct scene *scene_open_descriptor(void)
{
    struct scene *scene = make_scene(IN_WRITE, NULL);
    int fds[2];

    require(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    scene->fd = fds[0];
    scene->peer = fds[1];
    open_emitter(scene);
    return scene;
}

void scene_begin(struct scene *scene)
{
    scene->ready = true;
}

void scene_unref_registry(struct scene *scene)
{
    struct sse_registry *registry = scene->registry;

    scene->registry = NULL;
    sse_registry_unref(registry);
}

void scene_free_loop(struct scene *scene)
{
    struct sse_loop *loop = scene->loop;

    sse_loop_free(loop);
    scene->loop = NULL;
}

void scene_close(struct scene *scene)
{
    scene_free_loop(scene);
    scene_unref_registry(scene);
    require(scene->acted == scene->ready && scene->left == scene->ready);
    require(scene->calls[IN_COMPLETION] == 1 && scene->calls[IN_RELEASE] == 1);
    require(scene->calls[IN_TIMEOUT] + scene->calls[IN_ERROR] <= 1);
    fake_platform_check_no_leak(&scene->fake);
    if (scene->fd >= 0) {
        close(scene->fd);
        close(scene->peer);
    }
    pthread_cond_destroy(&scene->changed);
    pthread_mutex_destroy(&scene->lock);
    free(scene);
}

int scene_send(struct scene *scene)
{
    const struct sse_event event = {.data = sse_str("text")};

    return sse_emitter_send(scene->emitter, &event);
}

int scene_publish(struct scene *scene)
{
    const struct sse_event event = {.data = sse_str("text")};

    return sse_registry_publish(scene->registry, sse_str(NULL), &event, NULL);
}

int scene_turn(struct scene *scene)
{
    return sse_loop_turn(scene->loop);
}

void scene_settle(struct scene *scene)
{
    while (scene_turn(scene) == 0)
        ;
}

struct sse_emitter_info scene_info(struct scene *scene)
{
    struct sse_emitter_info info;

    require(sse_emitter_get_info(scene->emitter, &info, sizeof(info)) == 0);
    return info;
}

enum sse_state scene_state(struct scene *scene)
{
    return scene_info(scene).state;
}

void scene_say_inside(struct scene *scene)
{
    pthread_mutex_lock(&scene->lock);
    scene->inside = true;
    pthread_cond_broadcast(&scene->changed);
    pthread_mutex_unlock(&scene->lock);
}

void scene_stay(struct scene *scene)
{
    scene_say_inside(scene);
    pthread_mutex_lock(&scene->lock);
    while (!scene->may_leave)
        pthread_cond_wait(&scene->changed, &scene->lock);
    pthread_mutex_unlock(&scene->lock);
}

void scene_wait_until_inside(struct scene *scene)
{
    pthread_mutex_lock(&scene->lock);
    while (!scene->inside)
        pthread_cond_wait(&scene->changed, &scene->lock);
    pthread_mutex_unlock(&scene->lock);
}

void scene_let_leave(struct scene *scene)
{
    pthread_mutex_lock(&scene->lock);
    scene->may_leave = true;
    pthread_cond_broadcast(&scene->changed);
    pthread_mutex_unlock(&scene->lock);
}

static int visit_member(struct sse_emitter *emitter, void *user)
{
    (void)emitter;
    scene_enter(user, IN_VISIT);
    return 0;
}

void scene_bring_about(struct scene *scene)
{
    switch (scene->place) {
    case IN_TIMEOUT:
        fake_platform_advance_ms(&scene->fake, 1000);
        break;
    case IN_ERROR:
    case IN_COMPLETION:
        (void)sse_emitter_abort(scene->emitter, -EIO);
        break;
    case IN_RELEASE:
        sse_emitter_close(scene->emitter);
        break;
    case IN_VISIT:
        (void)sse_registry_each(scene->registry, sse_str(NULL), visit_member, scene);
        return;
    case IN_WAKE:
        (void)scene_publish(scene);
        return;
    default:
        (void)scene_publish(scene);
        break;
    }
    scene_settle(scene);
}
