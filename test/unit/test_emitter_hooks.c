/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/emitter.h>

#include "fake_host.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define STALL_MS 1000

static const struct sse_event tick = {.data = {"tick", 4}};

enum place { IN_WRITE, IN_BLOCKED, IN_READY, IN_TIMEOUT, IN_ERROR, IN_COMPLETION, IN_RELEASE, PLACES };

/* What the test keeps of an emitter. `user` is a pointer to it in memory of its own, freed in
 * on_release, so that sanitizers see a hook that comes later. */
struct client {
    struct fake_host host;
    struct sse_emitter *emitter; /* NULL once the host's reference is given back */
    struct sse_emitter *other, *kept;
    char log[16]; /* a letter for each hook, in order; of one that goes on and on, one */
    struct sse_completion record;
    int told; /* the reason of on_timeout or the error of on_error */
    size_t writes;
    ssize_t result, later; /* of the write callback, or 0: it takes all */
    _Atomic int inside;
    int deepest;
    void (*act)(struct client *client); /* runs in this place, once unless `always` */
    enum place place;
    size_t call, count; /* for the acts */
    bool always, pull, on_other, in_thread;
    pthread_t thread;
    int answer, still_inside;
    int (*again)(struct sse_emitter *emitter);
};

static void reach(void *user, enum place place)
{
    struct client *client = *(struct client **)user;
    void (*act)(struct client * client) = client->place == place ? client->act : NULL;
    size_t length = strlen(client->log);
    int depth = ++client->inside;

    if (place != IN_WRITE && length + 1 < sizeof(client->log) &&
        (place >= IN_TIMEOUT || !length || client->log[length - 1] != "wbrtecx"[place]))
        client->log[length] = "wbrtecx"[place];
    if (depth > client->deepest)
        client->deepest = depth;
    if (!client->always && act)
        client->act = NULL;
    if (act)
        act(client);
    client->inside--;
}

static ssize_t on_write(void *user, const struct iovec *iov, int count)
{
    struct client *client = *(struct client **)user;
    ssize_t size = 0;

    client->writes++;
    for (int i = 0; i < count; i++)
        size += (ssize_t)iov[i].iov_len;
    reach(user, IN_WRITE);
    return client->result ? client->result : size;
}

static void on_wake(struct sse_emitter *emitter, void *user)
{
    (void)emitter;
    reach(user, (*(struct client **)user)->pull ? IN_READY : IN_BLOCKED);
}

static void on_timeout(struct sse_emitter *emitter, enum sse_reason reason, void *user)
{
    (void)emitter;
    (*(struct client **)user)->told = (int)reason;
    reach(user, IN_TIMEOUT);
}

static void on_error(struct sse_emitter *emitter, int error, void *user)
{
    (void)emitter;
    (*(struct client **)user)->told = error;
    reach(user, IN_ERROR);
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    (void)emitter;
    (*(struct client **)user)->record = *completion;
    reach(user, IN_COMPLETION);
}

static void on_release(void *user)
{
    reach(user, IN_RELEASE);
    free(user);
}

static int open_another(struct client *client, struct sse_emitter **emitter)
{
    const struct sse_emitter_options options = {
        .size = sizeof(options), .host = &client->host.host, .drain = SSE_DRAIN_PULL};

    return sse_emitter_new(emitter, &options);
}

static void open_emitter(struct client *client, bool pull)
{
    struct client **user = malloc(sizeof(*user));
    const struct sse_emitter_options options = {.size = sizeof(options),
                                                .host = &client->host.host,
                                                .user = user,
                                                .stall_ms = STALL_MS,
                                                .drain = pull ? SSE_DRAIN_PULL : SSE_DRAIN_CALLBACK,
                                                .write = on_write,
                                                .on_blocked = on_wake,
                                                .on_ready = on_wake,
                                                .on_timeout = on_timeout,
                                                .on_error = on_error,
                                                .on_completion = on_completion,
                                                .on_release = on_release};

    assert_non_null(user);
    memset(client, 0, sizeof(*client));
    fake_host_init(&client->host);
    *user = client;
    client->pull = pull;
    assert_int_equal(sse_emitter_new(&client->emitter, &options), 0);
    assert_int_equal(open_another(client, &client->other), 0);
}

