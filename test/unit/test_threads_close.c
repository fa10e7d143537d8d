/* SPDX-License-Identifier: MIT */
/* Calls while another thread is inside a callback: few wait for it, and nothing is lost. */
#include "callback_scene.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* How often the test checks that a call does not return too early. */
#define LOOKS 2000

#define TEXT_SIZE strlen("data: text\n\n")
#define BEGINNING_SIZE strlen(":\n")

/* Takes a turn of the loop, which reaches the callback. */
static void *enter_output(void *user)
{
    struct scene *scene = user;

    require(scene_publish(scene) == 0);
    scene_settle(scene);
    return NULL;
}

static void *close_emitter(void *user)
{
    struct scene *scene = user;

    sse_emitter_close(scene->emitter);
    require(scene->left);
    atomic_fetch_add_explicit(&scene->returned, 1, memory_order_relaxed);
    return NULL;
}

/* The close does not return before the callback has, and no other call waits for it. */
static void look_meanwhile(struct scene *scene)
{
    struct sse_registry_stats stats;

    while (scene_state(scene) != SSE_STATE_CLOSED)
        sched_yield();
    for (unsigned i = 0; i < LOOKS; i++) {
        require(scene_state(scene) == SSE_STATE_CLOSED);
        require(atomic_load_explicit(&scene->returned, memory_order_relaxed) == 0);
        sched_yield();
    }
    require(scene_send(scene) == -ECANCELED);
    require(scene_publish(scene) == 0);
    require(sse_emitter_flush(scene->emitter) == -ECANCELED);
    require(sse_emitter_complete(scene->emitter) == -EALREADY);
    require(sse_registry_count(scene->registry, sse_str(NULL)) == 0);
    require(sse_registry_get_stats(scene->registry, &stats, sizeof(stats)) == 0);
    require(sse_loop_count(scene->loop) == 1);
    require(scene_turn(scene) == -EBUSY);
    require(scene->calls[IN_COMPLETION] == 0);
}

/* The test keeps its own reference in addition to the closed one. */
static struct scene *open_referenced(enum scene_place place, void (*act)(struct scene *scene))
{
    struct scene *scene = scene_open(place, act);

    sse_emitter_ref(scene->emitter);
    scene_begin(scene);
    return scene;
}

static void end_scene(struct scene *scene)
{
    sse_emitter_unref(scene->emitter);
    scene_settle(scene);
    scene_close(scene);
}

static void close_while_inside(enum scene_place place)
{
    struct scene *scene = open_referenced(place, scene_stay);
    pthread_t holder, closer;
    size_t calls;

    require(pthread_create(&holder, NULL, enter_output, scene) == 0);
    scene_wait_until_inside(scene);
    require(pthread_create(&closer, NULL, close_emitter, scene) == 0);
    look_meanwhile(scene);
    calls = scene->calls[place];
    scene_let_leave(scene);
    pthread_join(closer, NULL);
    require(scene_send(scene) == -ECANCELED);
    require(sse_emitter_flush(scene->emitter) == -ECANCELED);
    pthread_join(holder, NULL);
    require(scene->calls[place] == calls);
    require(scene->calls[IN_COMPLETION] == 1);
    end_scene(scene);
}

static void a_close_waits_for_the_write_callback(void **state)
{
    (void)state;
    close_while_inside(IN_WRITE);
}

static void a_close_waits_for_on_ready(void **state)
{
    (void)state;
    close_while_inside(IN_READY);
    close_while_inside(IN_BLOCKED);
}

static void close_here(struct scene *scene)
{
    sse_emitter_close(scene->emitter);
    require(scene->place > IN_BLOCKED || scene->calls[IN_COMPLETION] == 0);
}

static void a_close_inside_a_callback_returns_at_once(void **state)
{
    (void)state;
    for (enum scene_place place = IN_WRITE; place <= IN_COMPLETION; place++) {
        struct scene *scene = open_referenced(place, close_here);
        size_t calls;

        scene_bring_about(scene);
        require(scene->left && scene->calls[IN_COMPLETION] == 1);
        calls = scene->calls[place];
        require(scene_send(scene) < 0);
        require(sse_emitter_flush(scene->emitter) < 0);
        scene_settle(scene);
        require(scene->calls[place] == calls);
        end_scene(scene);
    }
}

