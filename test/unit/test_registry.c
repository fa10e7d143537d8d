/* SPDX-License-Identifier: MIT */
/* Members, topics, subscriptions, and who receives published events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry_stage.h"

#include <stdio.h>
#include <stdlib.h>

static const struct sse_event some_event = {.data = {"x", 1}};

static void arguments_of_a_registry_are_checked(void **state)
{
    const struct sse_platform bad_platform = {.size = 1};
    const struct sse_registry_options no_size = {.size = 0};
    struct sse_registry_options options = {.size = sizeof(options), .platform = &bad_platform};
    struct sse_registry *made = NULL;

    (void)state;
    assert_int_equal(sse_registry_new(NULL, NULL), -EINVAL);
    assert_int_equal(sse_registry_new(&made, &no_size), -EINVAL);
    assert_int_equal(sse_registry_new(&made, &options), -EINVAL);
    assert_null(made);
    assert_int_equal(sse_registry_new(&made, NULL), 0);
    assert_ptr_equal(sse_registry_ref(made), made);
    sse_registry_unref(made);
    assert_int_equal(sse_registry_count(made, absent), 0);
    sse_registry_unref(made);
    assert_null(sse_registry_ref(NULL));
    sse_registry_unref(NULL);
}

static void null_is_refused(void **state)
{
    struct sse_emitter *emitter = enter(0, "t")->emitter;
    const struct sse_text topic = sse_str("t");
    struct sse_message *message;

    (void)state;
    assert_int_equal(sse_message_new(&message, &some_event, 1, NULL), 0);
    assert_int_equal(sse_registry_subscribe(NULL, emitter, &topic, 1, absent, NULL), -EINVAL);
    assert_int_equal(sse_registry_subscribe(registry, NULL, &topic, 1, absent, NULL), -EINVAL);
    assert_int_equal(sse_registry_subscribe(registry, emitter, NULL, 1, absent, NULL), -EINVAL);
    assert_int_equal(sse_registry_subscribe(registry, emitter, &topic, 0, absent, NULL), -EINVAL);
    assert_int_equal(sse_registry_unsubscribe(NULL, emitter, &topic, 1), -EINVAL);
    assert_int_equal(sse_registry_unsubscribe(registry, NULL, &topic, 1), -EINVAL);
    assert_int_equal(sse_registry_unsubscribe(registry, emitter, NULL, 1), -EINVAL);
    assert_int_equal(sse_registry_unsubscribe(registry, emitter, &topic, 0), -EINVAL);
    assert_int_equal(sse_registry_publish(NULL, topic, &some_event, NULL), -EINVAL);
    assert_int_equal(sse_registry_publish(registry, topic, NULL, NULL), -EINVAL);
    assert_int_equal(sse_registry_publish_message(NULL, topic, message, NULL), -EINVAL);
    assert_int_equal(sse_registry_publish_message(registry, topic, NULL, NULL), -EINVAL);
    assert_int_equal(sse_registry_complete(NULL, topic), -EINVAL);
    assert_int_equal(sse_registry_count(NULL, absent), 0);
    assert_int_equal(sse_registry_wait(NULL, 0), -EINVAL);
    assert_int_equal(count("t"), 1);
    sse_message_unref(message);
}

/* Which options may be combined. */
static void a_member_has_an_owner_that_works_for_it(void **state)
{
    static const enum sse_output outputs[] = {SSE_OUTPUT_FD, SSE_OUTPUT_CALLBACK};
    const struct sse_text topic = sse_str("t");

    (void)state;
    for (size_t i = 0; i < COUNT_OF(outputs); i++) {
        struct fake_client *client = prepare(0, outputs[i]);

        client->loop = NULL;
        assert_int_equal(join(client, "t", absent), -EINVAL);
    }
    prepare(0, SSE_OUTPUT_CALLBACK)->options.registry = NULL;
    assert_int_equal(join(&clients[0], "t", absent), -EINVAL);
    prepare(0, SSE_OUTPUT_CALLBACK)->options.topic_count = 1;
    assert_int_equal(fake_client_try_open(&clients[0]), -EINVAL);
    prepare(0, SSE_OUTPUT_CALLBACK)->options.topics = &topic;
    assert_int_equal(fake_client_try_open(&clients[0]), 0);
    assert_int_equal(count("t"), 0);
    assert_int_equal(count(NULL), 1);
    prepare(0, SSE_OUTPUT_PULL)->loop = NULL;
    assert_int_equal(join(&clients[0], "t", absent), 0);
    assert_int_equal(count("t"), 1);
    expect_delivery(publish('t', "1"), 1, 0, 0);
    assert_int_equal(fake_client_pull(&clients[0]), 0);
    assert_string_equal(fake_client_events(&clients[0]), EVENT("1", "1"));
}