static void give_back(struct client *client)
{
    struct sse_emitter *emitter = client->emitter;

    client->emitter = NULL;
    sse_emitter_unref(emitter);
}

/* Whatever happened: the hooks at the end ran once each, in their order, and nothing is left. */
static void finish(struct client *client)
{
    size_t end = strspn(client->log, "br");
    bool timeout;

    give_back(client);
    sse_emitter_unref(client->other);
    fake_host_check_no_leak(&client->host);
    assert_true(client->deepest <= 1);
    timeout = client->log[end] == 't';
    if (timeout || client->log[end] == 'e')
        assert_int_equal(client->told, timeout ? (int)client->record.reason : client->record.error);
    end += timeout || client->log[end] == 'e';
    assert_string_equal(client->log + end, "cx");
}

enum { DETACH = 2, FLUSH = 3, CALLS = 18 };
#define SOME 1000  /* any answer above 0 */
#define ENDED 1001 /* the errno of the end */

static int fail_it(struct sse_emitter *emitter)
{
    return sse_emitter_complete_with_error(emitter, -EPROTO);
}

static int send_tick(struct sse_emitter *emitter)
{
    return sse_emitter_send(emitter, &tick);
}

static int call(struct client *client)
{
    static int (*const plain[])(struct sse_emitter *) = {sse_emitter_complete,  fail_it,
                                                         sse_emitter_detach,    sse_emitter_flush,
                                                         sse_emitter_interrupt, sse_emitter_next_timeout,
                                                         sse_emitter_tick,      send_tick};
    struct sse_emitter *emitter = client->on_other ? client->other : client->emitter, *made = NULL;
    struct sse_emitter_info info = {.size = sizeof(info)};
    struct sse_message *message = NULL;
    struct iovec iov;
    char buffer[100];
    int result;

    if (client->call < COUNT(plain))
        return plain[client->call](emitter);
    switch (client->call) {
    case 8:
        result = sse_message_new(&message, &tick, 1, &client->host.host);
        result = result ? result : sse_emitter_send_message(emitter, message);
        sse_message_unref(message);
        return result;
    case 9:
        return sse_emitter_peek(emitter, &iov, 1);
    case 10:
        return sse_emitter_advance(emitter, 0);
    case 11:
        return (int)sse_emitter_read(emitter, buffer, sizeof(buffer));
    case 12:
        return sse_emitter_wait(emitter, 0);
    case 13:
        return sse_emitter_info(emitter, &info);
    case 14:
        return sse_emitter_user(emitter) || client->on_other ? 0 : -1;
    case 15:
        result = open_another(client, &made);
        sse_emitter_unref(made);
        return result;
    case 16:
        sse_emitter_unref(sse_emitter_ref(emitter));
        return 0;
    default: /* the reference of the host */
        *(client->on_other ? &client->other : &client->emitter) = NULL;
        sse_emitter_unref(emitter);
        return 0;
    }
}

static void *call_in_thread(void *argument)
{
    struct client *client = argument;

    client->answer = call(client);
    client->still_inside = client->inside;
    return NULL;
}

static void call_here_or_there(struct client *client)
{
    if (!client->in_thread)
        (void)call_in_thread(client);
    else if (pthread_create(&client->thread, NULL, call_in_thread, client))
        abort();
    else
        pthread_join(client->thread, NULL);
}

