/* SPDX-License-Identifier: MIT */
/* Threads that are cancelled inside the library, or inside a callback. */
#include "callback_scene.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* How often the test checks that a call does not return too early. */
#define LOOKS 2000

/* Requests a cancellation, which takes effect only at a cancellation point. There must be none inside. */
static void cancel_here(struct scene *scene)
{
    require(pthread_cancel(pthread_self()) == 0);
    pthread_testcancel();
    scene->cancelled = true;
}

static void *be_cancelled(void *user)
{
    scene_bring_about(user);
    pthread_testcancel();
    return NULL;
}

static void join_cancelled(pthread_t thread)
{
    void *result;

    require(pthread_join(thread, &result) == 0);
    require(result == PTHREAD_CANCELED);
}

/* Gives the output room again, and lets the reader read. */
static void take_all(struct scene *scene)
{
    char bytes[64];

    scene->full = false;
    if (scene->place == IN_READY)
        while (sse_emitter_read(scene->emitter, bytes, sizeof(bytes)) > 0)
            ;
    require(sse_emitter_flush(scene->emitter) >= 0);
    scene_settle(scene);
}

/* Checks that no lock is held, and that every notification was made. */
static void check_still_works(struct scene *scene)
{
    enum scene_place told = scene->place == IN_READY ? IN_READY : IN_BLOCKED;
    size_t wakes, calls;

    take_all(scene);
    wakes = scene->calls[IN_WAKE];
    calls = scene->calls[told];
    scene->full = true;
    require(scene_publish(scene) == 0);
    require(scene->calls[IN_WAKE] == wakes + 1);
    scene_settle(scene);
    require(scene->calls[told] == calls + 1);
    require(scene_state(scene) == SSE_STATE_OPEN);
}

static void cancel_in(enum scene_place place)
{
    bool ends = place == IN_TIMEOUT || place == IN_ERROR || place == IN_COMPLETION;
    struct scene *scene = scene_open(place, cancel_here);
    pthread_t thread;

    scene_begin(scene);
    require(pthread_create(&thread, NULL, be_cancelled, scene) == 0);
    join_cancelled(thread);
    require(scene->cancelled);
    if (place != IN_RELEASE && !ends)
        check_still_works(scene);
    if (place != IN_RELEASE)
        sse_emitter_close(scene->emitter);
    scene_settle(scene);
    scene_close(scene);
}

static void no_callback_is_cancelled(void **state)
{
    (void)state;
    for (enum scene_place place = IN_WRITE; place < PLACES; place++)
        cancel_in(place);
}

static void *send_for_ever(void *user)
{
    struct scene *scene = user;

    for (;;) {
        (void)scene_send(scene);
        (void)scene_publish(scene);
        scene_say_inside(scene);
        pthread_testcancel();
    }
    return NULL;
}

static void *turn_for_ever(void *user)
{
    struct scene *scene = user;

    for (;;) {
        (void)scene_turn(scene);
        pthread_testcancel();
    }
    return NULL;
}

static void drain_peer(struct scene *scene, struct schedule_random *random)
{
    char bytes[512];

    for (unsigned i = schedule_below(random, 200); i > 0; i--) {
        if (scene->peer >= 0)
            (void)recv(scene->peer, bytes, sizeof(bytes), MSG_DONTWAIT);
        schedule_pause(random);
    }
}

/* Whatever state the emitter is in, every call returns. */
static void call_everything(struct scene *scene)
{
    (void)scene_send(scene);
    require(scene_publish(scene) == 0);
    (void)sse_emitter_flush(scene->emitter);
    (void)scene_state(scene);
    require(scene_turn(scene) >= -1);
    require(sse_registry_count(scene->registry, sse_str(NULL)) <= 1);
    sse_emitter_close(scene->emitter);
    require(sse_registry_count(scene->registry, sse_str(NULL)) == 0);
    scene_settle(scene);
    require(sse_loop_count(scene->loop) == 0);
}

static void cancel_both(struct scene *scene, struct schedule_random *random)
{
    pthread_t sender, turner;

    require(pthread_create(&turner, NULL, turn_for_ever, scene) == 0);
    require(pthread_create(&sender, NULL, send_for_ever, scene) == 0);
    scene_wait_until_inside(scene);
    drain_peer(scene, random);
    require(pthread_cancel(sender) == 0);
    drain_peer(scene, random);
    require(pthread_cancel(turner) == 0);
    join_cancelled(sender);
    join_cancelled(turner);
    call_everything(scene);
    scene_close(scene);
}

