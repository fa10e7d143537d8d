/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "fake_client.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CLIENTS 3

/* An event as it arrives, with the id of a sequence of one hexadecimal digit. */
#define ID(digit) "E-000000000000000" digit
#define EVENT(data, digit) "data: " data "\nid: " ID(digit) "\n\n"
#define GAP(asked, oldest, digit) "event: gap\ndata: " asked "\ndata: " oldest "\nid: " ID(digit) "\n\n"
/* While the host filled the gap, more was lost. */
#define LATE_GAP(asked, oldest) "event: gap\ndata: " asked "\ndata: " oldest "\n\n"

static struct fake_host host;
static struct sse_registry *registry;
static struct fake_client clients[CLIENTS];

/* What the hook was given, and what it does. */
static struct {
    bool (*act)(struct sse_emitter *emitter);
    unsigned calls;
    char asked[64], oldest[64], newest[64];
    size_t asked_size;
    bool has_oldest, has_newest;
    char topics[8]; /* asked for; each has one letter */
} hook;

static void copy_text(char *text, struct sse_str from)
{
    if (from.len)
        memcpy(text, from.ptr, from.len < 63 ? from.len : 63);
    text[from.len < 63 ? from.len : 63] = '\0';
}

static bool on_gap(struct sse_registry *source, struct sse_emitter *emitter, const struct sse_gap *gap,
                   void *user)
{
    assert_ptr_equal(source, registry);
    assert_ptr_equal(user, &hook);
    assert_int_equal(gap->size, sizeof(*gap));
    hook.calls++;
    copy_text(hook.asked, gap->asked);
    copy_text(hook.oldest, gap->oldest);
    copy_text(hook.newest, gap->newest);
    hook.asked_size = gap->asked.len;
    hook.has_oldest = gap->oldest.ptr;
    hook.has_newest = gap->newest.ptr;
    memset(hook.topics, 0, sizeof(hook.topics));
    for (size_t i = 0; i < gap->count; i++)
        hook.topics[i] = gap->topics[i].ptr[0];
    return hook.act && hook.act(emitter);
}

static int set_up(void **state)
{
    (void)state;
    fake_host_init(&host);
    memset(clients, 0, sizeof(clients));
    memset(&hook, 0, sizeof(hook));
    registry = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_clients_free(clients, CLIENTS);
    sse_registry_unref(registry);
    assert_int_equal(atomic_load(&host.blocks), 0);
    return 0;
}

static void use_registry(struct sse_registry_options options)
{
    options.size = sizeof(options);
    options.host = &host.host;
    options.user = &hook;
    assert_int_equal(sse_registry_new(&registry, &options), 0);
}

/* Three events in all are held. */
static void use_short_history(bool with_hook)
{
    use_registry((struct sse_registry_options){.history = {.events = 3},
                                               .epoch = sse_str("E"),
                                               .gap_type = sse_str("gap"),
                                               .on_gap = with_hook ? on_gap : NULL});
}

static void publish(char topic, const char *data)
{
    const struct sse_event event = {.data = sse_str(data)};

    if (topic == ' ')
        assert_int_equal(sse_registry_broadcast(registry, &event, NULL), 0);
    else
        assert_int_equal(sse_registry_publish(registry, (struct sse_str){&topic, 1}, &event, NULL), 0);
}

static void publish_six(void)
{
    for (const char *number = "123456"; *number; number++)
        publish('a', (const char[]){'a', *number, '\0'});
}

static int subscribe(size_t which, const char *topics, struct sse_str id, struct sse_replay *replay)
{
    struct sse_str names[4];
    size_t count = strlen(topics);

    assert_true(count <= COUNT(names));
    for (size_t i = 0; i < count; i++)
        names[i] = (struct sse_str){.ptr = topics + i, .len = 1};
    if (clients[which].emitter)
        fake_client_free(&clients[which]);
    fake_client_new(&clients[which], &host, SSE_DRAIN_CALLBACK);
    return sse_registry_subscribe(registry, clients[which].emitter, names, count, id, replay);
}