/* Brings it about that this place is reached. */
static void lead_to(struct client *client, enum place place, bool pull)
{
    struct iovec iov;

    if (place == IN_BLOCKED || place == IN_TIMEOUT)
        client->result = -EAGAIN;
    if (place == IN_ERROR)
        client->result = -EPIPE;
    if (place == IN_READY)
        assert_int_equal(sse_emitter_peek(client->emitter, &iov, 1), 0);
    if (place == IN_COMPLETION)
        assert_int_equal(sse_emitter_complete(client->emitter), 0);
    else if (place == IN_RELEASE)
        give_back(client);
    else if (place == IN_ERROR && pull)
        assert_int_equal(sse_emitter_complete_with_error(client->emitter, -EPIPE), 0);
    else
        assert_int_not_equal(send_tick(client->emitter), -EINVAL);
    fake_host_advance_ms(&client->host, place == IN_TIMEOUT ? STALL_MS : 0);
    if (place == IN_TIMEOUT)
        assert_int_equal(sse_emitter_tick(client->emitter), 0);
    client->result = 0;
}

static void every_call_may_come_from_every_hook(void **state)
{
    /* While open in a callback, in on_ready; after the end of a callback, of pull; on another one. */
    static const int expected[CALLS][5] = {
        {0, 0, -EALREADY, -EALREADY, 0},        /* complete */
        {0, 0, -EALREADY, -EALREADY, 0},        /* complete_with_error */
        {0, 0, 0, 0, 0},                        /* detach */
        {1, 1, ENDED, ENDED, 0},                /* flush */
        {0, 0, 0, 0, 0},                        /* interrupt */
        {SOME, SOME, -1, -1, SOME},             /* next_timeout */
        {0, 0, 0, 0, 0},                        /* tick */
        {0, 0, ENDED, ENDED, 0},                /* send */
        {0, 0, ENDED, ENDED, 0},                /* send_message */
        {-EINVAL, 1, -EINVAL, ENDED, 0},        /* peek */
        {-EINVAL, 0, -EINVAL, 0, 0},            /* advance */
        {-EINVAL, SOME, -EINVAL, ENDED, 0},     /* read */
        {-EINVAL, -EDEADLK, -EINVAL, ENDED, 0}, /* wait */
    };                                          /* info, user, new, ref and unref: 0 */
    static const int ends[PLACES] = {
        [IN_TIMEOUT] = -ETIMEDOUT, [IN_ERROR] = -EPIPE, [IN_COMPLETION] = -ESHUTDOWN};

    (void)state;
    for (size_t i = 0; i < PLACES * 2 * 4 * CALLS; i++) {
        size_t which = i % CALLS, place = i / CALLS % PLACES, pull = i / CALLS / PLACES % 2;
        bool other = i / CALLS / PLACES / 2 % 2, thread = i / CALLS / PLACES / 4;
        int wanted = expected[which][other ? 4 : (place >= IN_TIMEOUT ? 2 : 0) + pull];
        struct client client;

        if (pull ? place == IN_WRITE || place == IN_BLOCKED : place == IN_READY)
            continue;
        if (place == IN_RELEASE && !other)
            continue; /* it is gone by then */
        if (thread && !other && place < IN_TIMEOUT && which == DETACH)
            continue; /* waits for the hook, which waits for the thread */
        if (thread && wanted == -EDEADLK)
            wanted = 1;
        open_emitter(&client, pull);
        client.act = call_here_or_there;
        client.place = (enum place)place;
        client.call = which;
        client.on_other = other;
        client.in_thread = thread;
        client.answer = INT_MIN;
        lead_to(&client, (enum place)place, pull);
        if (wanted == ENDED)
            wanted = ends[place];
        if (wanted == SOME ? client.answer <= 0 : client.answer != wanted)
            fail_msg("call %zu in place %zu, pull %zu, other %d, thread %d: %d", which, place, pull, other,
                     thread, client.answer);
        finish(&client);
    }
}

