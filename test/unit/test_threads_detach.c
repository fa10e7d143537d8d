/* SPDX-License-Identifier: MIT */
/* What calls do while another thread is inside a callback: few wait for it, and nothing is lost. */
#include "callback_scene.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define DETACHERS 2
/* How often the test looks whether a call returns that must not. */
#define LOOKS 2000

static void *enter_sink(void *user)
{
    struct scene *scene = user;

    (void)scene_broadcast(scene);
    return NULL;
}

static void *detach(void *user)
{
    struct scene *scene = user;

    require(sse_emitter_detach(scene->emitter) == 0);
    require(scene->left);
    atomic_fetch_add_explicit(&scene->returned, 1, memory_order_relaxed);
    return NULL;
}

/* Nobody returns before the callback, and nobody else waits for it. */
static void look_meanwhile(struct scene *scene)
{
    while (scene_state(scene) != SSE_STATE_CLOSED)
        sched_yield();
    for (unsigned i = 0; i < LOOKS; i++) {
        require(scene_state(scene) == SSE_STATE_CLOSED);
        require(atomic_load_explicit(&scene->returned, memory_order_relaxed) == 0);
        sched_yield();
    }
    require(scene_send(scene) == -ECANCELED);
    require(scene_broadcast(scene) == 0);
    require(sse_emitter_flush(scene->emitter) == -ECANCELED);
    require(sse_emitter_complete(scene->emitter) == -EALREADY);
    require(sse_emitter_tick(scene->emitter) == 0);
    require(sse_registry_tick(scene->registry) == 0);
    require(sse_registry_next_ready(scene->registry) == NULL);
    require(scene->calls[IN_COMPLETION] == 0);
}

static void detach_while_inside(enum scene_place place)
{
    struct scene *scene = scene_open(place, scene_stay);
    pthread_t holder, detachers[DETACHERS];
    size_t calls;

    scene_begin(scene, true);
    require(pthread_create(&holder, NULL, enter_sink, scene) == 0);
    scene_wait_until_inside(scene);
    for (unsigned i = 0; i < DETACHERS; i++)
        require(pthread_create(&detachers[i], NULL, detach, scene) == 0);
    look_meanwhile(scene);
    calls = scene->calls[place];
    scene_let_leave(scene);
    for (unsigned i = 0; i < DETACHERS; i++)
        pthread_join(detachers[i], NULL);
    require(scene_send(scene) == -ECANCELED);
    require(sse_emitter_flush(scene->emitter) == -ECANCELED);
    pthread_join(holder, NULL);
    require(scene->calls[place] == calls);
    sse_emitter_unref(scene->emitter);
    scene_unref_registry(scene);
    scene_close(scene);
}

static void a_detach_waits_for_the_write_callback(void **state)
{
    (void)state;
    detach_while_inside(IN_WRITE);
}

static void a_detach_waits_for_on_blocked(void **state)
{
    (void)state;
    detach_while_inside(IN_BLOCKED);
}

static void a_detach_waits_for_on_ready(void **state)
{
    (void)state;
    detach_while_inside(IN_READY);
}

static void detach_here(struct scene *scene)
{
    require(sse_emitter_detach(scene->emitter) == 0);
    require(scene->place > IN_READY || scene->calls[IN_COMPLETION] == 0);
}

static void a_detach_inside_a_callback_returns_at_once(void **state)
{
    (void)state;
    for (enum scene_place place = IN_WRITE; place <= IN_COMPLETION; place++) {
        struct scene *scene = scene_open(place, detach_here);
        size_t calls;

        scene_begin(scene, false);
        scene_bring_about(scene);
        require(scene->left && scene->calls[IN_COMPLETION] == 1);
        calls = scene->calls[place];
        require(scene_send(scene) < 0);
        require(sse_emitter_flush(scene->emitter) < 0);
        require(scene->calls[place] == calls);
        sse_emitter_unref(scene->emitter);
        scene_unref_registry(scene);
        scene_close(scene);
    }
}

