/* SPDX-License-Identifier: MIT */
#include "callback_scene.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const place_names[PLACES] = {
    "write",         "on_blocked", "on_ready", "on_timeout", "on_error",
    "on_completion", "on_release", "on_wake",  "visitor",
};

void scene_enter(struct scene *scene, enum scene_place place)
{
    /* A host's callbacks contain cancellation points; the library must not let them be any. */
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

static void on_blocked(struct sse_emitter *emitter, void *user)
{
    (void)emitter;
    scene_enter(user, IN_BLOCKED);
}

static void on_ready(struct sse_emitter *emitter, void *user)
{
    (void)emitter;
    scene_enter(user, IN_READY);
}

static void on_timeout(struct sse_emitter *emitter, enum sse_reason reason, void *user)
{
    (void)emitter;
    (void)reason;
    scene_enter(user, IN_TIMEOUT);
}

static void on_error(struct sse_emitter *emitter, int error, void *user)
{
    (void)emitter;
    (void)error;
    scene_enter(user, IN_ERROR);
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct scene *scene = user;

    scene->completion = *completion;
    if (scene->registry)
        require(sse_registry_remove(scene->registry, emitter) == -ENOENT);
    /* Never while a callback of the sink runs. */
    require(scene->place > IN_READY || scene->left || !scene->acted);
    scene_enter(scene, IN_COMPLETION);
}

static void on_release(void *user)
{
    scene_enter(user, IN_RELEASE);
}

static void on_wake(struct sse_registry *registry, void *user)
{
    (void)registry;
    scene_enter(user, IN_WAKE);
}

static enum sse_drain drain_of(const struct scene *scene)
{
    if (scene->fd >= 0)
        return SSE_DRAIN_FD;
    return scene->place == IN_READY ? SSE_DRAIN_PULL : SSE_DRAIN_CALLBACK;
}

static void open_emitter(struct scene *scene)
{
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .host = &scene->host,
        .drain = drain_of(scene),
        .fd = scene->fd,
        .write = write_bytes,
        .lifetime_ms = 1000,
        .on_ready = on_ready,
        .on_blocked = on_blocked,
        .on_timeout = on_timeout,
        .on_error = on_error,
        .on_completion = on_completion,
        .on_release = on_release,
        .user = scene,
    };

    require(sse_emitter_new(&scene->emitter, &options) == 0);
}

static void open_registry(struct scene *scene)
{
    const struct sse_registry_options options = {
        .size = sizeof(options), .host = &scene->host, .on_wake = on_wake, .user = scene};

    require(sse_registry_new(&scene->registry, &options) == 0);
}

static struct scene *make_scene(enum scene_place place, void (*act)(struct scene *scene))
{
    struct scene *scene = calloc(1, sizeof(*scene));

    require(scene != NULL);
    schedule_scene(place_names[place]);
    fake_host_init(&scene->fake);
    schedule_host_init(&scene->host, &scene->fake, true);
    scene->place = place;
    scene->act = act;
    scene->full = place == IN_BLOCKED || place == IN_WAKE;
    scene->fd = -1;
    scene->peer = -1;
    pthread_mutex_init(&scene->lock, NULL);
    pthread_cond_init(&scene->changed, NULL);
    open_registry(scene);
    return scene;
}

struct scene *scene_open(enum scene_place place, void (*act)(struct scene *scene))
{
    struct scene *scene = make_scene(place, act);

    open_emitter(scene);
    return scene;
}

void scene_begin(struct scene *scene, bool as_member)
{
    char byte;

    if (as_member)
        require(sse_registry_add(scene->registry, scene->emitter) == 0);
    if (scene->place == IN_READY)
        require(sse_emitter_read(scene->emitter, &byte, 1) == 0);
    scene->ready = true;
}

void scene_close(struct scene *scene)
{
    require(scene->acted == scene->ready && scene->left == scene->ready);
    require(scene->calls[IN_COMPLETION] == 1 && scene->calls[IN_RELEASE] == 1);
    require(scene->calls[IN_TIMEOUT] + scene->calls[IN_ERROR] <= 1);
    fake_host_check_no_leak(&scene->fake);
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

int scene_broadcast(struct scene *scene)
{
    const struct sse_event event = {.data = sse_str("text")};

    return sse_registry_broadcast(scene->registry, &event, NULL);
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

void scene_unref_registry(struct scene *scene)
{
    struct sse_registry *registry = scene->registry;

    scene->registry = NULL;
    sse_registry_unref(registry);
}

enum sse_state scene_state(struct scene *scene)
{
    struct sse_emitter_info info = {.size = sizeof(info)};

    require(sse_emitter_info(scene->emitter, &info) == 0);
    return info.state;
}

void scene_bring_about(struct scene *scene)
{
    switch (scene->place) {
    case IN_TIMEOUT:
        fake_host_advance_ms(&scene->fake, 1000);
        (void)sse_emitter_tick(scene->emitter);
        break;
    case IN_ERROR:
    case IN_COMPLETION:
        (void)sse_emitter_complete_with_error(scene->emitter, -EIO);
        break;
    default:
        (void)scene_send(scene);
        break;
    }
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
