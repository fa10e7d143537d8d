/* SPDX-License-Identifier: MIT */
/* Peek, consume and read, and when on_ready reports that there is something to read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client_stage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HEARTBEAT_MS 1000
#define STALL_MS 5000
#define LIFETIME_MS 9000
#define TICK "data: tick\n\n"

static const struct sse_event tick = {.data = {"tick", 4}};

static char trace[64]; /* results of the calls, and callbacks as capitals */
static struct iovec shown;
static const char *in_on_ready; /* action of the next on_ready */

static void note(char sign)
{
    size_t length = strlen(trace);

    if (length + 1 < sizeof(trace))
        trace[length] = sign;
}

static char sign_of(ssize_t answer)
{
    if (answer >= 0)
        return answer ? '+' : '0';
    return answer == SSE_ENDED ? '$' : answer == -EINTR ? 'I' : answer == -EDEADLK ? 'D' : '!';
}

/* The callbacks since the last step, appended to its result. After the client's end, only those before its
 * release. */
static void note_callbacks(void)
{
    static size_t seen;
    size_t length = strlen(client.log);

    for (seen = length < seen ? 0 : seen; seen < length; seen++)
        if (client.log[seen] != 'x')
            note((char)(client.log[seen] - 'a' + 'A'));
}

/* A letter for each call. A digit lets that many seconds pass. */
static void act(char action)
{
    struct sse_emitter *emitter = client.emitter;
    char buffer[100];

    if (action == 's')
        (void)sse_emitter_send(emitter, &tick);
    else if (action == 'f')
        (void)sse_emitter_flush(emitter);
    else if (action == 'i')
        (void)sse_emitter_interrupt(emitter);
    else if (action == 'c')
        (void)sse_emitter_complete(emitter);
    else if (action == 'e')
        (void)sse_emitter_abort(emitter, -EIO);
    else if (action == 'a')
        (void)sse_emitter_consume(emitter, shown.iov_len);
    else if (action == 't')
        (void)fake_loop_turn(&loop);
    else if (action == 'p')
        note(sign_of(sse_emitter_peek(emitter, &shown, 1)));
    else if (action == 'r')
        note(sign_of(sse_emitter_read(emitter, buffer, sizeof(buffer))));
    else if (action == 'w')
        note(sign_of(sse_emitter_wait(emitter, 0)));
    else
        fake_platform_advance_ms(&fake, (uint64_t)(action - '0') * 1000);
}

static void act_all(const char *actions)
{
    for (; *actions; actions++) {
        act(*actions);
        note_callbacks();
    }
}

static void act_in_on_ready(struct fake_client *of, void *user)
{
    const char *actions = in_on_ready;

    (void)of, (void)user;
    note_callbacks();
    in_on_ready = NULL;
    for (; actions && *actions; actions++)
        act(*actions);
}

static void prepare(unsigned framing, bool looped)
{
    fake_client_init(&client, &fake, SSE_OUTPUT_PULL);
    client.loop = looped ? &loop : NULL;
    client.options.framing = (enum sse_framing)framing;
    client.options.stall_ms = STALL_MS;
    client.act = act_in_on_ready;
    in_on_ready = NULL;
}

/* It has consumed the first byte of the body, and on_ready is not armed. */
static void open_client(void)
{
    char buffer[16];

    fake_client_open(&client);
    if (client.loop)
        assert_int_equal(fake_loop_settle(&loop) != 0, 1);
    assert_int_equal(client.readable, client.loop != NULL);
    assert_true(sse_emitter_read(client.emitter, buffer, sizeof(buffer)) > 0);
    note_callbacks();
    memset(trace, 0, sizeof(trace));
}

/* Rows of actions, their results, and the results of a chunked stream where they differ; "-" for nothing. */
static void check_rows(const char *rows, bool looped)
{
    char row[64], actions[24], expected[2][24];
    int size;

    for (const char *at = rows; sscanf(at, "%63s%n", row, &size) == 1; at += size) {
        if (sscanf(row, "%23[^:]:%23[^:]:%23s", actions, expected[0], expected[1]) < 3)
            strcpy(expected[1], expected[0]);
        for (unsigned framing = 0; framing < 2; framing++) {
            prepare(framing, looped);
            client.options.lifetime_ms = LIFETIME_MS;
            client.options.heartbeat_ms = HEARTBEAT_MS;
            open_client();
            act_all(actions);
            if (strcmp(*trace ? trace : "-", expected[framing]))
                fail_msg("%s, framing %u: %s", row, framing, trace);
            fake_client_free(&client);
        }
    }
}

