/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/emitter.h>

#include "fake_host.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HEARTBEAT_MS 1000
#define STALL_MS 5000
#define LIFETIME_MS 9000

static const struct sse_event tick = {.data = {"tick", 4}};
#define TICK "data: tick\n\n"

/* A host that takes the bytes, and what it has seen: capitals for hooks, other signs for answers. */
struct client {
    struct fake_host host;
    struct sse_emitter_options options;
    struct sse_emitter *emitter;
    char trace[64];
    struct sse_completion record;
    const char *in_on_ready; /* what the next one does */
    const char *in_thread;   /* what another thread does after the start */
    pthread_barrier_t start;
    struct iovec shown;
    sem_t wake; /* for each on_ready */
    size_t noted, wakes;
};

static void act_all(struct client *client, const char *actions);

static void note(struct client *client, char sign)
{
    client->trace[client->noted++ % (sizeof(client->trace) - 1)] = sign;
}

static void on_ready(struct sse_emitter *emitter, void *user)
{
    struct client *client = user;
    const char *actions = client->in_on_ready;

    (void)emitter;
    note(client, 'R');
    client->wakes++;
    client->in_on_ready = NULL;
    if (actions)
        act_all(client, actions);
    sem_post(&client->wake);
}

static void on_timeout(struct sse_emitter *emitter, enum sse_reason reason, void *user)
{
    (void)emitter, (void)reason;
    note(user, 'T');
}

static void on_error(struct sse_emitter *emitter, int error, void *user)
{
    (void)emitter, (void)error;
    note(user, 'E');
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    (void)emitter;
    note(user, 'C');
    ((struct client *)user)->record = *completion;
}

static struct client *prepare(struct client *client, enum sse_framing framing)
{
    memset(client, 0, sizeof(*client));
    fake_host_init(&client->host);
    sem_init(&client->wake, 0, 0);
    client->options = (struct sse_emitter_options){.size = sizeof(client->options),
                                                   .host = &client->host.host,
                                                   .drain = SSE_DRAIN_PULL,
                                                   .framing = framing,
                                                   .stall_ms = STALL_MS,
                                                   .heartbeat_ms = SSE_TIMER_OFF,
                                                   .on_ready = on_ready,
                                                   .on_timeout = on_timeout,
                                                   .on_error = on_error,
                                                   .on_completion = on_completion,
                                                   .user = client};
    return client;
}

static void open_emitter(struct client *client)
{
    assert_int_equal(sse_emitter_new(&client->emitter, &client->options), 0);
}

static void finish(struct client *client)
{
    sse_emitter_unref(client->emitter);
    sem_destroy(&client->wake);
    fake_host_check_no_leak(&client->host);
}

static struct sse_emitter_info info_of(struct client *client)
{
    struct sse_emitter_info info = {.size = sizeof(info)};

    assert_int_equal(sse_emitter_info(client->emitter, &info), 0);
    return info;
}

#define LARGE 600

/* A stream with everything in it. Returns its bytes, for the caller to free. */
static char *fill(struct client *client, enum sse_framing framing)
{
    static const char *const expected[] = {
        "HEAD|retry: 7\ndata: one\nid: 1\n\ndata: two\n\n: note\ndata: %s\n\ndata: \n\n",
        "HEAD|9\r\nretry: 7\n\r\n11\r\ndata: one\nid: 1\n\n\r\n12\r\ndata: two\n\n: note\n\r\n"
        "260\r\ndata: %s\n\n\r\n8\r\ndata: \n\n\r\n0\r\n\r\n"};
    char large[LARGE + 1] = {0}, *text = malloc(LARGE * 2);
    const struct sse_event events[] = {{.id = {"1", 1}, .data = {"one", 3}},
                                       {.data = {"two", 3}},
                                       {.comment = {"note", 4}},
                                       {.data = {large, LARGE}},
                                       {.data = {"", 0}}};
    struct sse_message *batch;

    memset(large, 'l', LARGE);
    prepare(client, framing)->options.head = sse_str("HEAD|");
    client->options.retry_ms = 7;
    open_emitter(client);
    assert_int_equal(sse_emitter_send(client->emitter, &events[0]), 0);
    assert_int_equal(sse_message_new(&batch, &events[1], 2, &client->host.host), 0);
    assert_int_equal(sse_emitter_send_message(client->emitter, batch), 0);
    sse_message_unref(batch);
    for (size_t i = 3; i < COUNT(events); i++)
        assert_int_equal(sse_emitter_send(client->emitter, &events[i]), 0);
    assert_int_equal(sse_emitter_complete(client->emitter), 0);
    snprintf(text, LARGE * 2, expected[framing], large);
    return text;
}