static void come_back(const char *topics, struct sse_str id, enum sse_replay_outcome outcome, size_t messages,
                      const char *text)
{
    struct sse_replay replay = {.size = sizeof(replay)};

    assert_int_equal(subscribe(0, topics, id, &replay), 0);
    assert_string_equal(fake_client_text(&clients[0]), text);
    assert_int_equal(replay.outcome, outcome);
    assert_int_equal(replay.messages, messages);
}

/* The place is known, and what follows is held in part: the client gets that part. */
static void an_evicted_place_is_told_with_what_follows(void **state)
{
    (void)state;
    use_short_history(false);
    publish_six();
    come_back("a", sse_str(ID("1")), SSE_REPLAY_GAP, 3,
              GAP(ID("1"), ID("4"), "1") EVENT("a4", "4") EVENT("a5", "5") EVENT("a6", "6"));
    come_back("a", sse_str(ID("2")), SSE_REPLAY_GAP, 3,
              GAP(ID("2"), ID("4"), "2") EVENT("a4", "4") EVENT("a5", "5") EVENT("a6", "6"));
    come_back("a", sse_str(ID("3")), SSE_REPLAY_COMPLETE, 3,
              EVENT("a4", "4") EVENT("a5", "5") EVENT("a6", "6"));
    come_back("a", sse_str(ID("6")), SSE_REPLAY_COMPLETE, 0, "");
}

/* Nobody knows what follows an unknown id; from now on the client has a place again. */
static void an_unknown_place_begins_at_the_present(void **state)
{
    (void)state;
    use_short_history(false);
    come_back("a", sse_str("who"), SSE_REPLAY_GAP, 0, GAP("who", "", "0"));
    publish_six();
    come_back("a", sse_str("who"), SSE_REPLAY_GAP, 0, GAP("who", "", "6"));
    publish('a', "a7");
    assert_string_equal(fake_client_text(&clients[0]), GAP("who", "", "6") EVENT("a7", "7"));
    come_back("a", sse_str(ID("6")), SSE_REPLAY_COMPLETE, 1, EVENT("a7", "7"));
}

/* What the client did not ask for cannot be missing. */
static void another_topic_s_loss_is_no_gap(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){
        .history = {.events = 100}, .topic_history = {.events = 2}, .epoch = sse_str("E")});
    publish('b', "b1");
    for (size_t i = 2; i <= 6; i++)
        publish('a', "a");
    come_back("b", sse_str(ID("0")), SSE_REPLAY_COMPLETE, 1, EVENT("b1", "1"));
    come_back("b", sse_str(ID("1")), SSE_REPLAY_COMPLETE, 0, "");
    come_back("ab", sse_str(ID("1")), SSE_REPLAY_GAP, 2, EVENT("a", "5") EVENT("a", "6"));
    come_back("ab", sse_str(ID("4")), SSE_REPLAY_COMPLETE, 2, EVENT("a", "5") EVENT("a", "6"));
    for (size_t i = 7; i <= 9; i++)
        publish(' ', "all");
    come_back("b", sse_str(ID("6")), SSE_REPLAY_GAP, 2, EVENT("all", "8") EVENT("all", "9"));
    come_back("b", sse_str(ID("7")), SSE_REPLAY_COMPLETE, 2, EVENT("all", "8") EVENT("all", "9"));
}

/* A topic that is no more may have had events: its loss is remembered. */
static void a_topic_that_has_vanished_is_a_gap(void **state)
{
    struct sse_registry_stats stats = {.size = sizeof(stats)};

    (void)state;
    use_short_history(false);
    publish('q', "the largest, which is the first to go");
    publish('a', "a2");
    publish('b', "b3");
    assert_int_equal(sse_registry_stats(registry, &stats), 0);
    assert_int_equal(stats.topics, 3);
    publish('c', "c4");
    assert_int_equal(sse_registry_stats(registry, &stats), 0);
    assert_int_equal(stats.topics, 3);
    come_back("q", sse_str(ID("0")), SSE_REPLAY_GAP, 0, GAP(ID("0"), "", "0"));
    come_back("q", sse_str(ID("1")), SSE_REPLAY_COMPLETE, 0, "");
    come_back("a", sse_str(ID("0")), SSE_REPLAY_COMPLETE, 1, EVENT("a2", "2"));
    come_back("aq", sse_str(ID("0")), SSE_REPLAY_GAP, 1, GAP(ID("0"), ID("2"), "0") EVENT("a2", "2"));
    assert_int_equal(sse_registry_count(registry, sse_str("q")), 1);
    come_back("q", sse_str(ID("0")), SSE_REPLAY_GAP, 0, GAP(ID("0"), "", "0"));
}

