/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "fake_client.h"
#include "fanout/registry.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CLIENTS 12
#define THREADS 4
#define THREADS_CAP 2
#define ARRIVALS 300

static struct fake_host host;
static struct sse_registry *registry;
static struct fake_client clients[CLIENTS];

static int set_up(void **state)
{
    (void)state;
    fake_host_init(&host);
    memset(clients, 0, sizeof(clients));
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

static void use_registry(enum sse_admission admission, size_t emitters, size_t topic_emitters)
{
    const struct sse_registry_options options = {.size = sizeof(options),
                                                 .host = &host.host,
                                                 .emitters_max = emitters,
                                                 .topic_emitters_max = topic_emitters,
                                                 .admission = admission,
                                                 .history = {.events = 10},
                                                 .epoch = sse_str("E")};

    assert_int_equal(sse_registry_new(&registry, &options), 0);
}

static struct fake_client *open_client(size_t which, enum sse_drain drain)
{
    if (clients[which].emitter)
        fake_client_free(&clients[which]);
    fake_client_new(&clients[which], &host, drain);
    return &clients[which];
}

/* Each letter names a topic. */
static int subscribe(size_t which, const char *topics)
{
    struct sse_str names[4];
    size_t count = strlen(topics);

    assert_true(count <= COUNT(names));
    for (size_t i = 0; i < count; i++)
        names[i] = (struct sse_str){.ptr = topics + i, .len = 1};
    return sse_registry_subscribe(registry, clients[which].emitter, names, count, sse_str(NULL), NULL);
}

static int join(size_t which, const char *topics)
{
    open_client(which, SSE_DRAIN_CALLBACK);
    return subscribe(which, topics);
}

static size_t count(const char *topic)
{
    return sse_registry_count(registry, sse_str(topic));
}

static struct sse_registry_stats stats(void)
{
    struct sse_registry_stats result = {.size = sizeof(result)};

    assert_int_equal(sse_registry_stats(registry, &result), 0);
    return result;
}

static void expect_completed(size_t which)
{
    assert_int_equal(clients[which].completions, 1);
    assert_int_equal(clients[which].completion.reason, SSE_REASON_COMPLETED);
    assert_int_equal(clients[which].completion.error, 0);
    assert_int_equal(clients[which].errors, 0);
    assert_false(sse_registry_has(registry, clients[which].emitter));
}

static void expect_open(size_t which)
{
    assert_int_equal(clients[which].completions, 0);
    assert_int_equal(fake_client_info(&clients[which]).state, SSE_STATE_OPEN);
    assert_true(sse_registry_has(registry, clients[which].emitter));
}

static void a_full_registry_refuses(void **state)
{
    (void)state;
    use_registry(SSE_ADMISSION_REFUSE, 3, 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(join(i, "a"), 0);
    assert_int_equal(join(3, "b"), -EAGAIN);
    assert_int_equal(sse_registry_add(registry, clients[3].emitter), -EAGAIN);
    assert_int_equal(subscribe(0, "b"), 0);
    assert_int_equal(subscribe(0, "a"), 0);
    assert_int_equal(sse_registry_add(registry, clients[0].emitter), -EALREADY);
    assert_int_equal(stats().refused, 2);
    assert_int_equal(stats().added, 3);
    assert_int_equal(count(NULL), 3);
    assert_int_equal(count("b"), 1);
    assert_int_equal(fake_client_info(&clients[3]).state, SSE_STATE_OPEN);
    assert_int_equal(sse_emitter_complete(clients[1].emitter), 0);
    assert_int_equal(subscribe(3, "b"), 0);
    assert_int_equal(count("b"), 2);
    assert_int_equal(sse_registry_remove(registry, clients[2].emitter), 0);
    assert_int_equal(join(4, "c"), 0);
    assert_int_equal(join(5, ""), -EAGAIN);
    assert_int_equal(stats().refused, 3);
    assert_int_equal(stats().added, 5);
}

/* All topics or none, the registry included. */
static void a_full_topic_refuses(void **state)
{
    (void)state;
    use_registry(SSE_ADMISSION_REFUSE, 0, 2);
    assert_int_equal(join(0, "a"), 0);
    assert_int_equal(join(1, "ab"), 0);
    assert_int_equal(join(2, "ca"), -EAGAIN);
    assert_int_equal(join(3, "acb"), -EAGAIN);
    assert_int_equal(count(NULL), 2);
    assert_int_equal(count("a"), 2);
    assert_int_equal(count("b"), 1);
    assert_int_equal(count("c"), 0);
    assert_int_equal(stats().topics, 2);
    assert_int_equal(stats().refused, 2);
    assert_int_equal(stats().added, 2);
    assert_false(sse_registry_has(registry, clients[2].emitter));
    assert_int_equal(subscribe(2, "c"), 0);
    assert_int_equal(subscribe(2, "ba"), -EAGAIN);
    assert_true(sse_registry_has(registry, clients[2].emitter));
    assert_int_equal(count("b"), 1);
    assert_int_equal(count("c"), 1);
    assert_int_equal(subscribe(1, "aba"), 0);
    assert_int_equal(subscribe(2, "bcbb"), 0);
    assert_int_equal(count("b"), 2);
    assert_int_equal(sse_emitter_detach(clients[0].emitter), 0);
    assert_int_equal(subscribe(2, "a"), 0);
    assert_int_equal(stats().refused, 3);
    assert_int_equal(stats().added, 3);
}

/* The cap has places for one more, and the list names it twice: that is one place. */
static void a_topic_that_is_named_twice_takes_one_place(void **state)
{
    (void)state;
    use_registry(SSE_ADMISSION_REFUSE, 0, 1);
    assert_int_equal(join(0, "aaba"), 0);
    assert_int_equal(count("a"), 1);
    assert_int_equal(join(1, "cc"), 0);
    assert_int_equal(count("c"), 1);
}

/* A draining emitter still has its place. */
static void a_place_is_free_when_the_end_is_reached(void **state)
{
    (void)state;
    use_registry(SSE_ADMISSION_REFUSE, 1, 1);
    open_client(0, SSE_DRAIN_PULL);
    assert_int_equal(subscribe(0, "a"), 0);
    assert_int_equal(sse_emitter_send(clients[0].emitter, &(struct sse_event){.data = sse_str("1")}), 0);
    assert_int_equal(sse_emitter_complete(clients[0].emitter), 0);
    assert_int_equal(join(1, "a"), -EAGAIN);
    assert_int_equal(fake_client_pull(&clients[0]), -ESHUTDOWN);
    assert_int_equal(subscribe(1, "a"), 0);
}

/* Which of those who were there before goes first is open; who comes later is newer. */
static void the_newest_stay_when_numbers_begin_anew(void **state)
{
    (void)state;
    for (size_t per_topic = 0; per_topic < 2; per_topic++) {
        (void)set_up(state);
        use_registry(SSE_ADMISSION_NEWEST, per_topic ? 0 : 3, per_topic ? 3 : 0);
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(join(i, "ba"), 0);
        registry->topics.order = UINT32_MAX / 2 + 1;
        for (size_t i = 3; i < 6; i++)
            assert_int_equal(join(i, "ab"), 0);
        assert_true(registry->topics.order < 20);
        for (size_t i = 0; i < 6; i++)
            i < 3 ? expect_completed(i) : expect_open(i);
        assert_int_equal(join(6, "a"), 0);
        expect_completed(3);
        for (size_t i = 4; i < 7; i++)
            expect_open(i);
        assert_int_equal(tear_down(state), 0);
    }
    (void)set_up(state);
}

static void the_newest_stay(void **state)
{
    (void)state;
    use_registry(SSE_ADMISSION_NEWEST, 3, 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        assert_int_equal(join(i, "a"), 0);
        assert_in_range(count(NULL), 1, 3);
        for (size_t j = 0; j <= i; j++) {
            if (j + 3 <= i)
                expect_completed(j);
            else
                expect_open(j);
        }
    }
    assert_int_equal(stats().refused, 0);
    assert_int_equal(stats().added, CLIENTS);
    assert_int_equal(stats().closed[SSE_REASON_COMPLETED], CLIENTS - 3);
    assert_int_equal(count("a"), 3);
}

static void the_newest_of_a_topic_stay(void **state)
{
    (void)state;
    use_registry(SSE_ADMISSION_NEWEST, 0, 2);
    assert_int_equal(join(0, "a"), 0);
    assert_int_equal(join(1, "b"), 0);
    assert_int_equal(join(2, "ab"), 0);
    assert_int_equal(join(3, "a"), 0);
    expect_completed(0);
    expect_open(1);
    expect_open(2);
    assert_int_equal(join(4, "ab"), 0);
    /* The oldest of a was 2, and left b with it: 1 need not go. */
    expect_completed(2);
    assert_int_equal(count("a"), 2);
    assert_int_equal(count("b"), 2);
    expect_open(1);
    expect_open(3);
    expect_open(4);
}

/* One topic after the other is over its cap, and the same emitter is the oldest of both. */
static void one_emitter_may_be_the_oldest_of_several_topics(void **state)
{
    (void)state;
    use_registry(SSE_ADMISSION_NEWEST, 2, 1);
    assert_int_equal(join(0, "abc"), 0);
    assert_int_equal(join(1, "d"), 0);
    assert_int_equal(join(2, "abcc"), 0);
    expect_completed(0);
    expect_open(1);
    expect_open(2);
    assert_int_equal(count(NULL), 2);
    assert_int_equal(count("a") + count("b") + count("c") + count("d"), 4);
}

/* Those that a newer one has sent away, and that have bytes to drain, are counted out already: for
 * each that comes one goes, and not more. */
static void those_that_drain_do_not_cost_others_their_place(void **state)
{
    (void)state;
    use_registry(SSE_ADMISSION_NEWEST, 2, 2);
    for (size_t i = 0; i < 6; i++) {
        open_client(i, SSE_DRAIN_PULL);
        assert_int_equal(sse_emitter_send(clients[i].emitter, &(struct sse_event){.data = sse_str("1")}), 0);
        assert_int_equal(subscribe(i, "a"), 0);
        for (size_t j = 0; j <= i; j++)
            assert_int_equal(fake_client_info(&clients[j]).state,
                             j + 2 <= i ? SSE_STATE_DRAINING : SSE_STATE_OPEN);
    }
    assert_int_equal(count(NULL), 6);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(fake_client_pull(&clients[i]), -ESHUTDOWN);
        expect_completed(i);
        assert_string_equal(fake_client_text(&clients[i]), "data: 1\n\n");
    }
    assert_int_equal(count("a"), 2);
    expect_open(4);
    expect_open(5);
}

/* What counts is how long it has had the topic, not how long it has been in the registry. */
static void the_oldest_of_a_topic_is_who_has_it_longest(void **state)
{
    (void)state;
    use_registry(SSE_ADMISSION_NEWEST, 0, 2);
    assert_int_equal(join(0, "b"), 0);
    assert_int_equal(join(1, "a"), 0);
    assert_int_equal(join(2, "a"), 0);
    assert_int_equal(subscribe(0, "a"), 0);
    expect_completed(1);
    expect_open(0);
    assert_int_equal(subscribe(0, "ab"), 0);
    assert_int_equal(join(3, "a"), 0);
    expect_completed(2);
    expect_open(0);
    assert_int_equal(join(4, "a"), 0);
    expect_completed(0);
}

/* One that the host, or its lifetime, is ending gives its place back already. */
static void who_drains_already_is_not_counted(void **state)
{
    (void)state;
    use_registry(SSE_ADMISSION_NEWEST, 3, 2);
    for (size_t i = 0; i < 2; i++) {
        open_client(i, SSE_DRAIN_PULL);
        assert_int_equal(sse_emitter_send(clients[i].emitter, &(struct sse_event){.data = sse_str("1")}), 0);
        assert_int_equal(subscribe(i, "a"), 0);
    }
    assert_int_equal(sse_emitter_complete(clients[1].emitter), 0);
    assert_int_equal(join(2, "a"), 0);
    expect_open(0);
    expect_open(2);
    assert_int_equal(join(3, "b"), 0);
    expect_open(0);
    assert_int_equal(join(4, "b"), 0);
    assert_int_equal(fake_client_info(&clients[0]).state, SSE_STATE_DRAINING);
    expect_open(2);
}

/* The host was faster: it completed the oldest itself. */
static void one_that_ends_already_may_be_the_oldest(void **state)
{
    (void)state;
    use_registry(SSE_ADMISSION_NEWEST, 2, 0);
    open_client(0, SSE_DRAIN_PULL);
    assert_int_equal(subscribe(0, "a"), 0);
    assert_int_equal(sse_emitter_send(clients[0].emitter, &(struct sse_event){.data = sse_str("1")}), 0);
    assert_int_equal(join(1, "a"), 0);
    assert_int_equal(sse_emitter_complete(clients[0].emitter), 0);
    assert_int_equal(join(2, "a"), 0);
    expect_open(1);
    expect_open(2);
    assert_int_equal(join(3, "a"), 0);
    expect_completed(1);
    assert_int_equal(fake_client_pull(&clients[0]), -ESHUTDOWN);
    expect_completed(0);
    expect_open(2);
    expect_open(3);
    assert_int_equal(count(NULL), 2);
}

static void join_another(struct fake_client *client, void *user)
{
    size_t *next = user;

    (void)client;
    if (*next < CLIENTS)
        assert_int_equal(join((*next)++, "a"), 0);
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct fake_client *client = user;

    (void)emitter;
    client->completions++;
    client->completion = *completion;
    client->act(client, client->act_user);
}

/* A page that opens itself anew whenever it is closed: each end brings the next newcomer. */
static void an_end_may_bring_the_next_newcomer(void **state)
{
    size_t next = 3;

    (void)state;
    use_registry(SSE_ADMISSION_NEWEST, 2, 2);
    for (size_t i = 0; i < 2; i++) {
        fake_client_init(&clients[i], &host, SSE_DRAIN_CALLBACK);
        clients[i].options.on_completion = on_completion;
        clients[i].act = join_another;
        clients[i].act_user = &next;
        fake_client_open(&clients[i]);
        assert_int_equal(subscribe(i, "a"), 0);
    }
    assert_int_equal(join(2, "a"), 0);
    assert_int_equal(next, 5);
    expect_completed(0);
    expect_completed(1);
    assert_int_equal(count(NULL), 2);
    assert_int_equal(count("a"), 2);
    assert_int_equal(stats().added, 5);
    assert_int_equal(stats().closed[SSE_REASON_COMPLETED], 3);
}

/* Nobody goes for one that could not come. */
static void a_subscription_that_fails_sends_nobody_away(void **state)
{
    (void)state;
    use_registry(SSE_ADMISSION_NEWEST, 1, 1);
    assert_int_equal(join(0, "a"), 0);
    open_client(1, SSE_DRAIN_CALLBACK);
    assert_int_equal(sse_emitter_complete(clients[1].emitter), 0);
    assert_int_equal(subscribe(1, "a"), -ESHUTDOWN);
    open_client(2, SSE_DRAIN_CALLBACK);
    fake_host_fail_at(&host, 1, true);
    assert_int_equal(subscribe(2, "a"), -ENOMEM);
    fake_host_fail_at(&host, 0, false);
    expect_open(0);
    assert_int_equal(stats().added, 1);
}

/* What an event reaches does not depend on who is on the way out. */
static void those_that_leave_receive_nothing_more(void **state)
{
    struct sse_delivery delivery = {.size = sizeof(delivery)};

    (void)state;
    use_registry(SSE_ADMISSION_NEWEST, 0, 1);
    open_client(0, SSE_DRAIN_PULL);
    assert_int_equal(sse_emitter_send(clients[0].emitter, &(struct sse_event){.data = sse_str("1")}), 0);
    assert_int_equal(subscribe(0, "a"), 0);
    assert_int_equal(join(1, "a"), 0);
    assert_int_equal(
        sse_registry_publish(registry, sse_str("a"), &(struct sse_event){.data = sse_str("2")}, &delivery),
        0);
    assert_int_equal(delivery.written, 1);
    assert_int_equal(delivery.queued + delivery.dropped + delivery.closed, 0);
    assert_int_equal(fake_client_pull(&clients[0]), -ESHUTDOWN);
    assert_string_equal(fake_client_text(&clients[0]), "data: 1\n\n");
}

static void an_unknown_admission_is_refused(void **state)
{
    struct sse_registry_options options = {.size = sizeof(options), .host = &host.host};

    (void)state;
    options.admission = (enum sse_admission)2;
    assert_int_equal(sse_registry_new(&registry, &options), -EINVAL);
    options.admission = (enum sse_admission) - 1;
    assert_int_equal(sse_registry_new(&registry, &options), -EINVAL);
    assert_null(registry);
}

/* Random comings and goings against a plain list of who should be there. */
static void random_arrivals_match_a_model(void **state)
{
    size_t order[CLIENTS], present = 0;
    const size_t cap = 4;

    (void)state;
    use_registry(SSE_ADMISSION_NEWEST, cap, 0);
    for (size_t round = 0; round < 400; round++) {
        uint64_t random = host.host.random(host.host.user);
        size_t which = random % CLIENTS, at = 0;

        while (at < present && order[at] != which)
            at++;
        if (at == present) {
            assert_int_equal(join(which, "a"), 0);
            if (present == cap) {
                expect_completed(order[0]);
                memmove(&order[0], &order[1], --present * sizeof(order[0]));
            }
            order[present++] = which;
        } else {
            if (random >> 8 & 1)
                assert_int_equal(sse_registry_remove(registry, clients[which].emitter), 0);
            else
                assert_int_equal(sse_emitter_complete_with_error(clients[which].emitter, -EPIPE), 0);
            memmove(&order[at], &order[at + 1], (--present - at) * sizeof(order[0]));
        }
        assert_int_equal(count("a"), present);
        for (size_t i = 0; i < present; i++)
            expect_open(order[i]);
    }
}

/* Those that drain for a newer one may be beyond the cap. */
static size_t most_at_once;

struct visitor {
    struct fake_client clients[ARRIVALS]; /* one each, because hooks may run until the release */
    size_t let_in;
};

/* Comes and goes; notes how often it was let in. */
static void *come_and_go(void *user)
{
    const struct sse_str topic = sse_str("t");
    struct visitor *visitor = user;

    for (size_t i = 0; i < ARRIVALS; i++) {
        struct fake_client *client = &visitor->clients[i];
        int error;

        fake_client_new(client, &host, i % 3 ? SSE_DRAIN_CALLBACK : SSE_DRAIN_PULL);
        (void)sse_emitter_send(client->emitter, &(struct sse_event){.data = sse_str("1")});
        error = sse_registry_subscribe(registry, client->emitter, &topic, 1, sse_str("unknown"), NULL);
        if (error && error != -EAGAIN)
            abort();
        visitor->let_in += !error;
        (void)sse_registry_publish(registry, topic, &(struct sse_event){.data = sse_str("2")}, NULL);
        if (i % 2)
            (void)sse_emitter_complete(client->emitter);
        (void)sse_emitter_detach(client->emitter);
        sse_emitter_unref(client->emitter);
        client->emitter = NULL;
        if (sse_registry_count(registry, topic) > most_at_once)
            abort();
    }
    return NULL;
}

static void arrivals_from_many_threads(void **state)
{
    (void)state;
    for (int admission = SSE_ADMISSION_REFUSE; admission <= SSE_ADMISSION_NEWEST; admission++) {
        struct visitor *visitors = calloc(THREADS, sizeof(*visitors));
        pthread_t threads[THREADS];
        size_t total = 0;

        assert_non_null(visitors);
        use_registry((enum sse_admission)admission, 0, THREADS_CAP);
        most_at_once = admission == SSE_ADMISSION_REFUSE ? THREADS_CAP : THREADS;
        for (size_t i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &visitors[i]), 0);
        for (size_t i = 0; i < THREADS; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
            total += visitors[i].let_in;
        }
        assert_int_equal(stats().added, total);
        assert_int_equal(stats().refused, THREADS * ARRIVALS - total);
        assert_int_equal(stats().closed[SSE_REASON_COMPLETED] + stats().closed[SSE_REASON_DETACHED], total);
        assert_int_equal(stats().gaps, total);
        assert_int_equal(count(NULL), 0);
        assert_int_equal(stats().backlog_bytes, 0);
        if (admission == SSE_ADMISSION_NEWEST)
            assert_int_equal(total, THREADS * ARRIVALS);
        sse_registry_unref(registry);
        registry = NULL;
        for (size_t i = 0; i < THREADS * ARRIVALS; i++) {
            struct fake_client *client = &visitors[i / ARRIVALS].clients[i % ARRIVALS];

            assert_int_equal(client->completions, 1);
            assert_int_equal(client->releases, 1);
            fake_client_free(client);
        }
        free(visitors);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_full_registry_refuses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_topic_refuses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_topic_that_is_named_twice_takes_one_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_place_is_free_when_the_end_is_reached, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_newest_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_newest_stay_when_numbers_begin_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_newest_of_a_topic_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_emitter_may_be_the_oldest_of_several_topics, set_up, tear_down),
        cmocka_unit_test_setup_teardown(those_that_drain_do_not_cost_others_their_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_oldest_of_a_topic_is_who_has_it_longest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_drains_already_is_not_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_ends_already_may_be_the_oldest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_end_may_bring_the_next_newcomer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_subscription_that_fails_sends_nobody_away, set_up, tear_down),
        cmocka_unit_test_setup_teardown(those_that_leave_receive_nothing_more, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_unknown_admission_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(random_arrivals_match_a_model, set_up, tear_down),
        cmocka_unit_test_setup_teardown(arrivals_from_many_threads, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