/* Takes up to `size` bytes by a read, or by a peek at up to `room` pieces and an advance. */
static ssize_t take(struct client *client, char *to, size_t size, int room)
{
    struct iovec iov[9];
    size_t taken = 0;
    int count;

    if (!room)
        return sse_emitter_read(client->emitter, to, size);
    count = sse_emitter_peek(client->emitter, iov, room);
    for (int i = 0; i < count && taken < size; i++) {
        size_t piece = iov[i].iov_len < size - taken ? iov[i].iov_len : size - taken;

        memcpy(to + taken, iov[i].iov_base, piece);
        taken += piece;
    }
    if (count <= 0)
        return count;
    assert_true(count <= room);
    assert_int_equal(sse_emitter_advance(client->emitter, SIZE_MAX), -EINVAL);
    assert_int_equal(sse_emitter_advance(client->emitter, taken), 0);
    return (ssize_t)taken;
}

static void pieces_of_every_size_give_the_same_stream(void **state)
{
    static const int rooms[] = {0, 1, 2, 9};

    (void)state;
    for (size_t size = 1; size < LARGE * 2; size += size < 40 ? 1 : 13) {
        for (size_t i = 0; i < COUNT(rooms) * 2; i++) {
            struct client client;
            char *expected = fill(&client, i % 2), *piece = malloc(size);
            size_t total = 0;
            ssize_t count;

            while ((count = take(&client, piece, size, rooms[i / 2])) > 0) {
                assert_true((size_t)count <= size && total + (size_t)count <= strlen(expected));
                assert_memory_equal(piece, expected + total, (size_t)count);
                total += (size_t)count;
            }
            assert_int_equal(count, -ESHUTDOWN);
            assert_int_equal(total, strlen(expected));
            assert_string_equal(client.trace, "C");
            assert_int_equal(client.record.events, 5);
            assert_int_equal(client.record.bytes, total);
            finish(&client);
            free(expected);
            free(piece);
        }
    }
}

static char sign_of(ssize_t answer)
{
    if (answer >= 0)
        return answer ? '+' : '0';
    return answer == -ESHUTDOWN ? '$' : answer == -EINTR ? 'I' : answer == -EDEADLK ? 'D' : '!';
}

/* A letter for each call; a digit lets so many seconds pass. */
static int act(struct client *client, char action)
{
    static int (*const plain[128])(struct sse_emitter *) = {['f'] = sse_emitter_flush,
                                                            ['t'] = sse_emitter_tick,
                                                            ['i'] = sse_emitter_interrupt,
                                                            ['c'] = sse_emitter_complete,
                                                            ['d'] = sse_emitter_detach};
    struct sse_emitter *emitter = client->emitter;
    char buffer[100];

    if (plain[(unsigned char)action])
        return plain[(unsigned char)action](emitter);
    if (action == 's')
        return sse_emitter_send(emitter, &tick);
    if (action == 'e')
        return sse_emitter_complete_with_error(emitter, -EIO);
    if (action == 'a')
        return sse_emitter_advance(emitter, client->shown.iov_len);
    if (action == 'p')
        note(client, sign_of(sse_emitter_peek(emitter, &client->shown, 1)));
    else if (action == 'r')
        note(client, sign_of(sse_emitter_read(emitter, buffer, sizeof(buffer))));
    else if (action == 'w')
        note(client, sign_of(sse_emitter_wait(emitter, 0)));
    else
        fake_host_advance_ms(&client->host, (uint64_t)(action - '0') * 1000);
    return 0;
}

