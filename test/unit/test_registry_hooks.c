/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "fake_host.h"
#include "fake_sink.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define ABSENT ((struct sse_str){.ptr = NULL})

/* Where an action is called from. */
enum place {
    IN_NOTHING,
    IN_WRITE,
    IN_BLOCKED,
    IN_READY,
    IN_WAKE,
    IN_VISITOR,
    IN_TIMEOUT,
    IN_ERROR,
    IN_COMPLETION,
    IN_RELEASE,
    PLACE_COUNT
};

/* The subject's hooks act. The observer only receives, and must miss nothing. */
enum { SUBJECT, OBSERVER, OTHER, NEWCOMER, CLIENT_COUNT };

struct client {
    struct fake_sink sink;
    struct sse_emitter *emitter;
    int completions;
    int releases;
    int late_hooks; /* after on_completion */
};

static struct fake_host fake;
static struct sse_registry *registry;
static struct client clients[CLIENT_COUNT];
static struct client *const subject = &clients[SUBJECT];
static struct client *const observer = &clients[OBSERVER];
static struct client *const other = &clients[OTHER];

static enum place place;
static void (*action)(void); /* once, at the place */
static struct client *target;

/* Every event has a number of its own, greater than all before. */
static int last_number;
static char expected[20000]; /* what the observer has to receive */
static size_t expected_size;

static void reach(enum place reached)
{
    void (*act)(void) = action;

    if (reached != place || !act)
        return;
    action = NULL;
    act();
}

static void enter_hook(struct client *client, enum place reached)
{
    client->late_hooks += client->completions;
    if (client == subject)
        reach(reached);
}

static ssize_t take(void *user, const struct iovec *iov, int count)
{
    struct client *client = user;

    client->late_hooks += client->completions;
    return fake_sink_write(&client->sink, iov, count);
}

static void act_in_write(struct fake_sink *sink, void *user)
{
    (void)sink;
    enter_hook(user, IN_WRITE);
}

static void on_blocked(struct sse_emitter *emitter, void *user)
{
    (void)emitter;
    enter_hook(user, IN_BLOCKED);
}

static void on_ready(struct sse_emitter *emitter, void *user)
{
    (void)emitter;
    enter_hook(user, IN_READY);
}

static void on_timeout(struct sse_emitter *emitter, enum sse_reason reason, void *user)
{
    (void)emitter;
    (void)reason;
    enter_hook(user, IN_TIMEOUT);
}

static void on_error(struct sse_emitter *emitter, int error, void *user)
{
    (void)emitter;
    (void)error;
    enter_hook(user, IN_ERROR);
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct client *client = user;

    (void)emitter;
    (void)completion;
    enter_hook(client, IN_COMPLETION);
    client->completions++;
}

static void on_release(void *user)
{
    struct client *client = user;

    client->releases++;
    if (client == subject)
        reach(IN_RELEASE);
}

static void on_wake(struct sse_registry *woken, void *user)
{
    (void)woken;
    (void)user;
    reach(IN_WAKE);
}

static void start(struct client *client, enum sse_drain drain)
{
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .host = &fake.host,
        .drain = drain,
        .write = take,
        .heartbeat_ms = client == observer ? SSE_TIMER_OFF : 0,
        .on_ready = on_ready,
        .on_blocked = on_blocked,
        .on_timeout = on_timeout,
        .on_error = on_error,
        .on_completion = on_completion,
        .on_release = on_release,
        .user = client,
    };

    fake_sink_init(&client->sink);
    client->sink.on_write = act_in_write;
    client->sink.user = client;
    assert_int_equal(sse_emitter_new(&client->emitter, &options), 0);
}

static void subscribe(struct client *client)
{
    const struct sse_str topic = sse_str("t");

    assert_int_equal(sse_registry_subscribe(registry, client->emitter, &topic, 1, ABSENT, NULL), 0);
}

