/* SPDX-License-Identifier: MIT */
/* Every function from every callback: no callback runs inside a call or inside another callback, and the other
 * clients miss nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry_stage.h"

#include <stdio.h>
#include <stdlib.h>

/* The place from which an action is called. */
enum place { IN_WRITE, IN_READY, IN_TIMEOUT, IN_ERROR, IN_COMPLETION, IN_RELEASE, IN_VISITOR, PLACES };

/* The subject's callbacks act. The observer only receives. */
enum { SUBJECT, OBSERVER, OTHER, NEWCOMER };

static enum place place;
static void (*action)(struct sse_emitter *self); /* runs once, at the place; NULL self: the emitter has been
                                                  * freed */
static unsigned depth;
static struct sse_emitter_options originals;
static char expected[4096]; /* the events that the observer must receive */

static void reach(enum place reached, struct sse_emitter *self)
{
    void (*act)(struct sse_emitter * self) = action;

    assert_int_equal(depth, 0);
    if (reached != place || !act)
        return;
    depth++;
    action = NULL;
    act(self);
    depth--;
}

static void act_in_write(struct fake_output *output, void *user)
{
    (void)output;
    reach(IN_WRITE, ((struct fake_client *)user)->emitter);
}

static void act_in_ready(struct fake_client *client, void *user)
{
    (void)user;
    reach(IN_READY, client->emitter);
}

static void on_timeout(struct sse_emitter *emitter, enum sse_reason reason, void *user)
{
    originals.on_timeout(emitter, reason, user);
    reach(IN_TIMEOUT, emitter);
}

static void on_error(struct sse_emitter *emitter, int error, void *user)
{
    originals.on_error(emitter, error, user);
    reach(IN_ERROR, emitter);
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    originals.on_completion(emitter, completion, user);
    reach(IN_COMPLETION, emitter);
}

static void on_release(void *user)
{
    originals.on_release(user);
    reach(IN_RELEASE, NULL);
}

static int visit(struct sse_emitter *emitter, void *user)
{
    (void)user;
    if (emitter == clients[SUBJECT].emitter)
        reach(IN_VISITOR, emitter);
    return 0;
}

static void publish_number(char topic)
{
    static unsigned number;
    char data[16];
    char text[64];

    (void)snprintf(data, sizeof(data), "%u", ++number);
    (void)snprintf(text, sizeof(text), "data: %s\n\n", data);
    strcat(expected, text);
    assert_int_equal(publish_event(topic, (struct sse_event){.data = sse_str(data)}).ended, 0);
}

/* The actions. */

static void publish_twice(struct sse_emitter *self)
{
    (void)self;
    publish_number('t');
    publish_number(' ');
}

static void publish_a_message(struct sse_emitter *self)
{
    const struct sse_event event = {.data = sse_str("m")};
    struct sse_message *message;

    (void)self;
    assert_int_equal(sse_message_new(&message, &event, 1, &platform.platform), 0);
    assert_int_equal(sse_registry_publish_message(registry, sse_str("t"), message, NULL), 0);
    sse_message_unref(message);
    strcat(expected, "data: m\n\n");
}

static void subscribe_and_back(struct sse_emitter *self)
{
    const struct sse_text topics[] = {sse_str("v"), sse_str("w")};

    if (self)
        (void)sse_registry_subscribe(registry, self, topics, 2, sse_str("unknown"), NULL);
    assert_int_equal(subscribe(&clients[OTHER], "vw", sse_str("unknown"), NULL), 0);
    if (self)
        (void)sse_registry_unsubscribe(registry, self, topics, 2);
    assert_int_equal(unsubscribe(&clients[OTHER], "vw"), 0);
    assert_int_equal(count("v"), 0);
}

static void complete_the_topic(struct sse_emitter *self)
{
    (void)self;
    assert_int_equal(unsubscribe(&clients[OBSERVER], "t"), 0);
    assert_int_equal(sse_registry_complete(registry, sse_str("t")), 0);
}

static int count_visit(struct sse_emitter *emitter, void *user)
{
    (void)emitter;
    ++*(unsigned *)user;
    return 0;
}