static void act_all(struct client *client, const char *actions)
{
    while (*actions)
        (void)act(client, *actions++);
}

static void an_empty_answer_arms_on_ready_once(void **state)
{
    /* The actions, what they show, and what a chunked stream shows instead; "-" for nothing. First what
     * arms, then heartbeats, then ends, then waits, which run the timers. */
    static const char rows[] =
        "s:- sps:+ ps:0R rs:0R pss:0R pps:00R prprs:0000R pfs:0R pspa:0R+ pspas:0R+ pspaps:0R+0R "
        "psrps:0R+0R psrrs:0R+0R "
        "1t:- p1t:0R p1trr:0R+0 pt:0 "
        "c:C:- cp:C$:+ pc:0RC:0R rcr:0RC$:0RC+ rcrr:0RC$$:0RC+$ scpapp:+C$$:+++ scrr:C+$:+C+ "
        "pscrrr:0RC+$$:0R+C+$ pe:0REC per:0REC! sper:+EC! sep:EC! scep:EC! pd:0C pdp:0C! spd:+C ps5t:0RTC "
        "sp5tp:+TC! "
        "w:0 sw:+ ws:0 iww:I0 iiww:I0 siww:I+ cw:C$:+ ew:EC! eiww:ECI! dw:C! 1w:+ p1w:0R+ p1wrw:0R++0 "
        "s9w:+ sc9w:+ 1wr9wrw:+++TC+$:+++++";
    char row[48], actions[16], expected[2][16];
    int size;

    (void)state;
    for (const char *at = rows; sscanf(at, "%47s%n", row, &size) == 1; at += size) {
        if (sscanf(row, "%15[^:]:%15[^:]:%15s", actions, expected[0], expected[1]) < 3)
            strcpy(expected[1], expected[0]);
        for (unsigned framing = 0; framing < 2; framing++) {
            struct client client;

            prepare(&client, framing)->options.lifetime_ms = LIFETIME_MS;
            client.options.heartbeat_ms = HEARTBEAT_MS;
            open_emitter(&client);
            act_all(&client, actions);
            if (strcmp(*client.trace ? client.trace : "-", expected[framing]))
                fail_msg("%s, framing %u: %s", row, framing, client.trace);
            finish(&client);
        }
    }
}

static void only_what_was_shown_can_be_taken(void **state)
{
    struct client client;
    struct iovec iov[50];
    char buffer[1000];

    (void)state;
    open_emitter(prepare(&client, SSE_FRAMING_RAW));
    for (size_t i = 0; i < 40; i++)
        (void)act(&client, 's');
    assert_int_equal(sse_emitter_advance(client.emitter, 1), -EINVAL);
    assert_int_equal(sse_emitter_peek(client.emitter, iov, 1), 1);
    assert_int_equal(sse_emitter_advance(client.emitter, iov[0].iov_len + 1), -EINVAL);
    assert_int_equal(sse_emitter_advance(client.emitter, 5), 0);
    assert_int_equal(sse_emitter_advance(client.emitter, 1), -EINVAL);
    assert_int_equal(sse_emitter_peek(client.emitter, iov, 50), 40);
    assert_int_equal(iov[0].iov_len, strlen(TICK) - 5);
    assert_int_equal(sse_emitter_advance(client.emitter, 40 * strlen(TICK) - 4), -EINVAL);
    assert_int_equal(sse_emitter_advance(client.emitter, 0), 0);
    assert_int_equal(sse_emitter_advance(client.emitter, 1), -EINVAL);
    assert_int_equal(sse_emitter_read(client.emitter, buffer, sizeof(buffer)), 40 * strlen(TICK) - 5);
    assert_int_equal(sse_emitter_advance(client.emitter, 1), -EINVAL);
    assert_int_equal(info_of(&client).events, 40);
    assert_int_equal(client.host.blocks, 1);
    finish(&client);
}