/* The emitter is closed inside the callback, which runs for a while longer. Nobody waits for it. */
static void close_here_and_stay(struct scene *scene)
{
    close_here(scene);
    scene_stay(scene);
}

static void a_close_inside_a_callback_delays_nobody(void **state)
{
    (void)state;
    for (enum scene_place place = IN_WRITE; place <= IN_BLOCKED; place++) {
        struct scene *scene = open_referenced(place, close_here_and_stay);
        pthread_t holder;

        require(pthread_create(&holder, NULL, enter_output, scene) == 0);
        scene_wait_until_inside(scene);
        look_meanwhile(scene);
        scene_let_leave(scene);
        pthread_join(holder, NULL);
        end_scene(scene);
    }
}

static struct scene *open_held(enum scene_place place, pthread_t *holder)
{
    struct scene *scene = open_referenced(place, scene_stay);

    scene->refuses = true;
    require(pthread_create(holder, NULL, enter_output, scene) == 0);
    scene_wait_until_inside(scene);
    return scene;
}

static void close_held(struct scene *scene)
{
    sse_emitter_close(scene->emitter);
    end_scene(scene);
}

/* The thread inside the output finds no room, but must try again, because room was reported in the meantime. */
static void a_flush_meanwhile_is_not_lost(void **state)
{
    pthread_t holder;
    struct scene *scene = open_held(IN_WRITE, &holder);

    (void)state;
    require(sse_emitter_flush(scene->emitter) == 1);
    require(scene_send(scene) == 0);
    scene_let_leave(scene);
    pthread_join(holder, NULL);
    require(scene_info(scene).bytes == BEGINNING_SIZE + 2 * TEXT_SIZE);
    close_held(scene);
}

/* Events that others queue in the meantime, and the end that they request, need no other wake. */
static void an_end_meanwhile_is_handled_by_the_running_thread(void **state)
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
    require(scene_info(scene).bytes == BEGINNING_SIZE + 2 * TEXT_SIZE);
    close_held(scene);
}

/* A reader that finds nothing while on_ready still runs is notified again. */
static void a_reader_meanwhile_is_told_again(void **state)
{
    pthread_t holder;
    struct scene *scene = open_held(IN_READY, &holder);
    char bytes[64];

    (void)state;
    require(sse_emitter_read(scene->emitter, bytes, sizeof(bytes)) > 0);
    require(sse_emitter_read(scene->emitter, bytes, sizeof(bytes)) == 0);
    require(scene_send(scene) == 0);
    require(scene->calls[IN_READY] == 2);
    scene_let_leave(scene);
    pthread_join(holder, NULL);
    require(scene->calls[IN_READY] == 3);
    close_held(scene);
}

/* A reader peeks at a stream that has ended and is empty, before the callbacks at its end could run. */
static void events_lost_at_the_end_are_counted(void **state)
{
    pthread_t holder;
    struct scene *scene = open_held(IN_READY, &holder);
    struct iovec iov;

    (void)state;
    require(sse_emitter_peek(scene->emitter, &iov, 1) == 1);
    require(sse_emitter_abort(scene->emitter, -EIO) == 0);
    require(sse_emitter_peek(scene->emitter, &iov, 1) == -EIO);
    scene_let_leave(scene);
    pthread_join(holder, NULL);
    require(scene->completion.reason == SSE_REASON_ABORTED && scene->completion.dropped == 1);
    close_held(scene);
}

/* The peeked bytes stay valid while the reader has a reference. */
static void peeked_bytes_outlive_a_close(void **state)
{
    struct scene *scene = open_referenced(IN_READY, scene_say_inside);
    struct iovec iov;

    (void)state;
    require(scene_publish(scene) == 0);
    scene_settle(scene);
    require(sse_emitter_peek(scene->emitter, &iov, 1) == 1);
    sse_emitter_close(scene->emitter);
    scene_settle(scene);
    require(scene->calls[IN_COMPLETION] == 1);
    require(iov.iov_len == TEXT_SIZE && !memcmp(iov.iov_base, "data: text\n\n", TEXT_SIZE));
    require(sse_emitter_consume(scene->emitter, TEXT_SIZE) == 0);
    require(sse_emitter_peek(scene->emitter, &iov, 1) == -ECANCELED);
    end_scene(scene);
}

static void a_close_does_not_call_on_ready(void **state)
{
    struct scene *scene = scene_open(IN_READY, NULL);
    size_t calls = scene->calls[IN_READY];

    (void)state;
    sse_emitter_close(scene->emitter);
    scene_settle(scene);
    require(scene->calls[IN_READY] == calls);
    scene_close(scene);
}