/* The holder detaches too: it must not wait for itself, and the others still wait for it. */
static void detach_here_and_stay(struct scene *scene)
{
    detach_here(scene);
    scene_stay(scene);
}

static void a_detach_inside_and_others_outside(void **state)
{
    (void)state;
    for (enum scene_place place = IN_WRITE; place <= IN_READY; place++) {
        struct scene *scene = scene_open(place, detach_here_and_stay);
        pthread_t holder, detacher;

        scene_begin(scene, true);
        require(pthread_create(&holder, NULL, enter_sink, scene) == 0);
        scene_wait_until_inside(scene);
        require(pthread_create(&detacher, NULL, detach, scene) == 0);
        look_meanwhile(scene);
        scene_let_leave(scene);
        pthread_join(detacher, NULL);
        pthread_join(holder, NULL);
        sse_emitter_unref(scene->emitter);
        scene_unref_registry(scene);
        scene_close(scene);
    }
}

static uint64_t bytes_of(struct scene *scene)
{
    struct sse_emitter_info info = {.size = sizeof(info)};

    require(sse_emitter_info(scene->emitter, &info) == 0);
    return info.bytes;
}

static struct scene *open_held(enum scene_place place, pthread_t *holder)
{
    struct scene *scene = scene_open(place, scene_stay);

    scene_begin(scene, true);
    scene->refuses = true;
    require(pthread_create(holder, NULL, enter_sink, scene) == 0);
    scene_wait_until_inside(scene);
    return scene;
}

static void close_held(struct scene *scene)
{
    sse_emitter_unref(scene->emitter);
    scene_unref_registry(scene);
    scene_close(scene);
}

/* The thread inside the sink finds no room, but has to try again: room was announced meanwhile. */
static void a_flush_meanwhile_is_not_lost(void **state)
{
    pthread_t holder;
    struct scene *scene = open_held(IN_WRITE, &holder);

    (void)state;
    require(sse_emitter_flush(scene->emitter) == 1);
    require(scene_send(scene) == 0);
    scene_let_leave(scene);
    pthread_join(holder, NULL);
    require(bytes_of(scene) == 2 * strlen("data: text\n\n"));
    close_held(scene);
}

/* The thread inside the sink takes along what others queue and end. */
static void an_end_meanwhile_is_taken_along(void **state)
{
    pthread_t holder;
    struct scene *scene = open_held(IN_WRITE, &holder);

    (void)state;
    scene->refuses = false;
    require(scene_send(scene) == 0);
    require(sse_emitter_complete(scene->emitter) == 0);
    require(scene->calls[IN_COMPLETION] == 0);
    scene_let_leave(scene);
    pthread_join(holder, NULL);
    require(scene->calls[IN_COMPLETION] == 1);
    require(bytes_of(scene) == 2 * strlen("data: text\n\n"));
    close_held(scene);
}

/* A reader that finds nothing while on_ready still runs is told again, by the same thread. */
static void a_reader_meanwhile_is_told_again(void **state)
{
    pthread_t holder;
    struct scene *scene = open_held(IN_READY, &holder);
    char bytes[64];

    (void)state;
    require(sse_emitter_read(scene->emitter, bytes, sizeof(bytes)) > 0);
    require(sse_emitter_read(scene->emitter, bytes, sizeof(bytes)) == 0);
    require(scene_send(scene) == 0);
    require(scene->calls[IN_READY] == 1);
    scene_let_leave(scene);
    pthread_join(holder, NULL);
    require(scene->calls[IN_READY] == 2);
    close_held(scene);
}

/* A reader that looks in vain at a stream that has ended, before the hooks at its end could run. */
static void what_an_end_cuts_off_is_counted(void **state)
{
    pthread_t holder;
    struct scene *scene = open_held(IN_READY, &holder);
    struct iovec iov;

    (void)state;
    require(sse_emitter_peek(scene->emitter, &iov, 1) == 1);
    require(sse_emitter_complete_with_error(scene->emitter, -EIO) == 0);
    require(sse_emitter_peek(scene->emitter, &iov, 1) == -EIO);
    scene_let_leave(scene);
    pthread_join(holder, NULL);
    require(scene->completion.reason == SSE_REASON_APPLICATION && scene->completion.dropped == 1);
    close_held(scene);
}