/* Whatever the callback then returns; a large event goes another way than a small one. */
static void a_detached_sink_is_never_entered_again(void **state)
{
    static const ssize_t results[] = {0, 1, 12, -EAGAIN, -EINTR, -EPIPE, -EIO, SSIZE_MAX, -SSIZE_MAX - 1};
    static char text[600];
    const struct sse_event events[] = {tick, {.comment = {memset(text, 'a', sizeof(text)), sizeof(text)}}};

    (void)state;
    for (size_t i = 0; i < COUNT(results) * 4; i++) {
        bool blocked = i / 2 % 2;
        struct client client;
        size_t writes;

        open_emitter(&client, false);
        client.act = call_here_or_there;
        client.call = DETACH;
        client.place = blocked ? IN_BLOCKED : IN_WRITE;
        client.result = blocked ? -EAGAIN : results[i / 4];
        assert_int_equal(sse_emitter_send(client.emitter, &events[i % 2]), -ECANCELED);
        writes = client.writes;
        assert_int_equal(sse_emitter_flush(client.emitter), -ECANCELED);
        finish(&client);
        assert_string_equal(client.log, blocked ? "bcx" : "cx");
        assert_int_equal(client.writes, writes);
        assert_in_range(writes, 1, blocked ? 2 : 1);
    }
}

#define ROUNDS 1000

static void go_on(struct client *client)
{
    char buffer[100];

    if (++client->count >= ROUNDS)
        return;
    if (client->place == IN_READY)
        while (sse_emitter_read(client->emitter, buffer, sizeof(buffer)) > 0)
            ;
    client->result = client->later;
    if (client->in_thread)
        call_here_or_there(client);
    else
        client->answer = client->again(client->emitter);
}

#define LONG_ID "an id that is longer than what an emitter keeps in its own memory"

static void expect_id_in_record(struct client *client)
{
    struct sse_str id = client->record.last_event_id;

    assert_int_equal(id.len, client->count);
    assert_memory_equal(id.ptr, LONG_ID, id.len);
}

/* In a hook that comes before the one that is given the record. */
static void send_a_longer_id(struct client *client)
{
    const struct sse_event event = {.id = sse_str("and " LONG_ID), .data = sse_str("x")};

    client->act = expect_id_in_record;
    client->place = IN_COMPLETION;
    client->answer = sse_emitter_send(client->emitter, &event);
}

static void the_last_id_is_told_whatever_is_sent_at_the_end(void **state)
{
    const size_t sizes[] = {1, 15, 16, 40};

    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        const struct sse_event event = {.id = {LONG_ID, sizes[i]}, .data = sse_str("x")};
        struct client client;

        open_emitter(&client, false);
        client.act = send_a_longer_id;
        client.place = IN_ERROR;
        client.count = sizes[i];
        assert_int_equal(sse_emitter_send(client.emitter, &event), 0);
        assert_int_equal(fail_it(client.emitter), 0);
        assert_int_equal(client.answer, -EPROTO);
        assert_null(client.act);
        finish(&client);
    }
}

/* Hooks that bring about their own next turn are called in turn, never inside themselves. A flush that
 * the callback itself refuses ends, one by another thread is another try. */