/* Fault 45. */
static void a_cancelled_thread_leaves_no_lock_behind(void **state)
{
    struct schedule_random random;
    unsigned rounds = schedule_rounds(60);

    (void)state;
    schedule_random_init(&random, schedule_seed(), 7);
    for (unsigned i = 0; i < rounds; i++) {
        cancel_both(scene_open(IN_WRITE, NULL), &random);
        cancel_both(scene_open(IN_READY, NULL), &random);
        cancel_both(scene_open_descriptor(), &random);
    }
}

static void *wait_for_ever(void *user)
{
    struct scene *scene = user;

    scene_say_inside(scene);
    require(sse_emitter_wait(scene->emitter, -1) == -EINTR);
    scene->cancelled = true;
    pthread_testcancel();
    return NULL;
}

static void a_wait_is_not_cancelled(void **state)
{
    struct scene *scene = scene_open(IN_READY, NULL);
    pthread_t thread;

    (void)state;
    require(pthread_create(&thread, NULL, wait_for_ever, scene) == 0);
    scene_wait_until_inside(scene);
    require(pthread_cancel(thread) == 0);
    for (unsigned i = 0; i < LOOKS; i++)
        require(scene_state(scene) == SSE_STATE_OPEN);
    require(sse_emitter_interrupt(scene->emitter) == 0);
    join_cancelled(thread);
    require(scene->cancelled);
    require(scene_send(scene) == 0);
    require(sse_emitter_wait(scene->emitter, 0) == 1);
    sse_emitter_close(scene->emitter);
    scene_settle(scene);
    scene_close(scene);
}

/* An emitter without a loop, whose thread is cancelled in a flush. */
struct flush {
    struct sse_emitter *emitter;
    int fds[2];
    bool full;
    bool came_back;
};

static ssize_t write_or_be_cancelled(void *user, const struct iovec *iov, int count)
{
    const struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov,
                                   .msg_iovlen = (unsigned short)count};
    struct flush *flush = user;
    ssize_t sent;

    pthread_testcancel();
    if (flush->full)
        return -EAGAIN;
    sent = sendmsg(flush->fds[0], &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 ? -errno : sent;
}

static void *flush_cancelled(void *user)
{
    struct flush *flush = user;

    require(pthread_cancel(pthread_self()) == 0);
    require(sse_emitter_flush(flush->emitter) >= 0);
    flush->came_back = true;
    pthread_testcancel();
    return NULL;
}

static void receive_all(const struct flush *flush)
{
    char bytes[4096];

    while (recv(flush->fds[1], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        ;
}

static size_t queued_bytes(const struct flush *flush)
{
    struct sse_emitter_info info;

    require(sse_emitter_get_info(flush->emitter, &info, sizeof(info)) == 0);
    return info.queued_bytes;
}

/* The first event has filled the socket or the callback. Then there is room again. */
static void fill(struct flush *flush)
{
    static char text[60000];
    const struct sse_event event = {.data = {memset(text, 'x', sizeof(text)), sizeof(text)}};

    flush->full = true;
    while (!queued_bytes(flush))
        require(sse_emitter_send(flush->emitter, &event) == 0);
    flush->full = false;
    receive_all(flush);
}

static void a_flush_is_not_cancelled(void **state)
{
    static const enum sse_output outputs[] = {SSE_OUTPUT_FD, SSE_OUTPUT_CALLBACK};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct flush flush = {.emitter = NULL};
        struct sse_emitter_options options = {.size = sizeof(options), .output = outputs[i], .user = &flush};
        pthread_t thread;

        require(socketpair(AF_UNIX, SOCK_STREAM, 0, flush.fds) == 0);
        options.fd = i ? 0 : flush.fds[0];
        options.keep_fd = !i;
        options.write = i ? write_or_be_cancelled : NULL;
        require(sse_emitter_new(&flush.emitter, &options, NULL) == 0);
        fill(&flush);
        require(pthread_create(&thread, NULL, flush_cancelled, &flush) == 0);
        join_cancelled(thread);
        require(flush.came_back);
        do
            receive_all(&flush);
        while (sse_emitter_flush(flush.emitter) == 1);
        require(queued_bytes(&flush) == 0);
        sse_emitter_close(flush.emitter);
        close(flush.fds[0]);
        close(flush.fds[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_callback_is_cancelled),
        cmocka_unit_test(a_cancelled_thread_leaves_no_lock_behind),
        cmocka_unit_test(a_wait_is_not_cancelled),
        cmocka_unit_test(a_flush_is_not_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