static void *publish_once(void *user)
{
    require(scene_publish(user) == 0);
    return NULL;
}

static void *free_loop(void *user)
{
    struct scene *scene = user;

    scene_free_loop(scene);
    require(scene->left);
    atomic_fetch_add_explicit(&scene->returned, 1, memory_order_relaxed);
    return NULL;
}

/* A publisher that is waking a loop pins it. */
static void the_end_of_a_loop_waits_for_on_wake(void **state)
{
    struct scene *scene = open_referenced(IN_WAKE, scene_stay);
    pthread_t holder, closer;
    size_t wakes;

    (void)state;
    require(pthread_create(&holder, NULL, publish_once, scene) == 0);
    scene_wait_until_inside(scene);
    require(pthread_create(&closer, NULL, free_loop, scene) == 0);
    for (unsigned i = 0; i < LOOKS; i++) {
        require(atomic_load_explicit(&scene->returned, memory_order_relaxed) == 0);
        require(scene_publish(scene) == 0);
        sched_yield();
    }
    wakes = scene->calls[IN_WAKE];
    scene_let_leave(scene);
    pthread_join(closer, NULL);
    pthread_join(holder, NULL);
    require(scene_state(scene) == SSE_STATE_CLOSED);
    require(scene->calls[IN_COMPLETION] == 1 && scene->calls[IN_RELEASE] == 0);
    require(scene->calls[IN_WAKE] == wakes);
    sse_emitter_close(scene->emitter);
    sse_emitter_unref(scene->emitter);
    require(scene->calls[IN_RELEASE] == 1);
    scene_close(scene);
}

/* A publisher meets a loop that others are waking. It does not wait for them. Row L6. */
static void a_publish_meanwhile_wakes_nobody(void **state)
{
    struct scene *scene = open_referenced(IN_WAKE, scene_stay);
    pthread_t holder;

    (void)state;
    require(pthread_create(&holder, NULL, publish_once, scene) == 0);
    scene_wait_until_inside(scene);
    for (unsigned i = 0; i < 100; i++)
        require(scene_publish(scene) == 0);
    require(scene_turn(scene) >= -1);
    require(scene_info(scene).bytes > BEGINNING_SIZE + TEXT_SIZE);
    scene_let_leave(scene);
    pthread_join(holder, NULL);
    close_held(scene);
}

static void *close_and_be_cancelled(void *user)
{
    struct scene *scene = user;

    (void)close_emitter(scene);
    scene->cancelled = true;
    pthread_testcancel();
    return NULL;
}

static void a_close_that_waits_is_not_cancelled(void **state)
{
    struct scene *scene = open_referenced(IN_WRITE, scene_stay);
    pthread_t holder, closer;
    void *result;

    (void)state;
    require(pthread_create(&holder, NULL, enter_output, scene) == 0);
    scene_wait_until_inside(scene);
    require(pthread_create(&closer, NULL, close_and_be_cancelled, scene) == 0);
    while (scene_state(scene) != SSE_STATE_CLOSED)
        sched_yield();
    require(pthread_cancel(closer) == 0);
    look_meanwhile(scene);
    scene_let_leave(scene);
    require(pthread_join(closer, &result) == 0);
    require(result == PTHREAD_CANCELED && scene->cancelled);
    pthread_join(holder, NULL);
    end_scene(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_close_waits_for_the_write_callback),
        cmocka_unit_test(a_close_waits_for_on_ready),
        cmocka_unit_test(a_close_inside_a_callback_returns_at_once),
        cmocka_unit_test(a_close_inside_a_callback_delays_nobody),
        cmocka_unit_test(a_flush_meanwhile_is_not_lost),
        cmocka_unit_test(an_end_meanwhile_is_handled_by_the_running_thread),
        cmocka_unit_test(a_reader_meanwhile_is_told_again),
        cmocka_unit_test(events_lost_at_the_end_are_counted),
        cmocka_unit_test(peeked_bytes_outlive_a_close),
        cmocka_unit_test(a_close_does_not_call_on_ready),
        cmocka_unit_test(the_end_of_a_loop_waits_for_on_wake),
        cmocka_unit_test(a_publish_meanwhile_wakes_nobody),
        cmocka_unit_test(a_close_that_waits_is_not_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