static void without_history_a_gap_has_no_id(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){.gap_type = sse_str("lost")});
    come_back("a", sse_str("some-id"), SSE_REPLAY_GAP, 0, "event: lost\ndata: some-id\ndata: \n\n");
}

static void without_a_type_no_event_tells_of_it(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){.history = {.events = 3}, .epoch = sse_str("E")});
    publish_six();
    come_back("a", sse_str("who"), SSE_REPLAY_GAP, 0, "");
    come_back("a", sse_str(ID("2")), SSE_REPLAY_GAP, 3, EVENT("a4", "4") EVENT("a5", "5") EVENT("a6", "6"));
}

static void a_bad_type_is_refused(void **state)
{
    const struct sse_str bad[] = {sse_str("a\nb"), sse_str("\r"), {"a\0", 2}, {.len = 1}};
    struct sse_registry_options options = {.size = sizeof(options), .host = &host.host};

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        options.gap_type = bad[i];
        assert_int_equal(sse_registry_new(&registry, &options), -EINVAL);
    }
    options.gap_type = sse_str("\xff");
    assert_int_equal(sse_registry_new(&registry, &options), -EILSEQ);
    options.gap_type = sse_str("gap");
    options.history_age_ms = -1;
    assert_int_equal(sse_registry_new(&registry, &options), -EINVAL);
    assert_null(registry);
}

/* Two lines of data, whatever the client claims. */
static void an_id_that_is_none_is_not_told_back(void **state)
{
    static char long_id[1025];
    const struct sse_str odd[] = {sse_str("a\nb"),
                                  sse_str("\n"),
                                  sse_str("a\r"),
                                  sse_str("\ta"),
                                  {"a\0b", 3},
                                  sse_str("\xff"),
                                  sse_str("\x7f"),
                                  sse_str("\xed\xa0\x80"),
                                  {long_id, sizeof(long_id)}};
    char expected[1100];

    (void)state;
    memset(long_id, 'x', sizeof(long_id));
    use_short_history(false);
    for (size_t i = 0; i < COUNT(odd); i++)
        come_back("a", odd[i], SSE_REPLAY_GAP, 0, GAP("", "", "0"));
    come_back("a", sse_str("data: \xc3\xa9 x"), SSE_REPLAY_GAP, 0, GAP("data: \xc3\xa9 x", "", "0"));
    (void)snprintf(expected, sizeof(expected), "event: gap\ndata: %.1024s\ndata: \nid: " ID("0") "\n\n",
                   long_id);
    come_back("a", (struct sse_str){long_id, 1024}, SSE_REPLAY_GAP, 0, expected);
}

static void send_to(struct sse_emitter *emitter, const char *data, const char *id)
{
    const struct sse_event event = {.data = sse_str(data), .id = sse_str(id)};

    assert_int_equal(sse_emitter_send(emitter, &event), 0);
}

static bool send_the_missing(struct sse_emitter *emitter)
{
    send_to(emitter, "stored2", ID("2"));
    send_to(emitter, "stored3", ID("3"));
    return true;
}

static void expect_hook(unsigned calls, const char *asked, const char *oldest, const char *newest)
{
    assert_int_equal(hook.calls, calls);
    assert_string_equal(hook.asked, asked);
    assert_int_equal(hook.has_oldest, oldest != NULL);
    assert_int_equal(hook.has_newest, newest != NULL);
    assert_string_equal(hook.oldest, oldest ? oldest : "");
    assert_string_equal(hook.newest, newest ? newest : "");
}

