/* SPDX-License-Identifier: MIT */
/* Every call of an emitter from inside every callback, for its own emitter and for another one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_loop.h"

#include <sse/emitter.h>

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define STALL_MS 1000
#define ROUNDS 1000

static const struct sse_event tick = {.data = {"tick", 4}};

enum place { IN_WRITE, IN_BLOCKED, IN_READY, IN_TIMEOUT, IN_ERROR, IN_COMPLETION, IN_RELEASE, PLACES };

/* The test's data of an emitter. `user` points to it in a separate block that on_release frees, so that sanitizers
 * notice a later callback. */
struct client {
    struct fake_platform fake;
    struct fake_loop loop;
    struct sse_emitter *emitter; /* NULL once it is closed */
    struct sse_emitter *other;   /* in the loop, like this one if it is `looped` */
    char log[16];                /* a letter for each callback but the write callback, in order */
    struct sse_completion record;
    int told;       /* the reason of on_timeout or the error of on_error */
    ssize_t result; /* the result of the write callback; 0: it accepts all */
    size_t writes;
    _Atomic int inside;
    int deepest;
    void (*act)(struct client *client); /* runs in this place, once unless `always` */
    enum place place;
    bool always, pull, looped, on_other, in_thread;
    int call, answer;
    size_t count;
};