static void a_result_of_0_arms_on_ready_once(void **state)
{
    (void)state;
    /* First what arms on_ready, then heartbeats, then ends. */
    check_rows("st:- spt:+ pst:0R rst:0R psst:0R pstst:0R prprst:0000R pfst:0R pstpa:0R+ pstpast:0R+ "
               "pstpapst:0R+0R pstrpst:0R+0R pstrrst:0R+0R sptat:+ "
               "1t:- p1t:0R 1tp:+ p1trr:0R+0 pt:0 ptp:00 "
               "ct:C:- ctp:C$:+ pct:0RC:0R rctr:0RC$:0R+ rctrtr:0RC$$:0R+C$ stctpapat:+$C:++C "
               "pstctrrr:0R+$$:0R++$",
               true);
}

static void without_a_loop_the_calls_do_the_work(void **state)
{
    (void)state;
    /* Results of read, the waits, interrupts, timers, and ends by the owner. */
    check_rows("p:0 r:0 w:0 sp:+ sr:+ sw:+ spa:+ spap:+0 sprr:++0 spapw:+00 "
               "iw:I iww:I0 iiww:I0 siww:I+ siwrw:I+0 "
               "1w:+ 1pp:0+ 1rr:0+ 1wrw:++0 "
               "cw:$C:+ cww:$C$:++ cwrw:$C$$:++C$ scrw:+C$:++ ew:!EC eww:!EC! seww:!EC! eiww:IEC! "
               "s5w:!TC s9w:!TC sr9w:++ sr9wrw:+++TC$:++++",
               false);
}

/* A stream with every kind of event. Returns its bytes, which the caller frees. */
#define LARGE 600

static char *fill(unsigned framing)
{
    static const char *const expected[] = {
        "retry: 7\ndata: one\nid: 1\n\ndata: two\n\n: note\ndata: %s\n\ndata: \n\n",
        "9\r\nretry: 7\n\r\n11\r\ndata: one\nid: 1\n\n\r\n12\r\ndata: two\n\n: note\n\r\n"
        "260\r\ndata: %s\n\n\r\n8\r\ndata: \n\n\r\n0\r\n\r\n"};
    char large[LARGE + 1] = {0}, *text = malloc(LARGE * 2);
    const struct sse_event events[] = {{.id = {"1", 1}, .data = {"one", 3}},
                                       {.data = {"two", 3}},
                                       {.comment = {"note", 4}},
                                       {.data = {large, LARGE}},
                                       {.data = {"", 0}}};
    struct sse_message *batch;

    assert_non_null(text);
    memset(large, 'l', LARGE);
    prepare(framing, false);
    client.options.retry_ms = 7;
    fake_client_open(&client);
    assert_int_equal(sse_emitter_send(client.emitter, &events[0]), 0);
    assert_int_equal(sse_message_new(&batch, &events[1], 2, &fake.platform), 0);
    assert_int_equal(sse_emitter_send_message(client.emitter, batch), 0);
    sse_message_unref(batch);
    for (size_t i = 3; i < COUNT(events); i++)
        assert_int_equal(sse_emitter_send(client.emitter, &events[i]), 0);
    assert_int_equal(sse_emitter_complete(client.emitter), 0);
    snprintf(text, LARGE * 2, expected[framing], large);
    return text;
}

/* Consumes up to `size` bytes by a read, or by a peek at up to `room` pieces and a consume. */
static ssize_t take(char *to, size_t size, int room)
{
    struct iovec iov[9];
    size_t taken = 0;
    int count;

    if (!room)
        return sse_emitter_read(client.emitter, to, size);
    count = sse_emitter_peek(client.emitter, iov, room);
    for (int i = 0; i < count && taken < size; i++) {
        size_t piece = iov[i].iov_len < size - taken ? iov[i].iov_len : size - taken;

        memcpy(to + taken, iov[i].iov_base, piece);
        taken += piece;
    }
    if (count <= 0)
        return count;
    assert_true(count <= room);
    assert_int_equal(sse_emitter_consume(client.emitter, SIZE_MAX), -EINVAL);
    assert_int_equal(sse_emitter_consume(client.emitter, taken), 0);
    return (ssize_t)taken;
}