static void the_host_can_fill_a_gap(void **state)
{
    struct sse_registry_stats stats = {.size = sizeof(stats)};

    (void)state;
    use_short_history(true);
    publish_six();
    hook.act = send_the_missing;
    come_back("a", sse_str(ID("1")), SSE_REPLAY_FILLED, 3,
              "data: stored2\nid: " ID("2") "\n\ndata: stored3\nid: " ID("3") "\n\n" EVENT("a4", "4")
                  EVENT("a5", "5") EVENT("a6", "6"));
    expect_hook(1, ID("1"), ID("4"), ID("6"));
    publish('a', "a7");
    assert_string_equal(strstr(fake_client_text(&clients[0]), "data: a6"), EVENT("a6", "6") EVENT("a7", "7"));
    assert_int_equal(sse_registry_stats(registry, &stats), 0);
    assert_int_equal(stats.replays, 1);
    assert_int_equal(stats.replayed, 3);
    assert_int_equal(stats.gaps, 0);
    come_back("b", sse_str("who"), SSE_REPLAY_FILLED, 0,
              "data: stored2\nid: " ID("2") "\n\ndata: stored3\nid: " ID("3") "\n\n");
    expect_hook(2, "who", NULL, ID("7"));
}

static void a_host_that_does_not_fill_it_changes_nothing(void **state)
{
    (void)state;
    use_short_history(true);
    come_back("a", sse_str("who"), SSE_REPLAY_GAP, 0, GAP("who", "", "0"));
    expect_hook(1, "who", NULL, NULL);
    publish_six();
    come_back("a", sse_str(ID("2")), SSE_REPLAY_GAP, 3,
              GAP(ID("2"), ID("4"), "2") EVENT("a4", "4") EVENT("a5", "5") EVENT("a6", "6"));
    expect_hook(2, ID("2"), ID("4"), ID("6"));
    come_back("a", sse_str(ID("3")), SSE_REPLAY_COMPLETE, 3,
              EVENT("a4", "4") EVENT("a5", "5") EVENT("a6", "6"));
    come_back("a", (struct sse_str){.ptr = NULL}, SSE_REPLAY_NONE, 0, "");
    come_back("a", sse_str(""), SSE_REPLAY_NONE, 0, "");
    assert_int_equal(hook.calls, 2);
    come_back("a", (struct sse_str){"a\nb", 3}, SSE_REPLAY_GAP, 0, GAP("", "", "6"));
    expect_hook(3, "a\nb", NULL, ID("6"));
}

static bool publish_and_fill(struct sse_emitter *emitter)
{
    publish('a', "in7");
    (void)send_the_missing(emitter);
    publish('x', "other8");
    publish(' ', "all9");
    return true;
}

/* What is published while the host looks into its store follows in its place, once. */
static void what_is_published_meanwhile_follows(void **state)
{
    (void)state;
    use_short_history(true);
    publish_six();
    hook.act = publish_and_fill;
    come_back("a", sse_str(ID("1")), SSE_REPLAY_FILLED, 5,
              "data: stored2\nid: " ID("2") "\n\ndata: stored3\nid: " ID("3") "\n\n" EVENT("a4", "4")
                  EVENT("a5", "5") EVENT("a6", "6") EVENT("in7", "7") EVENT("all9", "9"));
}

static bool publish_too_much(struct sse_emitter *emitter)
{
    (void)emitter;
    publish_six();
    return true;
}

/* So much that the history no longer reaches back to where the host was told to end. */
static void a_history_that_wraps_meanwhile_is_a_gap(void **state)
{
    (void)state;
    use_short_history(true);
    publish_six();
    hook.act = publish_too_much;
    come_back("a", sse_str(ID("1")), SSE_REPLAY_GAP, 6,
              LATE_GAP(ID("1"), ID("4")) EVENT("a4", "4") EVENT("a5", "5") EVENT("a6", "6") EVENT("a4", "a")
                  EVENT("a5", "b") EVENT("a6", "c"));
}