static void look_around(struct sse_emitter *self)
{
    struct sse_emitter_info info;
    unsigned visits = 0;

    assert_int_equal(sse_registry_each(registry, absent, count_visit, &visits), 0);
    assert_int_equal(visits, count(NULL));
    assert_int_equal(stats().emitters, count(NULL));
    assert_int_equal(sse_registry_wait(registry, 0), -ETIMEDOUT);
    assert_in_range(sse_loop_count(loop.loop), 2, 4);
    if (self) {
        assert_int_equal(sse_emitter_get_info(self, &info, sizeof(info)), 0);
        assert_ptr_equal(sse_emitter_user(self), &clients[SUBJECT]);
        sse_emitter_unref(sse_emitter_ref(self));
    }
    sse_registry_unref(sse_registry_ref(registry));
}

static void let_another_in(struct sse_emitter *self)
{
    (void)self;
    assert_int_equal(join(prepare(NEWCOMER, SSE_OUTPUT_CALLBACK), "t", absent), 0);
    assert_int_equal(clients[NEWCOMER].output.calls, 0);
    publish_number('t');
}

static void send_to(struct sse_emitter *emitter)
{
    const struct sse_event event = {.data = sse_str("sent")};

    (void)sse_emitter_send(emitter, &event);
    (void)sse_emitter_ping(emitter);
    (void)sse_emitter_flush(emitter);
    (void)sse_emitter_start(emitter, true);
}

static void send_to_both(struct sse_emitter *self)
{
    if (self)
        send_to(self);
    send_to(clients[OTHER].emitter);
}

static void pull(struct sse_emitter *self)
{
    struct iovec iov;
    char byte;

    if (!self || clients[SUBJECT].options.output != SSE_OUTPUT_PULL)
        return;
    if (sse_emitter_peek(self, &iov, 1) == 1)
        assert_int_equal(sse_emitter_consume(self, 1), 0);
    (void)sse_emitter_read(self, &byte, 1);
    assert_int_equal(sse_emitter_wait(self, 0), -EDEADLK);
    assert_int_equal(sse_emitter_interrupt(self), 0);
}

static void complete_both(struct sse_emitter *self)
{
    if (self)
        (void)sse_emitter_complete(self);
    assert_int_equal(sse_emitter_complete(clients[OTHER].emitter), 0);
    publish_number('t');
}

static void abort_both(struct sse_emitter *self)
{
    if (self)
        (void)sse_emitter_abort(self, -EIO);
    assert_int_equal(sse_emitter_abort(clients[OTHER].emitter, -EPIPE), 0);
    assert_int_equal(clients[OTHER].completions, 0);
    publish_number('t');
}

static void close_client(size_t which)
{
    sse_emitter_close(clients[which].emitter);
    clients[which].emitter = NULL;
}

static void close_self(struct sse_emitter *self)
{
    if (self)
        close_client(SUBJECT);
    publish_number(' ');
}

static void close_other(struct sse_emitter *self)
{
    (void)self;
    close_client(OTHER);
    assert_int_equal(clients[OTHER].completions, 0);
    publish_number(' ');
}

static void shut_down(struct sse_emitter *self)
{
    const struct sse_event final_event = {.data = sse_str("bye")};
    const struct sse_shutdown_options options = {
        .size = sizeof(options), .final_event = &final_event, .drain_ms = 1000};

    (void)self;
    assert_int_equal(sse_registry_shutdown(registry, &options), 0);
    assert_int_equal(sse_registry_shutdown(registry, &options), -EALREADY);
    strcat(expected, "data: bye\n\n");
}

static void release_the_registry(struct sse_emitter *self)
{
    (void)self;
    sse_registry_unref(registry);
    registry = NULL;
}

/* In a visitor the loop is idle and may take a turn. */
static void use_the_loop(struct sse_emitter *self)
{
    (void)self;
    assert_int_equal(sse_loop_finish(loop.loop), 0);
    assert_int_equal(sse_loop_stop(loop.loop), -EINVAL);
    if (place != IN_VISITOR)
        assert_int_equal(sse_loop_turn(loop.loop), -EDEADLK);
    assert_int_equal(join(prepare(NEWCOMER, SSE_OUTPUT_CALLBACK), "t", absent), -ECONNREFUSED);
}