static void leave(struct client *client)
{
    struct sse_emitter *emitter = client->emitter;

    client->emitter = NULL;
    sse_emitter_unref(emitter);
}

static int setup(void **state)
{
    struct sse_registry_options options = {.size = sizeof(options), .host = &fake.host};

    (void)state;
    fake_host_init(&fake);
    memset(clients, 0, sizeof(clients));
    action = NULL;
    /* A list of ready emitters would keep one that has ended. */
    if (place != IN_RELEASE)
        options.on_wake = on_wake;
    last_number = 0;
    expected_size = 0;
    assert_int_equal(sse_registry_new(&registry, &options), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < CLIENT_COUNT; i++)
        leave(&clients[i]);
    sse_registry_unref(registry);
    registry = NULL;
    for (int i = 0; i < CLIENT_COUNT; i++) {
        assert_int_equal(clients[i].completions, clients[i].releases);
        assert_int_equal(clients[i].late_hooks, 0);
        fake_sink_free(&clients[i].sink);
    }
    fake_host_check_no_leak(&fake);
    return 0;
}

static char text[16];

static struct sse_event next_event(void)
{
    snprintf(text, sizeof(text), "%d", ++last_number);
    return (struct sse_event){.data = sse_str(text)};
}

/* An event that the observer gets too. */
static struct sse_event next_for_all(void)
{
    struct sse_event event = next_event();

    expected_size += (size_t)sprintf(expected + expected_size, "data: %s\n\n", text);
    assert_true(expected_size < sizeof(expected) - 100);
    return event;
}

static struct sse_message *message_of(struct sse_event event)
{
    struct sse_message *message;

    assert_int_equal(sse_message_new(&message, &event, 1, &fake.host), 0);
    return message;
}

static void expect_observed(void)
{
    assert_int_equal(observer->sink.size, expected_size);
    if (expected_size)
        assert_memory_equal(observer->sink.bytes, expected, expected_size);
}

/* Heartbeats aside, events may be missing, but never out of order, repeated or torn. */
static void expect_order(const struct client *client)
{
    const char *at = (const char *)client->sink.bytes;
    size_t left = client->sink.size;
    char next[32];

    for (int number = 1; number <= last_number; number++) {
        size_t size = (size_t)snprintf(next, sizeof(next), "data: %d\n\n", number);

        for (; left >= 2 && !memcmp(at, ":\n", 2); left -= 2)
            at += 2;
        if (left < size || memcmp(at, next, size))
            continue;
        at += size;
        left -= size;
    }
    assert_true(left == 0 || (left == 2 && !memcmp(at, ":\n", 2)));
}

/* Actions on the registry. */

static int count_visit(struct sse_emitter *emitter, void *user)
{
    (void)emitter;
    (*(int *)user)++;
    return 0;
}

static void act_add(void)
{
    if (!clients[NEWCOMER].emitter)
        start(&clients[NEWCOMER], SSE_DRAIN_CALLBACK);
    (void)sse_registry_add(registry, clients[NEWCOMER].emitter);
}

static void act_remove(void)
{
    (void)sse_registry_remove(registry, target->emitter);
}

static void act_subscribe(void)
{
    const struct sse_str topics[] = {sse_str("u"), sse_str("t")};

    (void)sse_registry_subscribe(registry, target->emitter, topics, 2, ABSENT, NULL);
}

static void act_unsubscribe(void)
{
    const struct sse_str topics[] = {sse_str("t")};

    (void)sse_registry_unsubscribe(registry, target->emitter, topics, 1);
}

static void act_publish(void)
{
    struct sse_event event = next_for_all();

    assert_int_equal(sse_registry_publish(registry, sse_str("t"), &event, NULL), 0);
}

static void act_publish_message(void)
{
    struct sse_message *message = message_of(next_for_all());

    assert_int_equal(sse_registry_publish_message(registry, sse_str("t"), message, NULL), 0);
    sse_message_unref(message);
}