static bool fill_and_publish_too_much(struct sse_emitter *emitter)
{
    const struct sse_event stored[] = {{.data = sse_str("a2"), .id = sse_str(ID("2"))},
                                       {.data = sse_str("b3"), .id = sse_str(ID("3"))},
                                       {.data = sse_str("a4"), .id = sse_str(ID("4"))}};

    for (size_t i = 0; i < COUNT(stored); i++)
        assert_int_equal(sse_emitter_send(emitter, &stored[i]), 0);
    publish('a', "a7");
    publish('a', "a8");
    publish('a', "a9");
    return true;
}

/* The quiet topic still holds what the host has sent of it. */
static void what_the_host_sent_before_the_history_wrapped_does_not_come_twice(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){.history = {.events = 100},
                                               .topic_history = {.events = 2},
                                               .epoch = sse_str("E"),
                                               .gap_type = sse_str("gap"),
                                               .on_gap = on_gap});
    publish('b', "b1");
    publish('a', "a2");
    publish('b', "b3");
    for (const char *number = "456"; *number; number++)
        publish('a', (const char[]){'a', *number, '\0'});
    hook.act = fill_and_publish_too_much;
    come_back("ab", sse_str(ID("1")), SSE_REPLAY_GAP, 4,
              "data: a2\nid: " ID("2") "\n\ndata: b3\nid: " ID("3") "\n\ndata: a4\nid: " ID(
                  "4") "\n\n" LATE_GAP(ID("1"), ID("5")) EVENT("a5", "5") EVENT("a6", "6") EVENT("a8", "8")
                  EVENT("a9", "9"));
    expect_hook(1, ID("1"), ID("5"), ID("6"));
}

static bool end_the_client(struct sse_emitter *emitter)
{
    assert_int_equal(sse_emitter_complete_with_error(emitter, -EPIPE), 0);
    return true;
}

static bool shut_down(struct sse_emitter *emitter)
{
    const struct sse_shutdown_options options = {.size = sizeof(options)};

    (void)emitter;
    assert_int_equal(sse_registry_shutdown(registry, &options), 0);
    return true;
}

static bool publish_nested(struct sse_emitter *emitter)
{
    (void)emitter;
    hook.act = NULL;
    publish('a', "a7");
    assert_int_equal(subscribe(1, "a", sse_str(ID("5")), NULL), 0);
    assert_int_equal(subscribe(2, "a", sse_str("unknown"), NULL), 0);
    assert_int_equal(sse_registry_tick(registry), 0);
    return true;
}

/* Every public call is legal there; nothing is joined before the hook returns. */
static void the_hook_may_call_anything(void **state)
{
    (void)state;
    use_short_history(true);
    publish_six();
    hook.act = end_the_client;
    assert_int_equal(subscribe(0, "a", sse_str(ID("1")), NULL), -EPIPE);
    assert_int_equal(sse_registry_count(registry, sse_str("a")), 0);
    assert_int_equal(clients[0].completions, 1);
    hook.act = publish_nested;
    come_back("a", sse_str(ID("1")), SSE_REPLAY_FILLED, 4,
              EVENT("a4", "4") EVENT("a5", "5") EVENT("a6", "6") EVENT("a7", "7"));
    assert_string_equal(fake_client_text(&clients[1]), EVENT("a6", "6") EVENT("a7", "7"));
    assert_string_equal(fake_client_text(&clients[2]), GAP("unknown", "", "7"));
    assert_int_equal(sse_registry_count(registry, sse_str("a")), 3);
    hook.act = shut_down;
    assert_int_equal(subscribe(0, "a", sse_str(ID("1")), NULL), -ESHUTDOWN);
    assert_int_equal(sse_registry_count(registry, sse_str(NULL)), 0);
}

static bool give_back_the_only_reference(struct sse_emitter *emitter)
{
    clients[0].emitter = NULL;
    assert_int_equal(sse_emitter_complete_with_error(emitter, -EPIPE), 0);
    sse_emitter_unref(emitter);
    assert_int_equal(clients[0].completions, 1);
    return true;
}