static void reach(void *user, enum place place)
{
    struct client *client = *(struct client **)user;
    void (*act)(struct client * client) = client->place == place ? client->act : NULL;
    size_t length = strlen(client->log);
    int depth = ++client->inside;

    if (place != IN_WRITE && length + 1 < sizeof(client->log))
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

static void on_ready(struct sse_emitter *emitter, unsigned what, void *user)
{
    (void)emitter;
    reach(user, what & SSE_READABLE ? IN_READY : IN_BLOCKED);
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
    const struct sse_emitter_options options = {.size = sizeof(options),
                                                .platform = &client->fake.platform,
                                                .loop = client->loop.loop,
                                                .output = SSE_OUTPUT_PULL};

    return sse_emitter_new(emitter, &options, NULL);
}

/* Reads the first bytes of a PULL emitter, so that it is empty and on_ready is armed. */
static void take_first(struct sse_emitter *emitter)
{
    char buffer[16];

    assert_int_equal(sse_emitter_read(emitter, buffer, sizeof(buffer)), 2);
    assert_int_equal(sse_emitter_read(emitter, buffer, sizeof(buffer)), 0);
}

static void let_owner_work(struct client *client)
{
    if (client->emitter && !client->looped)
        (void)sse_emitter_flush(client->emitter);
    (void)fake_loop_settle(&client->loop);
}

static void open_client(struct client *client, bool pull, bool looped)
{
    struct client **user = malloc(sizeof(*user));
    struct sse_emitter_options options = {.size = sizeof(options),
                                          .user = user,
                                          .stall_ms = STALL_MS,
                                          .output = pull ? SSE_OUTPUT_PULL : SSE_OUTPUT_CALLBACK,
                                          .write = pull ? NULL : on_write,
                                          .on_ready = looped ? on_ready : NULL,
                                          .on_timeout = on_timeout,
                                          .on_error = on_error,
                                          .on_completion = on_completion,
                                          .on_release = on_release};

    assert_non_null(user);
    memset(client, 0, sizeof(*client));
    *user = client;
    fake_platform_init(&client->fake);
    fake_loop_open(&client->loop, &client->fake);
    options.platform = &client->fake.platform;
    options.loop = looped ? client->loop.loop : NULL;
    client->pull = pull;
    client->looped = looped;
    assert_int_equal(sse_emitter_new(&client->emitter, &options, NULL), 0);
    assert_int_equal(open_another(client, &client->other), 0);
    take_first(client->other);
    if (pull)
        take_first(client->emitter);
    let_owner_work(client);
    memset(client->log, 0, sizeof(client->log));
}

static void close_it(struct client *client)
{
    struct sse_emitter *emitter = client->emitter;

    client->emitter = NULL;
    sse_emitter_close(emitter);
}

/* Checks that each callback at the end ran once, in order, and that nothing is left. */
static void finish(struct client *client)
{
    size_t end;
    bool timeout;

    client->act = NULL;
    close_it(client);
    sse_emitter_close(client->other);
    fake_loop_close(&client->loop);
    fake_platform_check_no_leak(&client->fake);
    assert_int_equal(client->deepest, 1);
    end = strspn(client->log, "br");
    timeout = client->log[end] == 't';
    if (timeout || client->log[end] == 'e')
        assert_int_equal(client->told, timeout ? (int)client->record.reason : client->record.error);
    end += timeout || client->log[end] == 'e';
    assert_string_equal(client->log + end, "cx");
}

enum call {
    START,
    COMPLETE,
    ABORT,
    PING,
    FLUSH,
    INTERRUPT,
    SEND,
    SEND_MESSAGE,
    PEEK,
    CONSUME,
    READ,
    WAIT,
    GET_INFO,
    USER,
    NEW,
    REFERENCES,
    CLOSE,
    CALLS
};

#define SOME 1000  /* any answer above 0 */
#define ENDED 1001 /* the errno of the end */
#define LATE 1002  /* -EALREADY, or the errno of the end */

static int send_message(struct client *client, struct sse_emitter *emitter)
{
    struct sse_message *message = NULL;
    int result = sse_message_new(&message, &tick, 1, &client->fake.platform);

    result = result ? result : sse_emitter_send_message(emitter, message);
    sse_message_unref(message);
    return result;
}

static int make_another(struct client *client)
{
    struct sse_emitter *made = NULL;
    int result = open_another(client, &made);

    sse_emitter_close(made);
    return result;
}

static int call(struct client *client)
{
    struct sse_emitter *emitter = client->on_other ? client->other : client->emitter;
    struct sse_emitter_info info;
    struct iovec iov;
    char buffer[100];

    switch (client->call) {
    case START:
        return sse_emitter_start(emitter, false);
    case COMPLETE:
        return sse_emitter_complete(emitter);
    case ABORT:
        return sse_emitter_abort(emitter, -EPROTO);
    case PING:
        return sse_emitter_ping(emitter);
    case FLUSH:
        return sse_emitter_flush(emitter);
    case INTERRUPT:
        return sse_emitter_interrupt(emitter);
    case SEND:
        return sse_emitter_send(emitter, &tick);
    case SEND_MESSAGE:
        return send_message(client, emitter);
    case PEEK:
        return sse_emitter_peek(emitter, &iov, 1);
    case CONSUME:
        return sse_emitter_consume(emitter, 0);
    case READ:
        return (int)sse_emitter_read(emitter, buffer, sizeof(buffer));
    case WAIT:
        return sse_emitter_wait(emitter, 0);
    case GET_INFO:
        return sse_emitter_get_info(emitter, &info, sizeof(info));
    case USER:
        return sse_emitter_user(emitter) || client->on_other ? 0 : -1;
    case NEW:
        return make_another(client);
    case REFERENCES:
        sse_emitter_unref(sse_emitter_ref(emitter));
        return 0;
    default:
        *(client->on_other ? &client->other : &client->emitter) = NULL;
        sse_emitter_close(emitter);
        return 0;
    }
}

static void *call_in_thread(void *argument)
{
    struct client *client = argument;

    client->answer = call(client);
    return NULL;
}

static void call_here_or_there(struct client *client)
{
    pthread_t thread;

    if (!client->in_thread) {
        client->answer = call(client);
        return;
    }
    if (pthread_create(&thread, NULL, call_in_thread, client))
        abort();
    pthread_join(thread, NULL);
}

/* Causes the callback in this place. */
static void lead_to(struct client *client, enum place place)
{
    if (place == IN_BLOCKED || place == IN_TIMEOUT)
        client->result = -EAGAIN;
    if (place == IN_ERROR && !client->pull)
        client->result = -EPIPE;
    if (place == IN_COMPLETION)
        assert_int_equal(sse_emitter_complete(client->emitter), 0);
    else if (place == IN_RELEASE)
        close_it(client);
    else if (place == IN_ERROR && client->pull)
        assert_int_equal(sse_emitter_abort(client->emitter, -EPIPE), 0);
    else
        assert_int_not_equal(sse_emitter_send(client->emitter, &tick), -EINVAL);
    if (place == IN_TIMEOUT)
        let_owner_work(client);
    fake_platform_advance_ms(&client->fake, place == IN_TIMEOUT ? STALL_MS : 0);
    let_owner_work(client);
    client->result = 0;
}

/* The columns: in a callback and in PULL, open; the same after the end; on the other emitter. */
static const int expected[CALLS][5] = {
    [START] = {-EALREADY, -EALREADY, LATE, LATE, -EALREADY},
    [COMPLETE] = {0, 0, -EALREADY, -EALREADY, 0},
    [ABORT] = {0, 0, -EALREADY, -EALREADY, 0},
    [PING] = {0, 0, ENDED, ENDED, 0},
    [FLUSH] = {1, 1, ENDED, ENDED, 0},
    [INTERRUPT] = {-EINVAL, 0, -EINVAL, 0, 0},
    [SEND] = {0, 0, ENDED, ENDED, 0},
    [SEND_MESSAGE] = {0, 0, ENDED, ENDED, 0},
    [PEEK] = {-EINVAL, 1, -EINVAL, ENDED, 0},
    [CONSUME] = {-EINVAL, 0, -EINVAL, 0, 0},
    [READ] = {-EINVAL, SOME, -EINVAL, ENDED, 0},
    [WAIT] = {-EINVAL, -EDEADLK, -EINVAL, -EDEADLK, 0},
}; /* get_info, user, new, references, close: 0 */

static bool is_possible(const struct client *client)
{
    bool open = client->place < IN_TIMEOUT;

    if (client->pull ? client->place == IN_WRITE || client->place == IN_BLOCKED : client->place == IN_READY)
        return false;
    if (!client->looped && (client->place == IN_BLOCKED || client->place == IN_READY))
        return false;
    if (client->place == IN_RELEASE && !client->on_other)
        return false; /* it has been freed by then */
    if (client->in_thread && !client->on_other && client->call == CLOSE && open)
        return false; /* would wait for the callback, which waits for the thread */
    if (client->in_thread && !client->on_other && !client->looped)
        return client->pull && client->call <= SEND_MESSAGE && client->call != FLUSH;
    return true;
}

static bool is_expected(const struct client *client, int answer)
{
    static const int ends[PLACES] = {
        [IN_TIMEOUT] = -ETIMEDOUT, [IN_ERROR] = -EPIPE, [IN_COMPLETION] = SSE_ENDED};
    int column = client->on_other ? 4 : (client->place >= IN_TIMEOUT ? 2 : 0) + client->pull;
    int wanted = expected[client->call][column];

    if (client->call == WAIT && client->in_thread && client->pull && !client->on_other)
        wanted = SOME;
    /* The end of a loop has nothing to wait for, so it is not a deadlock. */
    if (client->call == WAIT && client->looped && client->pull && !client->on_other && column >= 2)
        wanted = ENDED;
    if (wanted == SOME)
        return answer > 0;
    if (wanted == LATE)
        return answer == -EALREADY || answer == ends[client->place];
    return answer == (wanted == ENDED ? ends[client->place] : wanted);
}

/* Fault 36. */
static void every_call_may_come_from_every_callback(void **state)
{
    (void)state;
    for (size_t i = 0; i < PLACES * 16 * CALLS; i++) {
        struct client client = {.call = (int)(i % CALLS),
                                .place = (enum place)(i / CALLS % PLACES),
                                .pull = i / CALLS / PLACES % 2,
                                .looped = i / CALLS / PLACES / 2 % 2,
                                .on_other = i / CALLS / PLACES / 4 % 2,
                                .in_thread = i / CALLS / PLACES / 8};
        const struct client wanted = client;

        if (!is_possible(&client))
            continue;
        open_client(&client, wanted.pull, wanted.looped);
        client.act = call_here_or_there;
        client.place = wanted.place;
        client.call = wanted.call;
        client.on_other = wanted.on_other;
        client.in_thread = wanted.in_thread;
        client.answer = INT_MIN;
        lead_to(&client, wanted.place);
        if (!is_expected(&client, client.answer))
            fail_msg("call %d in place %d, pull %d, loop %d, other %d, thread %d: %d", client.call,
                     (int)client.place, client.pull, client.looped, client.on_other, client.in_thread,
                     client.answer);
        finish(&client);
    }
}

static void release_it(struct client *client)
{
    struct sse_emitter *emitter = client->emitter;

    client->emitter = NULL;
    sse_emitter_unref(emitter);
}

/* Without a loop the last release is a close, also inside a call that still uses the emitter. */
static void the_last_reference_may_be_released_in_every_callback(void **state)
{
    (void)state;
    for (size_t i = 0; i < PLACES * 4; i++) {
        struct client client = {
            .place = (enum place)(i % PLACES), .pull = i / PLACES % 2, .looped = i / PLACES / 2};
        const struct client wanted = client;

        if (!is_possible(&client))
            continue;
        open_client(&client, wanted.pull, wanted.looped);
        client.act = release_it;
        client.place = wanted.place;
        lead_to(&client, wanted.place);
        assert_null(client.emitter);
        assert_true(wanted.looped || client.record.reason != SSE_REASON_NONE);
        finish(&client);
    }
}

static void send_again(struct client *client)
{
    if (++client->count < ROUNDS)
        client->answer = sse_emitter_send(client->emitter, &tick);
}

/* A callback that causes its own next call is never entered inside itself. */
static void callbacks_do_not_nest(void **state)
{
    (void)state;
    for (int looped = 0; looped < 2; looped++) {
        struct sse_emitter_info info;
        struct client client;

        open_client(&client, false, looped);
        client.place = IN_WRITE;
        client.act = send_again;
        client.always = true;
        lead_to(&client, IN_WRITE);
        while (client.count < ROUNDS)
            let_owner_work(&client);
        let_owner_work(&client);
        assert_int_equal(client.answer, 0);
        assert_int_equal(sse_emitter_get_info(client.emitter, &info, sizeof(info)), 0);
        assert_int_equal(info.events, ROUNDS);
        assert_int_equal(info.queued_messages, 0);
        finish(&client);
    }
}

#define LONG_ID "an id that is longer than what an emitter keeps in its own memory"

static void expect_id_in_record(struct client *client)
{
    struct sse_text id = client->record.last_event_id;

    assert_int_equal(id.len, client->count);
    assert_memory_equal(id.ptr, LONG_ID, id.len);
}

/* Runs in a callback before the one that receives the record. */
static void send_a_longer_id(struct client *client)
{
    const struct sse_event event = {.id = sse_str("and " LONG_ID), .data = sse_str("x")};

    client->act = expect_id_in_record;
    client->place = IN_COMPLETION;
    client->answer = sse_emitter_send(client->emitter, &event);
}

static void the_last_id_is_in_the_record_whatever_is_sent_at_the_end(void **state)
{
    const size_t sizes[] = {1, 15, 16, 40};

    (void)state;
    for (size_t i = 0; i < COUNT(sizes) * 2; i++) {
        const struct sse_event event = {.id = {LONG_ID, sizes[i / 2]}, .data = sse_str("x")};
        struct client client;

        open_client(&client, false, i % 2);
        client.act = send_a_longer_id;
        client.place = IN_ERROR;
        client.count = sizes[i / 2];
        assert_int_equal(sse_emitter_send(client.emitter, &event), 0);
        let_owner_work(&client);
        assert_int_equal(sse_emitter_abort(client.emitter, -EPROTO), 0);
        let_owner_work(&client);
        assert_int_equal(client.answer, -EPROTO);
        assert_null(client.act);
        finish(&client);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_may_come_from_every_callback),
        cmocka_unit_test(the_last_reference_may_be_released_in_every_callback),
        cmocka_unit_test(callbacks_do_not_nest),
        cmocka_unit_test(the_last_id_is_in_the_record_whatever_is_sent_at_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