static void act_broadcast(void)
{
    struct sse_event event = next_for_all();

    assert_int_equal(sse_registry_broadcast(registry, &event, NULL), 0);
}

static void act_broadcast_message(void)
{
    struct sse_message *message = message_of(next_for_all());

    assert_int_equal(sse_registry_broadcast_message(registry, message, NULL), 0);
    sse_message_unref(message);
}

static void act_each(void)
{
    int visits = 0;

    assert_int_equal(sse_registry_each(registry, ABSENT, count_visit, &visits), 0);
    assert_int_equal(visits, sse_registry_count(registry, ABSENT));
}

static void act_drive(void)
{
    struct sse_emitter *ready;

    assert_true(sse_registry_next_timeout(registry) >= -1);
    while ((ready = sse_registry_next_ready(registry)))
        sse_emitter_unref(ready);
    assert_int_equal(sse_registry_tick(registry), 0);
}

static void act_reference_registry(void)
{
    struct sse_registry *made;

    sse_registry_unref(sse_registry_ref(registry));
    assert_int_equal(sse_registry_new(&made, NULL), 0);
    sse_registry_unref(made);
}

/* Actions on an emitter. */

static void act_reference(void)
{
    sse_emitter_unref(sse_emitter_ref(target->emitter));
    assert_ptr_equal(sse_emitter_user(target->emitter), target->emitter ? target : NULL);
}

static void act_unref(void)
{
    if (target->emitter)
        leave(target);
}

static void act_send(void)
{
    struct sse_event event = next_event();

    (void)sse_emitter_send(target->emitter, &event);
}

static void act_send_message(void)
{
    struct sse_message *message = message_of(next_event());

    (void)sse_emitter_send_message(target->emitter, message);
    sse_message_unref(message);
}

static void act_complete(void)
{
    (void)sse_emitter_complete(target->emitter);
}

static void act_complete_with_error(void)
{
    (void)sse_emitter_complete_with_error(target->emitter, -EIO);
}

static void act_detach(void)
{
    (void)sse_emitter_detach(target->emitter);
}

static void act_flush(void)
{
    (void)sse_emitter_flush(target->emitter);
}

static void act_pull(void)
{
    struct iovec iov[2];
    char byte;

    if (sse_emitter_peek(target->emitter, iov, 2) > 0)
        (void)sse_emitter_advance(target->emitter, 1);
    (void)sse_emitter_read(target->emitter, &byte, 1);
    (void)sse_emitter_interrupt(target->emitter);
    (void)sse_emitter_wait(target->emitter, 0);
    (void)sse_emitter_wait(target->emitter, 0);
}

static void act_look(void)
{
    struct sse_emitter_info info = {.size = sizeof(info)};

    (void)sse_emitter_info(target->emitter, &info);
    (void)sse_emitter_next_timeout(target->emitter);
    (void)sse_emitter_tick(target->emitter);
}

static void act_new(void)
{
    if (!clients[NEWCOMER].emitter)
        start(&clients[NEWCOMER], SSE_DRAIN_CALLBACK);
}

static void (*const emitter_actions[])(void) = {
    act_reference, act_send, act_send_message, act_complete, act_complete_with_error, act_detach, act_flush,
    act_pull,      act_look, act_new,          act_unref,
};
static void (*const registry_actions[])(void) = {
    act_add,     act_remove,          act_subscribe,          act_unsubscribe,
    act_publish, act_publish_message, act_broadcast,          act_broadcast_message,
    act_each,    act_drive,           act_reference_registry,
};
#define EMITTER_ACTIONS (sizeof(emitter_actions) / sizeof(emitter_actions[0]))
#define REGISTRY_ACTIONS (sizeof(registry_actions) / sizeof(registry_actions[0]))