/* A host with one thread gives its reference back at the end, and the end may come in on_gap. */
static void the_hook_may_give_the_emitter_back(void **state)
{
    (void)state;
    use_short_history(true);
    publish_six();
    hook.act = give_back_the_only_reference;
    assert_int_equal(subscribe(0, "a", sse_str(ID("1")), NULL), -EPIPE);
    assert_int_equal(clients[0].releases, 1);
    assert_int_equal(sse_registry_count(registry, sse_str("a")), 0);
    fake_client_free(&clients[0]);
}

static void the_hook_is_told_of_the_topics(void **state)
{
    (void)state;
    use_short_history(true);
    publish_six();
    assert_int_equal(subscribe(0, "ab", sse_str("who"), NULL), 0);
    assert_string_equal(hook.topics, "ab");
    fake_client_new(&clients[1], &host, SSE_DRAIN_CALLBACK);
    assert_int_equal(sse_registry_subscribe(registry, clients[1].emitter, NULL, 0, sse_str("who"), NULL), 0);
    assert_string_equal(hook.topics, "");
    assert_int_equal(hook.calls, 2);
}

/* What the host sends to fill a gap cannot be taken back. */
static void the_hook_is_not_called_in_vain(void **state)
{
    struct sse_registry *other;
    const struct sse_str topic = sse_str("a");

    (void)state;
    use_short_history(true);
    assert_int_equal(subscribe(0, "a", sse_str(NULL), NULL), 0);
    assert_int_equal(sse_registry_subscribe(registry, clients[0].emitter, NULL, 0, sse_str("who"), NULL),
                     -EALREADY);
    assert_int_equal(hook.calls, 0);
    assert_int_equal(sse_registry_new(&other, NULL), 0);
    fake_client_new(&clients[1], &host, SSE_DRAIN_CALLBACK);
    assert_int_equal(sse_registry_add(other, clients[1].emitter), 0);
    assert_int_equal(sse_registry_subscribe(registry, clients[1].emitter, &topic, 1, sse_str("who"), NULL),
                     -EBUSY);
    assert_int_equal(hook.calls, 0);
    assert_int_equal(sse_registry_remove(other, clients[1].emitter), 0);
    sse_registry_unref(other);
    assert_int_equal(sse_registry_subscribe(registry, clients[1].emitter, &topic, 1, sse_str("who"), NULL),
                     0);
    assert_int_equal(hook.calls, 1);
}

static bool join_and_publish(struct sse_emitter *emitter)
{
    const struct sse_str topic = sse_str("a");

    hook.act = NULL;
    assert_int_equal(
        sse_registry_subscribe(registry, emitter, &topic, 1, (struct sse_str){.ptr = NULL}, NULL), 0);
    publish('a', "live7");
    publish('b', "b8");
    return false;
}

/* An emitter that joins by itself meanwhile gets nothing twice. */
static void an_emitter_that_joins_meanwhile_gets_nothing_twice(void **state)
{
    (void)state;
    use_short_history(true);
    publish_six();
    hook.act = join_and_publish;
    come_back("ab", sse_str("who"), SSE_REPLAY_GAP, 1,
              EVENT("live7", "7") GAP("who", ID("8"), "6") EVENT("b8", "8"));
    fake_client_forget(&clients[0]);
    publish('a', "a9");
    publish('b', "ba");
    assert_string_equal(fake_client_text(&clients[0]), EVENT("a9", "9") EVENT("ba", "a"));
    assert_int_equal(sse_registry_count(registry, sse_str("a")), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_evicted_place_is_told_with_what_follows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_unknown_place_begins_at_the_present, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_topic_s_loss_is_no_gap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_topic_that_has_vanished_is_a_gap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_history_a_gap_has_no_id, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_type_no_event_tells_of_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_bad_type_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_id_that_is_none_is_not_told_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_host_can_fill_a_gap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_host_that_does_not_fill_it_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_published_meanwhile_follows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_history_that_wraps_meanwhile_is_a_gap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_the_host_sent_before_the_history_wrapped_does_not_come_twice,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_hook_may_call_anything, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_hook_may_give_the_emitter_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_hook_is_told_of_the_topics, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_hook_is_not_called_in_vain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_emitter_that_joins_meanwhile_gets_nothing_twice, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