/* Ends that cut a stream off while its reader still looks at what a peek showed. */
static void what_was_shown_stays_in_memory(void **state)
{
    static const char *const ends[] = {"e", "d", "5t", "sss", "ce", "cd", "c5t", "9t"};

    (void)state;
    for (size_t i = 0; i < COUNT(ends) * 4; i++) {
        struct client client;
        uint64_t dropped = ends[i / 4][0] == 's' ? 3 : 1;
        char byte;

        prepare(&client, SSE_FRAMING_CHUNKED)->options.queue_messages = 3;
        client.options.lifetime_ms = LIFETIME_MS;
        open_emitter(&client);
        act_all(&client, "sp");
        act_all(&client, ends[i / 4]);
        act_all(&client, "sfti1t");
        assert_int_equal(info_of(&client).state, SSE_STATE_CLOSED);
        assert_int_equal(info_of(&client).dropped, dropped);
        assert_int_equal(info_of(&client).queued_messages, 0);
        assert_int_equal(info_of(&client).queued_bytes, 0);
        assert_true(client.host.blocks > 1);
        assert_memory_equal(client.shown.iov_base, "c\r\n" TICK "\r\n", client.shown.iov_len);
        if (i % 4 == 0)
            assert_true(sse_emitter_peek(client.emitter, &client.shown, 1) < 0);
        else if (i % 4 == 1)
            assert_true(sse_emitter_read(client.emitter, &byte, 1) < 0);
        else
            assert_int_equal(sse_emitter_advance(client.emitter, i % 4 == 2 ? client.shown.iov_len : 0), 0);
        assert_int_equal(client.host.blocks, 1);
        assert_int_equal(info_of(&client).bytes, 0);
        assert_int_equal(sse_emitter_advance(client.emitter, 1), -EINVAL);
        finish(&client);
    }
}

static void on_ready_may_do_anything(void **state)
{
    /* The actions, those of the first on_ready, what all show, and the events that are dropped. */
    static const char *const rows[] = {
        "ps:p:0R+C:1",     "ps:ra:0R+C:0",   "ps:pap:0R+0C:0",  "ps:rrs:0R+0RC:1",  "ps:rs:0R+C:1",
        "ps:sfti:0RC:2",   "psr:c:0RC+:0",   "psr:rc:0R+C$:0",  "ps:rcp:0R+0RC:0",  "ps:w:0RDC:1",
        "ps:wiw:0RDDC:1",  "pc:w:0RDC:0",    "ps:e:0REC:1",     "ps:d:0RC:1",       "ps:de:0RC:1",
        "ps:epr:0R!!EC:1", "ps:era:0R!EC:1", "pss:sspd:0R+C:3", "ps:spead:0R+EC:2", "ps:dp:0R!C:1",
        "ps:9t:0RTC:1"};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char actions[16], inside[16], expected[16];
        struct client client;
        int dropped;

        assert_int_equal(sscanf(rows[i], "%15[^:]:%15[^:]:%15[^:]:%d", actions, inside, expected, &dropped),
                         4);
        open_emitter(prepare(&client, SSE_FRAMING_RAW));
        client.in_on_ready = inside;
        act_all(&client, actions);
        finish(&client);
        if (strcmp(client.trace, expected) || client.record.dropped != (uint64_t)dropped)
            fail_msg("%s: %s, %d dropped", rows[i], client.trace, (int)client.record.dropped);
    }
}

/* A clock that moves a millisecond each time it is read. */
static uint64_t creeping_now(void *user)
{
    return atomic_fetch_add(&((struct fake_host *)user)->now, 1000000);
}