static void act_everything(void)
{
    for (size_t i = 0; i < REGISTRY_ACTIONS; i++)
        registry_actions[i]();
    for (size_t i = 0; i < EMITTER_ACTIONS; i++)
        emitter_actions[i]();
}

/* What brings the subject's hooks about. */

static int visit_subject(struct sse_emitter *emitter, void *user)
{
    struct sse_event event;

    (void)user;
    reach(IN_VISITOR);
    if (sse_emitter_user(emitter) != subject)
        return 0;
    event = next_event();
    (void)sse_emitter_send(emitter, &event);
    return 0;
}

static void do_each(void)
{
    assert_int_equal(sse_registry_each(registry, ABSENT, visit_subject, NULL), 0);
}

static void do_tick(void)
{
    fake_host_advance_ms(&fake, 31000);
    assert_int_equal(sse_registry_tick(registry), 0);
}

static void do_send(void)
{
    struct sse_event event = next_event();

    (void)sse_emitter_send(subject->emitter, &event);
}

static void do_remove(void)
{
    struct sse_emitter *emitter = subject->emitter;

    leave(subject);
    assert_int_equal(sse_registry_remove(registry, emitter), 0);
}

static void (*const operations[])(void) = {act_publish, act_broadcast_message, do_tick, do_each, do_send,
                                           do_remove};
#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))

/* Whether the operation brings the hook about. */
static bool reaches(void (*operation)(void), enum place where)
{
    if (operation == do_remove)
        return where == IN_COMPLETION || where == IN_RELEASE;
    if (where == IN_TIMEOUT)
        return operation == do_tick;
    if (where == IN_RELEASE)
        return operation != do_send;
    return where != IN_VISITOR || operation == do_each;
}

static void prepare_subject(void (*operation)(void))
{
    start(subject, place == IN_READY || place == IN_WAKE ? SSE_DRAIN_PULL : SSE_DRAIN_CALLBACK);
    subscribe(subject);
    if (place == IN_READY || place == IN_WAKE)
        (void)sse_emitter_peek(subject->emitter, &(struct iovec){.iov_len = 0}, 1);
    if (place == IN_BLOCKED || place == IN_TIMEOUT)
        subject->sink.room = 0;
    if (place == IN_TIMEOUT)
        do_send();
    if (place >= IN_ERROR) {
        subject->sink.error_at = 0;
        subject->sink.error = -EPIPE;
    }
    if (place == IN_RELEASE && operation != do_remove)
        leave(subject);
}

static void run_scenario(void (*operation)(void), enum place where, void (*act)(void), struct client *on)
{
    place = where;
    (void)setup(NULL);
    start(other, SSE_DRAIN_CALLBACK);
    subscribe(other);
    start(observer, SSE_DRAIN_CALLBACK);
    subscribe(observer);
    prepare_subject(operation);
    act_drive();
    target = on;
    action = act;
    operation();
    assert_null(action); /* the place was reached */
    expect_observed();
    act_publish();
    subject->sink.room = SIZE_MAX;
    (void)sse_emitter_flush(subject->emitter);
    expect_observed();
    expect_order(subject);
    expect_order(other);
    (void)teardown(NULL);
}

static void test_every_function_from_every_hook(void **state)
{
    (void)state;
    for (enum place where = IN_WRITE; where < PLACE_COUNT; where++) {
        for (size_t o = 0; o < OPERATIONS; o++) {
            if (!reaches(operations[o], where))
                continue;
            for (int on = SUBJECT; on <= OTHER; on += OTHER - SUBJECT) {
                for (size_t i = 0; i < EMITTER_ACTIONS; i++)
                    run_scenario(operations[o], where, emitter_actions[i], &clients[on]);
                for (size_t i = 0; i < REGISTRY_ACTIONS; i++)
                    run_scenario(operations[o], where, registry_actions[i], &clients[on]);
                run_scenario(operations[o], where, act_everything, &clients[on]);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_function_from_every_hook),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