static void (*const actions[])(struct sse_emitter *self) = {
    publish_twice, publish_a_message,    subscribe_and_back, complete_the_topic,
    look_around,   let_another_in,       send_to_both,       pull,
    complete_both, abort_both,           close_self,         close_other,
    shut_down,     release_the_registry, use_the_loop,
};

static void open_subject(void)
{
    struct fake_client *client = prepare(SUBJECT, place == IN_READY ? SSE_OUTPUT_PULL : SSE_OUTPUT_CALLBACK);

    originals = client->options;
    client->options.on_timeout = on_timeout;
    client->options.on_error = on_error;
    client->options.on_completion = on_completion;
    client->options.on_release = on_release;
    client->options.lifetime_ms = 1000;
    client->act = act_in_ready;
    assert_int_equal(join(client, "t", absent), 0);
    (void)fake_loop_settle(&loop);
    if (place == IN_READY)
        assert_int_equal(fake_client_pull(client), 0);
    client->output.on_write = act_in_write;
    client->output.user = client;
}

static void bring_about(void)
{
    switch (place) {
    case IN_TIMEOUT:
        fake_platform_advance_ms(&platform, 1000);
        break;
    case IN_ERROR:
    case IN_COMPLETION:
        assert_int_equal(sse_emitter_abort(clients[SUBJECT].emitter, -EIO), 0);
        break;
    case IN_RELEASE:
        close_client(SUBJECT);
        break;
    case IN_VISITOR:
        assert_int_equal(sse_registry_each(registry, absent, visit, NULL), 0);
        break;
    default:
        assert_int_equal(send_data(&clients[SUBJECT], "go"), 0);
        break;
    }
    (void)fake_loop_settle(&loop);
}

static void check_the_ends(void)
{
    for (size_t i = SUBJECT; i <= NEWCOMER; i++) {
        struct fake_client *client = &clients[i];

        if (!client->options.size || !client->completions)
            continue;
        assert_int_equal(client->completions, 1);
        assert_in_range(client->timeouts + client->errors, 0, 1);
    }
}

static void run(enum place at, void (*what)(struct sse_emitter *self))
{
    place = at;
    (void)set_up(NULL);
    use_registry((struct sse_registry_options){.size = 0});
    *expected = '\0';
    action = NULL;
    open_subject();
    enter(OBSERVER, "t");
    enter(OTHER, "t");
    action = what;
    bring_about();
    assert_null(action);
    check_the_ends();
    if (registry && !stats().shutting_down)
        publish_number(' ');
    (void)fake_loop_settle(&loop);
    assert_string_equal(fake_client_events(&clients[OBSERVER]), expected);
    for (size_t i = SUBJECT; i <= NEWCOMER; i++)
        fake_client_free(&clients[i]);
    check_the_ends();
    (void)tear_down(NULL);
    for (size_t i = SUBJECT; i <= OTHER; i++)
        assert_int_equal(clients[i].releases, 1);
}

/* Fault 37. */
static void every_function_from_every_callback(void **state)
{
    (void)state;
    for (enum place at = IN_WRITE; at < PLACES; at++)
        for (size_t i = 0; i < COUNT_OF(actions); i++)
            run(at, actions[i]);
}

static void pull_and_publish(struct fake_client *client, void *user)
{
    unsigned *left = user;

    assert_int_equal(fake_client_pull(client), 0);
    if (!*left)
        return;
    --*left;
    expect_delivery(publish_event('t', (struct sse_event){.data = sse_str("again")}), 1, 0, 0);
}

/* A callback that causes itself is called in the next turn, not from inside. */
static void a_callback_that_publishes_does_not_recurse(void **state)
{
    unsigned left = 5000;
    struct fake_client *client = prepare(SUBJECT, SSE_OUTPUT_PULL);

    (void)state;
    client->act = pull_and_publish;
    client->act_user = &left;
    assert_int_equal(join(client, "t", absent), 0);
    for (unsigned turns = 1; turns <= 5001; turns++) {
        (void)fake_loop_turn(&loop);
        assert_int_equal(client->readable, turns);
    }
    assert_int_equal(left, 0);
    assert_int_equal(fake_loop_turn(&loop), -1);
    assert_int_equal(client->readable, 5001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_function_from_every_callback),
        cmocka_unit_test_setup_teardown(a_callback_that_publishes_does_not_recurse, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
