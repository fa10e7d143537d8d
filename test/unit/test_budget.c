/* SPDX-License-Identifier: MIT */
/* The budget of all queues together: which emitters end, and which do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry_stage.h"

#include <stdlib.h>

#define MANY 20000
#define CHAIN 2000

static void use_budget(size_t bytes)
{
    use_registry((struct sse_registry_options){.backlog_bytes = bytes});
}

static struct fake_client *enter_stuck(size_t which)
{
    struct fake_client *client = enter(which, "t");

    client->output.room = 0;
    return client;
}

static struct sse_event event_of_size(size_t size)
{
    static char letters[1000];

    memset(letters, 'x', sizeof(letters));
    assert_in_range(size, 9, sizeof(letters));
    return (struct sse_event){.data = {letters, size - strlen("data: \n\n")}};
}

/* Queues an event of this size on the wire. */
static void queue_size(struct fake_client *client, size_t size)
{
    struct sse_event event = event_of_size(size);

    assert_int_equal(sse_emitter_send(client->emitter, &event), 0);
}

/* Lets the loop try to write it too. */
static void send_size(struct fake_client *client, size_t size)
{
    queue_size(client, size);
    (void)fake_loop_settle(&loop);
}

static void publish_size(size_t size)
{
    (void)publish_event('t', event_of_size(size));
}

/* An emitter ends only above the budget, the largest backlog first, and no more than necessary. Row H1. */
static void the_largest_backlog_ends_first(void **state)
{
    (void)state;
    use_budget(100);
    for (size_t i = 0; i < 3; i++)
        enter_stuck(i);
    send_size(&clients[1], 15);
    for (size_t i = 0; i < 3; i++)
        send_size(&clients[i], 25);
    assert_int_equal(stats().backlog_bytes, 90);
    for (size_t i = 0; i < 3; i++)
        expect_open(&clients[i]);
    send_size(&clients[0], 10);
    assert_int_equal(stats().backlog_bytes, 100);
    for (size_t i = 0; i < 3; i++)
        expect_open(&clients[i]);
    send_size(&clients[2], 9);
    expect_end(&clients[1], SSE_REASON_OVERFLOW, -ENOBUFS);
    assert_int_equal(clients[1].completion.dropped, 2);
    assert_int_equal(stats().backlog_bytes, 35 + 34);
    assert_int_equal(stats().emitters, 2);
    assert_int_equal(stats().ended_by[SSE_REASON_OVERFLOW], 1);
    send_size(&clients[2], 31);
    assert_int_equal(stats().backlog_bytes, 100);
    expect_open(&clients[0]);
    expect_open(&clients[2]);
}

/* Bytes that the loop has not tried to write yet end no emitter, up to four times the budget. */
static void before_the_turn_no_emitter_ends(void **state)
{
    (void)state;
    use_budget(100);
    for (size_t i = 0; i < 4; i++)
        enter(i, "t");
    for (size_t i = 0; i < 10; i++)
        publish_size(10);
    assert_int_equal(stats().backlog_bytes, 400);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(fake_client_info(&clients[i]).state, SSE_STATE_OPEN);
    (void)fake_loop_settle(&loop);
    assert_int_equal(stats().backlog_bytes, 0);
    assert_int_equal(stats().emitters, 4);
    for (size_t i = 0; i < 9; i++)
        queue_size(&clients[2], 40);
    publish_size(10);
    assert_int_equal(stats().backlog_bytes, 400);
    assert_int_equal(stats().emitters, 4);
    queue_size(&clients[0], 10);
    publish_size(9);
    assert_int_equal(stats().backlog_bytes, 10 + 3 * 19);
    assert_int_equal(stats().emitters, 3);
    (void)fake_loop_settle(&loop);
    expect_end(&clients[2], SSE_REASON_OVERFLOW, -ENOBUFS);
    assert_int_equal(clients[2].output.size, 100);
    assert_int_equal(stats().emitters, 3);
}

/* Bytes that each output accepts in its turn are never a backlog, however many there are. */
static void bytes_written_in_the_turn_are_no_backlog(void **state)
{
    (void)state;
    use_budget(30);
    for (size_t i = 0; i < 6; i++)
        enter(i, "t");
    for (size_t i = 0; i < 20; i++) {
        publish_size(18);
        (void)fake_loop_settle(&loop);
    }
    clients[2].output.room = 0;
    publish_size(18);
    (void)fake_loop_settle(&loop);
    assert_int_equal(stats().emitters, 6);
    send_size(&clients[0], 18);
    assert_int_equal(stats().emitters, 6);
    send_size(&clients[2], 18);
    expect_end(&clients[2], SSE_REASON_OVERFLOW, -ENOBUFS);
    assert_int_equal(stats().emitters, 5);
}