/* Row M1. */
static void an_emitter_belongs_to_one_registry(void **state)
{
    struct fake_client *member = enter(0, "t"), *other = prepare(1, SSE_OUTPUT_CALLBACK);
    const struct sse_text topic = sse_str("t");
    struct sse_registry *stranger;

    (void)state;
    other->options.registry = NULL;
    fake_client_open(other);
    assert_int_equal(sse_registry_new(&stranger, NULL), 0);
    assert_int_equal(sse_registry_subscribe(stranger, member->emitter, &topic, 1, absent, NULL), -ENOENT);
    assert_int_equal(sse_registry_unsubscribe(stranger, member->emitter, &topic, 1), -ENOENT);
    assert_int_equal(subscribe(other, "t", absent, NULL), -ENOENT);
    assert_int_equal(unsubscribe(other, "t"), -ENOENT);
    assert_int_equal(sse_registry_count(stranger, topic), 0);
    assert_int_equal(count("t"), 1);
    sse_registry_unref(stranger);
}

/* An ended emitter is not a member, whatever its loop is doing. A draining emitter still is. */
static void an_ended_emitter_is_forgotten_at_once(void **state)
{
    struct fake_client *completed = enter(0, "t"), *aborted = enter(1, "t"), *draining;

    (void)state;
    assert_int_equal(sse_emitter_abort(aborted->emitter, -EIO), 0);
    assert_int_equal(count("t"), 1);
    assert_int_equal(count(NULL), 1);
    assert_int_equal(aborted->completions, 0);
    expect_delivery(publish_event('t', some_event), 1, 0, 0);
    (void)fake_loop_settle(&loop);
    expect_end(aborted, SSE_REASON_ABORTED, -EIO);
    assert_int_equal(subscribe(aborted, "t", absent, NULL), -EIO);
    assert_int_equal(sse_emitter_complete(completed->emitter), 0);
    (void)fake_loop_settle(&loop);
    assert_int_equal(count(NULL), 0);
    assert_int_equal(subscribe(completed, "t", absent, NULL), SSE_ENDED);
    draining = prepare(2, SSE_OUTPUT_PULL);
    assert_int_equal(join(draining, "t", absent), 0);
    assert_int_equal(sse_emitter_complete(draining->emitter), 0);
    assert_int_equal(count("t"), 1);
    assert_int_equal(subscribe(draining, "u", absent, NULL), SSE_ENDED);
    expect_delivery(publish('t', "late"), 0, 0, 0);
    assert_int_equal(fake_client_pull(draining), SSE_ENDED);
    assert_string_equal(fake_client_events(draining), "");
    assert_int_equal(count("t"), 0);
    assert_int_equal(count("u"), 0);
}

/* The user reconnects before the server notices that the old connection has ended. */
static void the_end_of_an_old_connection_leaves_the_new_one(void **state)
{
    struct fake_client *old = enter(0, "u"), *new_one = enter(1, "u");

    (void)state;
    old->output.error_at = 0;
    old->output.error = -EPIPE;
    (void)publish('u', "1");
    expect_end(old, SSE_REASON_DISCONNECTED, -EPIPE);
    assert_int_equal(count("u"), 1);
    (void)publish('u', "2");
    assert_string_equal(fake_client_events(new_one), EVENT("1", "1") EVENT("2", "2"));
}

/* Topics whose names contain one another, or any byte. */
static const struct sse_text odd_topics[] = {
    {"a", 1},  {"ab", 2},   {"abc", 3},  {"b", 1},    {"bc", 2},   {"c", 1},
    {"\0", 1}, {"\0\0", 2}, {"a\0b", 3}, {"a\0c", 3}, {"\xff", 1}, {"a\n", 2},
};

static void topic_names_are_kept_apart(void **state)
{
    struct fake_client *client = enter(0, "");

    (void)state;
    for (size_t i = 0; i < COUNT_OF(odd_topics); i++) {
        assert_int_equal(sse_registry_subscribe(registry, client->emitter, &odd_topics[i], 1, absent, NULL),
                         0);
        for (size_t j = 0; j < COUNT_OF(odd_topics); j++) {
            struct sse_delivery delivery;

            assert_int_equal(sse_registry_count(registry, odd_topics[j]), i == j);
            assert_int_equal(sse_registry_publish(registry, odd_topics[j], &some_event, &delivery), 0);
            assert_int_equal(delivery.receivers, i == j);
        }
        assert_int_equal(sse_registry_unsubscribe(registry, client->emitter, &odd_topics[i], 1), 0);
    }
    assert_int_equal(count(NULL), 1);
}