static void pieces_of_every_size_give_the_same_stream(void **state)
{
    static const int rooms[] = {0, 1, 2, 9};

    (void)state;
    for (size_t size = 1; size < LARGE * 2; size += size < 40 ? 1 : 13) {
        for (size_t i = 0; i < COUNT(rooms) * 2; i++) {
            char *expected = fill(i % 2), *piece = malloc(size);
            size_t total = 0;
            ssize_t count;

            while ((count = take(piece, size, rooms[i / 2])) > 0) {
                assert_true((size_t)count <= size && total + (size_t)count <= strlen(expected));
                assert_memory_equal(piece, expected + total, (size_t)count);
                total += (size_t)count;
            }
            assert_int_equal(count, SSE_ENDED);
            assert_int_equal(total, strlen(expected));
            assert_string_equal(client.log, "c");
            assert_int_equal(client.completion.events, 5);
            assert_int_equal(client.completion.bytes, total);
            fake_client_free(&client);
            free(expected);
            free(piece);
        }
    }
}

static void only_peeked_bytes_can_be_consumed(void **state)
{
    struct iovec iov[50];
    char buffer[1000];

    (void)state;
    prepare(SSE_FRAMING_RAW, false);
    open_client();
    for (size_t i = 0; i < 40; i++)
        act('s');
    assert_int_equal(sse_emitter_consume(client.emitter, 1), -EINVAL);
    assert_int_equal(sse_emitter_peek(client.emitter, iov, 1), 1);
    assert_int_equal(sse_emitter_consume(client.emitter, iov[0].iov_len + 1), -EINVAL);
    assert_int_equal(sse_emitter_consume(client.emitter, 5), 0);
    assert_int_equal(sse_emitter_consume(client.emitter, 1), -EINVAL);
    assert_int_equal(sse_emitter_peek(client.emitter, iov, 50), 40);
    assert_int_equal(iov[0].iov_len, strlen(TICK) - 5);
    assert_int_equal(sse_emitter_consume(client.emitter, 40 * strlen(TICK) - 4), -EINVAL);
    assert_int_equal(sse_emitter_consume(client.emitter, 0), 0);
    assert_int_equal(sse_emitter_consume(client.emitter, 1), -EINVAL);
    assert_int_equal(sse_emitter_read(client.emitter, buffer, sizeof(buffer)), 40 * strlen(TICK) - 5);
    assert_int_equal(sse_emitter_consume(client.emitter, 1), -EINVAL);
    assert_int_equal(fake_client_info(&client).events, 40);
    fake_client_free(&client);
}

/* Aborts while the reader still uses the bytes of a peek. */
static void peeked_bytes_stay_in_memory(void **state)
{
    static const char *const ends[] = {"e", "5t", "ssst", "ce", "c5t", "9t"};

    (void)state;
    for (size_t i = 0; i < COUNT(ends) * 8; i++) {
        bool looped = i / 4 % 2;
        char byte;

        prepare(SSE_FRAMING_CHUNKED, looped);
        client.options.queue_messages = 3;
        client.options.lifetime_ms = LIFETIME_MS;
        open_client();
        act('s');
        act('p');
        act_all(ends[i / 8]);
        act_all("sfi1ft");
        /* If a turn finds the queue over its limits, the reader has until the next turn. */
        act_all("t");
        assert_int_equal(fake_client_info(&client).state, SSE_STATE_CLOSED);
        assert_int_equal(fake_client_info(&client).queued_messages, 0);
        assert_int_equal(fake_client_info(&client).queued_bytes, 0);
        assert_int_equal(client.completions, 1);
        assert_memory_equal(shown.iov_base, "c\r\n" TICK "\r\n", shown.iov_len);
        if (i % 4 == 0)
            assert_true(sse_emitter_peek(client.emitter, &shown, 1) < 0);
        else if (i % 4 == 1)
            assert_true(sse_emitter_read(client.emitter, &byte, 1) < 0);
        else
            assert_int_equal(sse_emitter_consume(client.emitter, i % 4 == 2 ? shown.iov_len : 0), 0);
        assert_int_equal(fake_client_info(&client).events, 0);
        assert_int_equal(sse_emitter_consume(client.emitter, 1), -EINVAL);
        fake_client_free(&client);
    }
}