/* The bytes may come from an event to one emitter, a replay or a final event. */
static void every_call_keeps_the_budget(void **state)
{
    const struct sse_event final_event = {.data = sse_str("0123456789")};
    const struct sse_shutdown_options options = {
        .size = sizeof(options), .final_event = &final_event, .drain_ms = 1000};

    (void)state;
    use_registry((struct sse_registry_options){
        .backlog_bytes = 100, .history = {.events = 9}, .id_prefix = sse_str("E")});
    for (size_t i = 0; i < 5; i++)
        publish_size(30);
    enter_stuck(0);
    send_size(&clients[0], 30);
    prepare(1, SSE_OUTPUT_CALLBACK)->output.room = 2;
    assert_int_equal(join(&clients[1], "t", sse_str(ID("0"))), 0);
    (void)fake_loop_settle(&loop);
    expect_end(&clients[1], SSE_REASON_OVERFLOW, -ENOBUFS);
    expect_open(&clients[0]);
    enter_stuck(2);
    send_size(&clients[2], 60);
    assert_int_equal(stats().backlog_bytes, 90);
    assert_int_equal(sse_registry_shutdown(registry, &options), 0);
    (void)fake_loop_settle(&loop);
    expect_end(&clients[2], SSE_REASON_OVERFLOW, -ENOBUFS);
    assert_int_equal(stats().backlog_bytes, 30 + 18);
}

static void publish_inside(struct fake_output *output, void *user)
{
    (void)user;
    output->on_write = NULL;
    publish_size(60);
}

/* Its output is reading the bytes at this moment. Still only this emitter ends. */
static void an_emitter_inside_its_output_may_end(void **state)
{
    (void)state;
    use_budget(300);
    for (size_t i = 0; i < 4; i++)
        enter_stuck(i);
    for (size_t i = 0; i < 10; i++)
        send_size(&clients[2], 20);
    clients[2].output.on_write = publish_inside;
    (void)sse_emitter_flush(clients[2].emitter);
    (void)fake_loop_settle(&loop);
    expect_end(&clients[2], SSE_REASON_OVERFLOW, -ENOBUFS);
    assert_int_equal(clients[2].completion.dropped, 11);
    assert_int_equal(stats().emitters, 3);
    assert_int_equal(stats().backlog_bytes, 3 * 60);
}

/* An emitter that drains outside of the registry does not count. */
static void emitters_outside_of_the_registry_do_not_count(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){
        .backlog_bytes = 100, .emitters_max = 1, .admission = SSE_ADMISSION_EVICT_OLDEST});
    enter_stuck(0);
    send_size(&clients[0], 90);
    enter_stuck(1);
    assert_int_equal(fake_client_info(&clients[0]).state, SSE_STATE_DRAINING);
    assert_int_equal(stats().backlog_bytes, 0);
    send_size(&clients[1], 90);
    expect_open(&clients[1]);
    assert_int_equal(clients[0].completions, 0);
    fake_client_make_room(&clients[0], SIZE_MAX);
    expect_end(&clients[0], SSE_REASON_EVICTED, 0);
    assert_int_equal(stats().backlog_bytes, 90);
}

static struct fake_client *open_many(size_t number)
{
    struct fake_client *many = calloc(number, sizeof(*many));

    assert_non_null(many);
    for (size_t i = 0; i < number; i++) {
        fake_client_init(&many[i], &platform, SSE_OUTPUT_CALLBACK);
        many[i].loop = &loop;
        many[i].options.registry = registry;
        many[i].output.room = 2;
        assert_int_equal(join(&many[i], "t", absent), 0);
    }
    (void)fake_loop_settle(&loop);
    return many;
}

static void close_many(struct fake_client *many, size_t number)
{
    for (size_t i = 0; i < number; i++) {
        sse_emitter_close(many[i].emitter);
        many[i].emitter = NULL;
    }
    (void)fake_loop_settle(&loop);
    for (size_t i = 0; i < number; i++) {
        assert_int_equal(many[i].completions, 1);
        assert_int_equal(many[i].releases, 1);
        fake_client_free(&many[i]);
    }
    free(many);
}