static void hooks_do_not_nest(void **state)
{
    static const struct {
        enum place place;
        int (*again)(struct sse_emitter *emitter);
        ssize_t result, later;               /* of the write callback, at first and after the first turn */
        size_t turns_min, turns_max, queued; /* messages in the end */
    } rows[] = {
        {IN_WRITE, send_tick, 0, 0, ROUNDS, ROUNDS, 0},
        {IN_READY, send_tick, 0, 0, ROUNDS, ROUNDS, 1},
        {IN_BLOCKED, send_tick, -EAGAIN, -EAGAIN, 1, 1, 2},
        {IN_WRITE, sse_emitter_tick, -EAGAIN, -EAGAIN, 1, 2, 1},
        {IN_WRITE, sse_emitter_flush, -EAGAIN, -EAGAIN, 1, 20, 1},
        {IN_WRITE, NULL, -EAGAIN, -EAGAIN, ROUNDS, ROUNDS, 1}, /* a flush by another thread */
        {IN_BLOCKED, sse_emitter_flush, -EAGAIN, -EAGAIN, 1, 1, 1},
        {IN_BLOCKED, sse_emitter_flush, -EAGAIN, 0, 1, 1, 0}, /* it found room meanwhile */
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sse_emitter_info info = {.size = sizeof(info)};
        struct client client;

        open_emitter(&client, rows[i].place == IN_READY);
        client.place = rows[i].place;
        client.act = go_on;
        client.always = true;
        client.again = rows[i].again;
        client.in_thread = !rows[i].again;
        client.call = FLUSH;
        client.result = rows[i].result;
        client.later = rows[i].later;
        lead_to(&client, rows[i].place, client.pull);
        assert_int_equal(sse_emitter_info(client.emitter, &info), 0);
        if (client.count < rows[i].turns_min || client.count > rows[i].turns_max || client.answer < 0)
            fail_msg("row %zu: %zu turns", i, client.count);
        assert_int_equal(info.queued_messages, rows[i].queued);
        client.act = NULL;
        finish(&client);
    }
}

static void keep_it(struct client *client)
{
    client->kept = sse_emitter_ref(client->kept);
}

static void the_last_reference_detaches(void **state)
{
    /* Whether a reader is armed, whether it is complete, and how many are sent. */
    static const unsigned rows[][3] = {{0, 0, 0}, {1, 0, 0}, {0, 0, 1}, {1, 0, 1}, {0, 0, 4}, {0, 1, 2}};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct client client;
        struct iovec iov;

        open_emitter(&client, true);
        if (rows[i][0])
            assert_int_equal(sse_emitter_peek(client.emitter, &iov, 1), 0);
        for (unsigned k = 0; k < rows[i][2]; k++)
            assert_int_equal(send_tick(client.emitter), 0);
        if (rows[i][1])
            assert_int_equal(sse_emitter_complete(client.emitter), 0);
        client.kept = client.emitter;
        client.act = keep_it;
        client.place = IN_COMPLETION;
        give_back(&client);
        assert_string_equal(client.log, rows[i][0] && rows[i][2] ? "rc" : "c");
        assert_int_equal(client.record.reason, SSE_REASON_DETACHED);
        assert_int_equal(client.record.dropped, rows[i][2]);
        assert_int_equal(send_tick(client.kept), -ECANCELED);
        client.emitter = client.kept;
        finish(&client);
    }
}

/* Stays inside until the other thread has begun to detach, and a while longer. */
static void be_detached(struct client *client)
{
    struct sse_emitter_info info = {.size = sizeof(info)};

    if (pthread_create(&client->thread, NULL, call_in_thread, client))
        abort();
    while (info.state != SSE_STATE_CLOSED && !sse_emitter_info(client->emitter, &info))
        sched_yield();
    for (int i = 0; i < 1000; i++)
        sched_yield();
}

static void detach_waits_for_who_is_inside(void **state)
{
    (void)state;
    for (unsigned place = IN_WRITE; place <= IN_READY; place++) {
        struct client client;
        size_t writes;

        open_emitter(&client, place == IN_READY);
        client.act = be_detached;
        client.place = place;
        client.call = DETACH;
        lead_to(&client, place, place == IN_READY);
        pthread_join(client.thread, NULL);
        assert_int_equal(client.answer + client.still_inside, 0);
        writes = client.writes;
        finish(&client);
        assert_int_equal(client.writes, writes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_may_come_from_every_hook),
        cmocka_unit_test(a_detached_sink_is_never_entered_again),
        cmocka_unit_test(the_last_id_is_told_whatever_is_sent_at_the_end),
        cmocka_unit_test(hooks_do_not_nest),
        cmocka_unit_test(the_last_reference_detaches),
        cmocka_unit_test(detach_waits_for_who_is_inside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