static void a_wait_sleeps_until_its_timer(void **state)
{
    struct client client;
    char buffer[10];

    (void)state;
    prepare(&client, SSE_FRAMING_RAW)->options.heartbeat_ms = 12;
    client.options.lifetime_ms = 40;
    client.host.host.now = creeping_now;
    open_emitter(&client);
    assert_int_equal(sse_emitter_wait(client.emitter, 1), 0);
    while (sse_emitter_wait(client.emitter, -1) == 1)
        assert_int_equal(sse_emitter_read(client.emitter, buffer, sizeof(buffer)), 2);
    assert_string_equal(client.trace, "TC");
    assert_int_equal(client.record.reason, SSE_REASON_LIFETIME);
    assert_true(client.record.bytes >= 4 && client.record.age_ms >= 40);
    finish(&client);
}

static void *help(void *argument)
{
    struct client *client = argument;

    pthread_barrier_wait(&client->start);
    act_all(client, client->in_thread);
    return NULL;
}

static void another_thread_wakes_a_wait(void **state)
{
    static const struct {
        const char *actions;
        int raw, chunked;
    } rows[] = {
        {"s", 1, 1},
        {"ffs", 1, 1},
        {"1t", 1, 1},
        {"i", -EINTR, -EINTR},
        {"c", -ESHUTDOWN, 1},
        {"e", -EIO, -EIO},
        {"d", -ECANCELED, -ECANCELED},
        {"9t", -ESHUTDOWN, 1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows) * 2 * 50; i++) {
        size_t row = i % COUNT(rows), framing = i / COUNT(rows) % 2;
        struct client client;
        pthread_t thread;

        prepare(&client, (unsigned)framing)->options.lifetime_ms = LIFETIME_MS;
        if (rows[row].actions[0] == '1')
            client.options.heartbeat_ms = HEARTBEAT_MS;
        client.in_thread = rows[row].actions;
        pthread_barrier_init(&client.start, NULL, 2);
        open_emitter(&client);
        assert_int_equal(pthread_create(&thread, NULL, help, &client), 0);
        pthread_barrier_wait(&client.start);
        assert_int_equal(sse_emitter_wait(client.emitter, -1), framing ? rows[row].chunked : rows[row].raw);
        pthread_join(thread, NULL);
        pthread_barrier_destroy(&client.start);
        finish(&client);
    }
}

#define MANY 5000

static void *send_many(void *argument)
{
    struct client *client = argument;

    for (size_t i = 0; i < MANY; i++)
        (void)act(client, 's');
    (void)act(client, 'c');
    return NULL;
}

/* A reader that suspends itself at each 0 and goes on when on_ready was called: it would hang if a
 * wake were missed, and the counts would differ if one came twice. */
static void no_wake_is_missed(void **state)
{
    struct client client;
    pthread_t thread;
    size_t total = 0, zeros = 0;
    ssize_t count;
    char buffer[100];

    (void)state;
    prepare(&client, SSE_FRAMING_RAW)->options.queue_messages = MANY;
    open_emitter(&client);
    assert_int_equal(pthread_create(&thread, NULL, send_many, &client), 0);
    while ((count = sse_emitter_read(client.emitter, buffer, sizeof(buffer))) >= 0) {
        total += (size_t)count;
        zeros += !count;
        while (!count && sem_wait(&client.wake))
            ;
    }
    pthread_join(thread, NULL);
    assert_int_equal(count, -ESHUTDOWN);
    assert_int_equal(total, MANY * strlen(TICK));
    assert_int_equal(client.wakes, zeros);
    finish(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_of_every_size_give_the_same_stream),
        cmocka_unit_test(only_what_was_shown_can_be_taken),
        cmocka_unit_test(an_empty_answer_arms_on_ready_once),
        cmocka_unit_test(what_was_shown_stays_in_memory),
        cmocka_unit_test(on_ready_may_do_anything),
        cmocka_unit_test(a_wait_sleeps_until_its_timer),
        cmocka_unit_test(another_thread_wakes_a_wait),
        cmocka_unit_test(no_wake_is_missed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