/* The largest have ended, and not one too many. */
static void expect_largest_ended(const struct fake_client *many, const size_t *sizes, size_t number,
                                 size_t budget)
{
    size_t largest_left = 0, smallest_ended = SIZE_MAX, left = 0;

    for (size_t i = 0; i < number; i++) {
        bool ended = fake_client_info(&many[i]).state == SSE_STATE_CLOSED;

        left += ended ? 0 : sizes[i];
        if (ended && sizes[i] < smallest_ended)
            smallest_ended = sizes[i];
        if (!ended && sizes[i] > largest_left)
            largest_left = sizes[i];
    }
    assert_int_equal(stats().backlog_bytes, left);
    assert_true(left <= budget);
    assert_true(left + smallest_ended > budget);
    assert_true(largest_left <= smallest_ended);
}

/* One publish puts thousands of emitters over the budget. Row H2. */
static void many_end_at_once(void **state)
{
    size_t *sizes = calloc(MANY, sizeof(*sizes));
    struct fake_client *many;
    size_t total = 0;

    (void)state;
    assert_non_null(sizes);
    use_budget((size_t)MANY * 200);
    many = open_many(MANY);
    for (size_t i = 0; i < MANY; i++) {
        sizes[i] = 20 + (size_t)(platform.platform.random(&platform) % 300);
        send_size(&many[i], sizes[i]);
        total += sizes[i];
    }
    assert_int_equal(stats().backlog_bytes, total);
    assert_int_equal(stats().emitters, MANY);
    publish_size(100);
    (void)fake_loop_settle(&loop);
    for (size_t i = 0; i < MANY; i++)
        sizes[i] += 100;
    expect_largest_ended(many, sizes, MANY, (size_t)MANY * 200);
    assert_in_range(stats().emitters, MANY / 2, MANY - 1000);
    close_many(many, MANY);
    free(sizes);
}

/* Numbers of every size, many of them equal. */
static void random_backlogs_match_a_model(void **state)
{
    enum { NUMBER = 40 };
    size_t sizes[NUMBER];

    (void)state;
    for (size_t round = 0; round < 100; round++) {
        size_t budget = 2000 + (size_t)(platform.platform.random(&platform) % 8000);
        struct fake_client *many;
        size_t total = 0;

        use_budget(budget);
        many = open_many(NUMBER);
        for (size_t i = 0; i < NUMBER; i++) {
            size_t spread = round % 3 ? 1 + round * 3 : 1;

            sizes[i] = 9 + (size_t)(platform.platform.random(&platform) % spread);
            total += sizes[i];
            queue_size(&many[i], sizes[i]);
        }
        (void)fake_loop_settle(&loop);
        if (total > budget)
            expect_largest_ended(many, sizes, NUMBER, budget);
        else
            assert_int_equal(stats().emitters, NUMBER);
        close_many(many, NUMBER);
    }
}

static struct fake_client *chain;
static struct sse_emitter_options originals;
static unsigned depth, ends;

/* The end of each emitter puts the next one over the budget. */
static void push_the_next(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    assert_int_equal(depth, 0);
    depth++;
    originals.on_completion(emitter, completion, user);
    ends++;
    if (ends < CHAIN)
        publish_size(30);
    depth--;
}

static void callbacks_at_the_end_do_not_nest(void **state)
{
    (void)state;
    use_budget((size_t)CHAIN * 30);
    chain = calloc(CHAIN, sizeof(*chain));
    assert_non_null(chain);
    for (size_t i = 0; i < CHAIN; i++) {
        fake_client_init(&chain[i], &platform, SSE_OUTPUT_CALLBACK);
        originals = chain[i].options;
        chain[i].loop = &loop;
        chain[i].options.registry = registry;
        chain[i].options.on_completion = push_the_next;
        chain[i].output.room = 2;
        assert_int_equal(join(&chain[i], "t", absent), 0);
    }
    (void)fake_loop_settle(&loop);
    depth = 0;
    ends = 0;
    publish_size(30);
    (void)fake_loop_settle(&loop);
    assert_int_equal(ends, 0);
    publish_size(30);
    (void)fake_loop_settle(&loop);
    assert_true(ends > CHAIN / 2);
    close_many(chain, CHAIN);
    assert_int_equal(ends, CHAIN);
}

#define STAGE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(the_largest_backlog_ends_first),
        STAGE_TEST(before_the_turn_no_emitter_ends),
        STAGE_TEST(bytes_written_in_the_turn_are_no_backlog),
        STAGE_TEST(every_call_keeps_the_budget),
        STAGE_TEST(an_emitter_inside_its_output_may_end),
        STAGE_TEST(emitters_outside_of_the_registry_do_not_count),
        STAGE_TEST(many_end_at_once),
        STAGE_TEST(random_backlogs_match_a_model),
        STAGE_TEST(callbacks_at_the_end_do_not_nest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