static void a_detach_is_not_told_to_the_reader(void **state)
{
    struct scene *scene = scene_open(IN_READY, NULL);
    char byte;

    (void)state;
    require(sse_emitter_read(scene->emitter, &byte, 1) == 0);
    require(sse_emitter_detach(scene->emitter) == 0);
    require(scene->calls[IN_READY] == 0);
    close_held(scene);
}

static void *unref_registry(void *user)
{
    struct scene *scene = user;

    scene_unref_registry(scene);
    require(scene->left);
    atomic_fetch_add_explicit(&scene->returned, 1, memory_order_relaxed);
    return NULL;
}

static void *send_once(void *user)
{
    (void)scene_send(user);
    return NULL;
}

static void the_last_unref_of_a_registry_waits_for_on_wake(void **state)
{
    struct scene *scene = scene_open(IN_WAKE, scene_stay);
    pthread_t holder, closer;
    size_t wakes;

    (void)state;
    scene_begin(scene, true);
    require(pthread_create(&holder, NULL, send_once, scene) == 0);
    scene_wait_until_inside(scene);
    require(pthread_create(&closer, NULL, unref_registry, scene) == 0);
    for (unsigned i = 0; i < LOOKS; i++) {
        require(atomic_load_explicit(&scene->returned, memory_order_relaxed) == 0);
        sched_yield();
    }
    wakes = scene->calls[IN_WAKE];
    scene_let_leave(scene);
    pthread_join(closer, NULL);
    pthread_join(holder, NULL);
    sse_emitter_unref(scene->emitter);
    require(scene->calls[IN_WAKE] == wakes);
    scene_close(scene);
}

static void *detach_and_be_cancelled(void *user)
{
    struct scene *scene = user;

    (void)detach(scene);
    scene->cancelled = true;
    pthread_testcancel();
    return NULL;
}

static void a_detach_that_waits_is_not_cancelled(void **state)
{
    struct scene *scene = scene_open(IN_WRITE, scene_stay);
    pthread_t holder, detacher;
    void *result;

    (void)state;
    scene_begin(scene, true);
    require(pthread_create(&holder, NULL, enter_sink, scene) == 0);
    scene_wait_until_inside(scene);
    require(pthread_create(&detacher, NULL, detach_and_be_cancelled, scene) == 0);
    while (scene_state(scene) != SSE_STATE_CLOSED)
        sched_yield();
    require(pthread_cancel(detacher) == 0);
    look_meanwhile(scene);
    scene_let_leave(scene);
    require(pthread_join(detacher, &result) == 0);
    require(result == PTHREAD_CANCELED && scene->cancelled);
    pthread_join(holder, NULL);
    sse_emitter_unref(scene->emitter);
    scene_unref_registry(scene);
    scene_close(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_detach_waits_for_the_write_callback),
        cmocka_unit_test(a_detach_waits_for_on_blocked),
        cmocka_unit_test(a_detach_waits_for_on_ready),
        cmocka_unit_test(a_detach_inside_a_callback_returns_at_once),
        cmocka_unit_test(a_detach_inside_and_others_outside),
        cmocka_unit_test(a_flush_meanwhile_is_not_lost),
        cmocka_unit_test(an_end_meanwhile_is_taken_along),
        cmocka_unit_test(a_reader_meanwhile_is_told_again),
        cmocka_unit_test(what_an_end_cuts_off_is_counted),
        cmocka_unit_test(a_detach_is_not_told_to_the_reader),
        cmocka_unit_test(the_last_unref_of_a_registry_waits_for_on_wake),
        cmocka_unit_test(a_detach_that_waits_is_not_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