static int visit_nobody(struct sse_emitter *emitter, void *user)
{
    (void)emitter, (void)user;
    return 7;
}

static void topic_names_have_limits(void **state)
{
    static char name[SSE_TOPIC_SIZE_MAX + 1];
    const struct sse_text longest = {name, SSE_TOPIC_SIZE_MAX}, too_long = {name, sizeof(name)};
    const struct sse_text bad[] = {{"", 0}, too_long, {NULL, 5}};
    const int errors[] = {-EBADMSG, -EBADMSG, -EINVAL};
    struct fake_client *client = enter(0, "");
    struct sse_message *message;

    (void)state;
    assert_int_equal(sse_message_new(&message, &some_event, 1, &platform.platform), 0);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const struct sse_text topics[] = {sse_str("good"), bad[i]};

        assert_int_equal(sse_registry_subscribe(registry, client->emitter, topics, 2, absent, NULL),
                         errors[i]);
        prepare(1, SSE_OUTPUT_CALLBACK)->options.topics = topics;
        clients[1].options.topic_count = 2;
        assert_int_equal(fake_client_try_open(&clients[1]), errors[i]);
        assert_int_equal(sse_registry_publish(registry, bad[i], &some_event, NULL), errors[i]);
        assert_int_equal(sse_registry_publish_message(registry, bad[i], message, NULL), errors[i]);
        assert_int_equal(sse_registry_complete(registry, bad[i]), errors[i]);
        assert_int_equal(sse_registry_each(registry, bad[i], visit_nobody, NULL), errors[i]);
        assert_int_equal(sse_registry_count(registry, bad[i]), 0);
        assert_int_equal(count("good"), 0);
        assert_int_equal(count(NULL), 1);
        assert_int_equal(stats().published, 0);
    }
    sse_message_unref(message);
    assert_int_equal(sse_registry_subscribe(registry, client->emitter, &longest, 1, absent, NULL), 0);
    assert_int_equal(sse_registry_count(registry, longest), 1);
    assert_int_equal(sse_registry_publish(registry, longest, &some_event, NULL), 0);
    assert_int_equal(
        sse_registry_unsubscribe(registry, client->emitter, (struct sse_text[]){longest, too_long}, 2),
        -EBADMSG);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(sse_registry_unsubscribe(registry, client->emitter, &bad[i], 1), errors[i]);
    assert_int_equal(sse_registry_count(registry, longest), 1);
    assert_int_equal(sse_registry_unsubscribe(registry, client->emitter, &longest, 1), 0);
    assert_int_equal(sse_registry_count(registry, longest), 0);
    assert_int_equal(sse_registry_subscribe(registry, client->emitter, &longest, 1, bad[2], NULL), -EINVAL);
}

/* An emitter receives an event only if it had the topic at the publish, and once, however often it named the topic.
 * Row L9. */
static void a_subscriber_gets_its_topics(void **state)
{
    struct fake_client *client;
    struct sse_replay replay = {.outcome = SSE_REPLAY_GAP, .messages = 77};

    (void)state;
    use_registry((struct sse_registry_options){.size = 0});
    client = enter(0, "aba");
    assert_int_equal(client->replay.outcome, SSE_REPLAY_NONE);
    assert_int_equal(subscribe(client, "abac", absent, &replay), 0);
    assert_int_equal(replay.outcome, SSE_REPLAY_NONE);
    assert_int_equal(replay.messages, 0);
    assert_string_equal(replay.oldest, "");
    assert_int_equal(count("a"), 1);
    expect_delivery(publish('a', "1"), 1, 0, 0);
    expect_delivery(publish('b', "2"), 1, 0, 0);
    assert_int_equal(unsubscribe(client, "bxb"), 0);
    expect_delivery(publish('b', "3"), 0, 0, 0);
    expect_delivery(publish('c', "4"), 1, 0, 0);
    expect_delivery(publish('x', "5"), 0, 0, 0);
    expect_delivery(publish(' ', "6"), 1, 0, 0);
    assert_int_equal(unsubscribe(client, "ac"), 0);
    assert_int_equal(stats().topics, 0);
    expect_delivery(publish(' ', "7"), 1, 0, 0);
    assert_string_equal(fake_client_events(client),
                        "data: 1\n\ndata: 2\n\ndata: 4\n\ndata: 6\n\ndata: 7\n\n");
}