static void on_ready_may_do_anything(void **state)
{
    /* The actions, those of the first on_ready, the results of all, and the events that are dropped. */
    static const char *const rows[] = {
        "pst:p:0R+C:1", "pst:ra:0R+C:0",    "pst:pap:0R+0C:0", "pstt:rrs:0R+0RC:1", "pst:rs:0R+C:1",
        "pst:c:0RC:1",  "pst:rc:0R+C:0",    "pst:rcp:0R+$C:0", "pst:i:0RC:1",       "pct:p:0R$C:0",
        "pst:e:0REC:1", "pst:epr:0R!!EC:1", "pst:era:0R!EC:1", "psst:ssp:0R+C:4",   "pst:spea:0R+EC:2",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char actions[16], inside[16], expected[16];
        int dropped;

        assert_int_equal(sscanf(rows[i], "%15[^:]:%15[^:]:%15[^:]:%d", actions, inside, expected, &dropped),
                         4);
        prepare(SSE_FRAMING_RAW, true);
        open_client();
        in_on_ready = inside;
        act_all(actions);
        fake_client_free(&client);
        note_callbacks();
        if (strcmp(trace, expected) || client.completion.dropped != (uint64_t)dropped)
            fail_msg("%s: %s, %d dropped", rows[i], trace, (int)client.completion.dropped);
    }
}

/* on_ready never runs once close has returned, and not for the end that close causes. */
static void a_closed_emitter_is_not_ready(void **state)
{
    (void)state;
    for (int armed = 0; armed < 2; armed++) {
        prepare(SSE_FRAMING_RAW, true);
        open_client();
        if (armed)
            act_all("p");
        act_all("s");
        fake_client_free(&client);
        assert_string_equal(client.log, "rcx");
    }
}

static void read_expects(const char *expected)
{
    char buffer[100];
    ssize_t size = sse_emitter_read(client.emitter, buffer, sizeof(buffer));

    assert_int_equal(size, strlen(expected));
    assert_memory_equal(buffer, expected, strlen(expected));
}

/* The queue counts the messages that are peeked in 16 bits. */
static void one_peek_shows_a_limited_number_of_messages(void **state)
{
    const int sent = UINT16_MAX + 2;
    struct iovec *iov = calloc((size_t)sent, sizeof(*iov));
    struct sse_message *message;

    (void)state;
    assert_non_null(iov);
    prepare(SSE_FRAMING_RAW, false);
    client.options.queue_messages = (size_t)sent;
    open_client();
    assert_int_equal(sse_message_new(&message, &tick, 1, &fake.platform), 0);
    for (int i = 0; i < sent; i++)
        assert_int_equal(sse_emitter_send_message(client.emitter, message), 0);
    sse_message_unref(message);
    assert_int_equal(sse_emitter_peek(client.emitter, iov, sent), UINT16_MAX);
    assert_int_equal(sse_emitter_consume(client.emitter, UINT16_MAX * strlen(TICK)), 0);
    assert_int_equal(sse_emitter_peek(client.emitter, iov, sent), 2);
    fake_client_free(&client);
    free(iov);
}

/* Peeked bytes may have been written before the client closed its side. Only later writes show that. */
static void a_ping_follows_peeked_bytes(void **state)
{
    (void)state;
    for (unsigned looped = 0; looped < 2; looped++) {
        prepare(SSE_FRAMING_RAW, looped);
        open_client();
        act_all("sp");
        assert_int_equal(sse_emitter_ping(client.emitter), 0);
        act('a');
        read_expects(":\n");
        read_expects("");
        /* More bytes follow anyway, so there is no ping. */
        act_all("sps");
        assert_int_equal(sse_emitter_ping(client.emitter), 0);
        act('a');
        read_expects(TICK);
        read_expects("");
        /* The bytes that were not consumed are peeked again, and the ping follows them. */
        act_all("sp");
        assert_int_equal(sse_emitter_ping(client.emitter), 0);
        act_all("pa");
        read_expects("");
        /* After the end, nothing follows. */
        act_all("sp");
        assert_int_equal(sse_emitter_ping(client.emitter), 0);
        act_all("ca");
        assert_int_equal(sse_emitter_read(client.emitter, trace, 1), SSE_ENDED);
        fake_client_free(&client);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_result_of_0_arms_on_ready_once),
        TEST(without_a_loop_the_calls_do_the_work),
        TEST(pieces_of_every_size_give_the_same_stream),
        TEST(only_peeked_bytes_can_be_consumed),
        TEST(one_peek_shows_a_limited_number_of_messages),
        TEST(a_ping_follows_peeked_bytes),
        TEST(peeked_bytes_stay_in_memory),
        TEST(on_ready_may_do_anything),
        TEST(a_closed_emitter_is_not_ready),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