/* Events that are already queued are still written. */
static void an_unsubscription_keeps_queued_events(void **state)
{
    struct fake_client *client = enter(0, "t");

    (void)state;
    (void)publish_event('t', some_event);
    assert_int_equal(unsubscribe(client, "t"), 0);
    (void)publish('t', "y");
    assert_string_equal(fake_client_events(client), EVENT("x", "1"));
}

static void publishing_to_nobody_succeeds(void **state)
{
    struct sse_delivery delivery = publish('t', "x");

    (void)state;
    expect_delivery(delivery, 0, 0, 0);
    assert_string_equal(delivery.id, ID("1"));
    assert_int_equal(sse_registry_publish(registry, absent, &some_event, NULL), 0);
    assert_int_equal(
        sse_registry_publish(registry, absent, &(struct sse_event){.type = sse_str("x")}, &delivery),
        -EINVAL);
    assert_int_equal(
        sse_registry_publish(registry, absent, &(struct sse_event){.data = sse_str("\xff")}, NULL), -EILSEQ);
    assert_string_equal(delivery.id, ID("1"));
    assert_int_equal(stats().published, 2);
}

/* Subscribers of several topics receive the events of all of them in one order. */
static void all_subscribers_see_one_order(void **state)
{
    static const char topics[] = "abc";
    char text[16];

    (void)state;
    use_registry((struct sse_registry_options){.size = 0});
    for (size_t i = 0; i < 4; i++) {
        enter(i, "ab");
        assert_int_equal(subscribe(&clients[i], (const char[]){topics[i % 3], '\0'}, absent, NULL), 0);
        clients[i].output.room = i == 3 ? 0 : SIZE_MAX;
    }
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof(text), "%d", i);
        (void)publish_event(topics[i * 7 % 5 % 2], (struct sse_event){.data = sse_str(text)});
        if (i % 3 == 0)
            (void)fake_loop_settle(&loop);
    }
    (void)fake_loop_settle(&loop);
    fake_client_make_room(&clients[3], SIZE_MAX);
    for (size_t i = 1; i < 4; i++) {
        assert_int_equal(clients[i].output.size, clients[0].output.size);
        assert_memory_equal(clients[i].output.bytes, clients[0].output.bytes, clients[0].output.size);
    }
    assert_int_equal(clients[0].output.size, 10 * 9 + 90 * 10);
}

/* Whoever chooses a topic's name could choose its hash, and one emitter may have all topics. */
#define MANY 100000

static struct sse_text numbered_topic(unsigned number)
{
    static char name[16];
    int size = snprintf(name, sizeof(name), "%u", number);

    return (struct sse_text){.ptr = name, .len = (size_t)size};
}

static void a_hundred_thousand_topics(void **state)
{
    struct fake_client *client = enter(0, "");
    struct sse_text *topics = calloc(MANY, sizeof(*topics));
    char *names = calloc(MANY, 8);

    (void)state;
    assert_non_null(topics);
    assert_non_null(names);
    for (unsigned i = 0; i < MANY; i++) {
        topics[i].ptr = names + i * 8;
        topics[i].len = (size_t)snprintf(names + i * 8, 8, "%u", i);
    }
    assert_int_equal(sse_registry_subscribe(registry, client->emitter, topics, MANY, absent, NULL), 0);
    assert_int_equal(stats().topics, MANY);
    for (unsigned i = 0; i < MANY; i += 97) {
        struct sse_delivery delivery;

        assert_int_equal(sse_registry_publish(registry, numbered_topic(i), &some_event, &delivery), 0);
        assert_int_equal(delivery.receivers, 1);
    }
    assert_int_equal(sse_registry_unsubscribe(registry, client->emitter, topics, MANY - 1), 0);
    assert_int_equal(sse_registry_count(registry, topics[0]), 0);
    assert_int_equal(sse_registry_count(registry, topics[MANY - 1]), 1);
    free(topics);
    free(names);
}

#define STAGE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(arguments_of_a_registry_are_checked),
        STAGE_TEST(null_is_refused),
        STAGE_TEST(a_member_has_an_owner_that_works_for_it),
        STAGE_TEST(an_emitter_belongs_to_one_registry),
        STAGE_TEST(an_ended_emitter_is_forgotten_at_once),
        STAGE_TEST(the_end_of_an_old_connection_leaves_the_new_one),
        STAGE_TEST(topic_names_are_kept_apart),
        STAGE_TEST(topic_names_have_limits),
        STAGE_TEST(a_subscriber_gets_its_topics),
        STAGE_TEST(an_unsubscription_keeps_queued_events),
        STAGE_TEST(publishing_to_nobody_succeeds),
        STAGE_TEST(all_subscribers_see_one_order),
        STAGE_TEST(a_hundred_thousand_topics),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
