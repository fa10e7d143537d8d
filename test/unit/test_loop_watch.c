/* SPDX-License-Identifier: MIT */
/* Sockets that a polled loop only watches: for emitters with a write callback, and for PULL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop_stage.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define STREAMS 3

static const enum sse_poller pollers[] = {SSE_POLLER_POLL, SSE_POLLER_EPOLL};

/* One stream over a socket to which the server itself writes. */
struct stream {
    struct loop_stage *stage;
    struct descriptor_pair *pair;
    struct sse_emitter *emitter;
    struct sse_emitter_options options;
    bool busy_elsewhere; /* the write callback is full for another reason than its socket */
    bool stops;          /* the write callback takes one byte, and then nothing */
    unsigned rooms_taken; /* so often another stream fills the socket first, and the client reads at once */
    bool read_when_full; /* the client reads before a write callback whose socket is full has returned */
    unsigned writes;
    unsigned readable, blocked;
    unsigned completions;
    atomic_uint releases;
    enum sse_reason reason;
};

static ssize_t write_to_socket(void *user, const struct iovec *iov, int count)
{
    struct stream *stream = user;
    const struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov,
                                   .msg_iovlen = (unsigned short)count};
    ssize_t sent;

    stream->writes++;
    if (stream->rooms_taken) {
        stream->rooms_taken--;
        return -EAGAIN;
    }
    if (stream->busy_elsewhere || (stream->stops && stream->writes > 1))
        return -EAGAIN;
    if (stream->stops)
        return send(stream->pair->server, iov->iov_base, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    sent = sendmsg(stream->pair->server, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0)
        sent = -errno;
    if (sent == -EAGAIN && stream->read_when_full)
        (void)pair_discard(stream->pair);
    return sent;
}

static ssize_t accept_all(void *user, const struct iovec *iov, int count)
{
    size_t size = 0;

    ((struct stream *)user)->writes++;
    for (int i = 0; i < count; i++)
        size += iov[i].iov_len;
    return (ssize_t)size;
}

/* The work of a server that fetches bytes: from on_ready, until there are no more. */
static void write_pulled(struct stream *stream)
{
    char buffer[100];
    ssize_t size;

    while ((size = sse_emitter_read(stream->emitter, buffer, sizeof(buffer))) > 0)
        (void)send(stream->pair->server, buffer, (size_t)size, MSG_NOSIGNAL);
}

static void on_ready(struct sse_emitter *emitter, unsigned what, void *user)
{
    struct stream *stream = user;

    (void)emitter;
    stream->readable += what == SSE_READABLE;
    stream->blocked += what == SSE_BLOCKED;
    if (what == SSE_READABLE)
        write_pulled(stream);
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct stream *stream = user;

    (void)emitter;
    stream->completions++;
    stream->reason = completion->reason;
}

static void on_release(void *user)
{
    atomic_fetch_add(&((struct stream *)user)->releases, 1);
}

static void describe(struct stream *stream, struct loop_stage *stage, enum sse_output output,
                     struct descriptor_pair *pair)
{
    *stream = (struct stream){.stage = stage, .pair = pair};
    stream->options =
        (struct sse_emitter_options){.size = sizeof(stream->options),
                                     .platform = &stage->fake.platform,
                                     .registry = stage->registry,
                                     .loop = stage->loop,
                                     .output = output,
                                     .write = output == SSE_OUTPUT_CALLBACK ? write_to_socket : NULL,
                                     .watch_fd = pair->server,
                                     .heartbeat_ms = SSE_TIMER_OFF,
                                     .stall_ms = SSE_TIMER_OFF,
                                     .queue_bytes = (size_t)64 << 20,
                                     .on_ready = on_ready,
                                     .on_completion = on_completion,
                                     .on_release = on_release,
                                     .user = stream};
}

static int try_open(struct stream *stream, struct loop_stage *stage, enum sse_output output,
                    struct descriptor_pair *pair)
{
    describe(stream, stage, output, pair);
    return sse_emitter_new(&stream->emitter, &stream->options, NULL);
}

static void open_stream(struct stream *stream, struct loop_stage *stage, enum sse_output output,
                        struct descriptor_pair *pair)
{
    assert_int_equal(try_open(stream, stage, output, pair), 0);
    for (int i = 0; i < 3; i++)
        loop_stage_dispatch(stage);
    pair_expect(pair, ":\n");
}

/* Its write callback is full, and its socket is not. */
static void open_busy_stream(struct stream *stream, struct loop_stage *stage, struct descriptor_pair *pair)
{
    open_stream(stream, stage, SSE_OUTPUT_CALLBACK, pair);
    stream->busy_elsewhere = true;
    assert_int_equal(sse_emitter_send(stream->emitter, &(struct sse_event){.data = sse_str("x")}), 0);
    for (int i = 0; i < 10; i++)
        loop_stage_dispatch(stage);
}

static void close_stream(struct stream *stream)
{
    sse_emitter_close(stream->emitter);
    stream->emitter = NULL;
    while (!atomic_load(&stream->releases))
        loop_stage_dispatch(stream->stage);
    assert_int_equal(stream->completions, 1);
}

/* There is no heartbeat, and the server sends no event. */
static void is_noticed(struct stream *stream)
{
    while (!stream->completions)
        assert_int_equal(sse_loop_dispatch(stream->stage->loop, -1), 0);
    assert_int_equal(stream->reason, SSE_REASON_DISCONNECTED);
    assert_true(descriptor_is_open(stream->pair->server));
}

/* The client disconnects in each possible way, with both outputs. */
static void departures_are_noticed(void **state)
{
    for (int i = 0; i < 2 * 3; i++) {
        struct descriptor_pair pair;
        struct stream stream;

        pair_open(&pair, i / 2 == 0 ? PAIR_STREAM : PAIR_TCP);
        open_stream(&stream, *state, i % 2 ? SSE_OUTPUT_PULL : SSE_OUTPUT_CALLBACK, &pair);
        if (i / 2 == 2)
            pair_reset(&pair);
        else
            pair_leave(&pair);
        is_noticed(&stream);
        close_stream(&stream);
        assert_true(descriptor_is_open(pair.server));
        pair_close(&pair);
    }
}

static void a_client_that_left_before_is_noticed(void **state)
{
    for (int i = 0; i < 2 * 2; i++) {
        struct descriptor_pair pair;
        struct stream stream;

        pair_open(&pair, i / 2 ? PAIR_TCP : PAIR_STREAM);
        pair_leave(&pair);
        assert_int_equal(try_open(&stream, *state, i % 2 ? SSE_OUTPUT_PULL : SSE_OUTPUT_CALLBACK, &pair), 0);
        is_noticed(&stream);
        close_stream(&stream);
        pair_close(&pair);
    }
}

/* The loop learns of the end in the same turn in which it would write an event. A pipe without a reader reports an
 * error, and nothing to read. */
static void nothing_is_written_to_a_client_that_has_left(void **state)
{
    struct loop_stage *stage = *state;
    const struct sse_event event = {.data = sse_str("late")};
    struct descriptor_pair pair;
    struct stream stream;

    pair_open(&pair, PAIR_PIPE);
    describe(&stream, stage, SSE_OUTPUT_CALLBACK, &pair);
    stream.options.write = accept_all;
    stream.options.heartbeat_ms = 15000;
    assert_int_equal(sse_emitter_new(&stream.emitter, &stream.options, NULL), 0);
    for (int i = 0; i < 3; i++)
        loop_stage_dispatch(stage);
    assert_int_equal(stream.writes, 1);
    assert_int_equal(sse_registry_publish(stage->registry, sse_str(NULL), &event, NULL), 0);
    pair_leave(&pair);
    is_noticed(&stream);
    assert_int_equal(stream.writes, 1);
    close_stream(&stream);
    pair_close(&pair);
}

/* The loop sends one comment to find out whether the client is still there, and no more after that. */
static void a_half_closed_client_stays(void **state)
{
    for (int i = 0; i < 2 * 2; i++) {
        struct descriptor_pair pair;
        struct stream stream;

        pair_open(&pair, i / 2 ? PAIR_TCP : PAIR_STREAM);
        open_stream(&stream, *state, i % 2 ? SSE_OUTPUT_PULL : SSE_OUTPUT_CALLBACK, &pair);
        assert_int_equal(shutdown(pair.client, SHUT_WR), 0);
        while (pair_is_quiet(&pair))
            assert_int_equal(sse_loop_dispatch(stream.stage->loop, -1), 0);
        pair_expect(&pair, ":\n");
        for (int k = 0; k < 5; k++)
            loop_stage_dispatch(*state);
        assert_true(pair_is_quiet(&pair));
        assert_int_equal(sse_emitter_send(stream.emitter, &(struct sse_event){.data = sse_str("x")}), 0);
        for (int k = 0; k < 3; k++)
            loop_stage_dispatch(*state);
        pair_expect(&pair, "data: x\n\n");
        assert_int_equal(stream.completions, 0);
        close_stream(&stream);
        pair_close(&pair);
    }
}

/* The server reads the client's input. Unread input does not keep the loop awake. */
static void the_socket_is_never_read(void **state)
{
    struct loop_stage *stage = *state;

    for (int pull = 0; pull < 2; pull++) {
        const struct sse_emitter_options mortal = {.lifetime_ms = 30, .heartbeat_ms = SSE_TIMER_OFF};
        struct descriptor_pair pair;
        struct loop_client clock;
        struct stream stream;
        unsigned rounds = 0;
        char buffer[16];

        pair_open(&pair, PAIR_TCP);
        open_stream(&stream, stage, pull ? SSE_OUTPUT_PULL : SSE_OUTPUT_CALLBACK, &pair);
        assert_int_equal(send(pair.client, "mine", 4, MSG_NOSIGNAL), 4);
        loop_client_open(&clock, stage, LOOP_CLIENT_UNIX, &mortal);
        for (; !atomic_load(&clock.completions); rounds++)
            assert_int_equal(sse_loop_dispatch(stage->loop, -1), 0);
        assert_in_range(rounds, 1, 20);
        assert_int_equal(recv(pair.server, buffer, sizeof(buffer), 0), 4);
        assert_memory_equal(buffer, "mine", 4);
        assert_int_equal(stream.completions, 0);
        loop_client_close(&clock);
        close_stream(&stream);
        pair_close(&pair);
    }
}

static size_t queued(struct stream *stream)
{
    struct sse_emitter_info info;

    assert_int_equal(sse_emitter_get_info(stream->emitter, &info, sizeof(info)), 0);
    return info.queued_bytes;
}

static size_t fill(struct stream *stream)
{
    static char text[60000];
    const struct sse_event event = {.data = {text, sizeof(text)}};
    size_t total = 0;

    memset(text, 'x', sizeof(text));
    do {
        assert_int_equal(sse_emitter_send(stream->emitter, &event), 0);
        total += sizeof(text) + strlen("data: \n\n");
        loop_stage_dispatch(stream->stage);
    } while (!queued(stream));
    return total;
}

static void a_full_socket_is_written_to_again(void **state)
{
    for (int tcp = 0; tcp < 2; tcp++) {
        struct descriptor_pair pair;
        struct stream stream;

        pair_open(&pair, tcp ? PAIR_TCP : PAIR_STREAM);
        open_stream(&stream, *state, SSE_OUTPUT_CALLBACK, &pair);
        for (int round = 0; round < 2; round++) {
            size_t size = fill(&stream);

            /* Nobody calls flush. */
            while (size) {
                struct pollfd readable = {.fd = pair.client, .events = POLLIN};

                size -= pair_discard(&pair);
                if (queued(&stream))
                    assert_int_equal(sse_loop_dispatch(stream.stage->loop, -1), 0);
                else if (size)
                    (void)poll(&readable, 1, -1);
            }
            assert_int_equal(queued(&stream), 0);
        }
        close_stream(&stream);
        pair_close(&pair);
    }
}

/* The socket was full when the callback wrote, and is not when the loop looks at it. */
static void room_that_comes_before_the_loop_looks_is_used(void **state)
{
    static char text[60000];
    const struct sse_event event = {.data = {memset(text, 'x', sizeof(text)), sizeof(text)}};
    struct descriptor_pair pair;
    struct stream stream;

    pair_open(&pair, PAIR_STREAM);
    open_stream(&stream, *state, SSE_OUTPUT_CALLBACK, &pair);
    stream.read_when_full = true;
    for (int i = 0; i < 200; i++)
        assert_int_equal(sse_emitter_send(stream.emitter, &event), 0);
    /* Nobody calls flush. */
    for (int i = 0; i < 1000; i++)
        loop_stage_dispatch(*state);
    assert_int_equal(queued(&stream), 0);
    assert_true(stream.blocked > 1);
    close_stream(&stream);
    pair_close(&pair);
}

/* Nothing is written yet. */
static void room_for_the_beginning_of_a_stream_is_used(void **state)
{
    static const char bytes[4096];
    struct descriptor_pair pair;
    struct stream stream;

    pair_open(&pair, PAIR_STREAM);
    for (size_t size = sizeof(bytes); size > 0; size /= 2)
        while (send(pair.server, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
            ;
    assert_int_equal(try_open(&stream, *state, SSE_OUTPUT_CALLBACK, &pair), 0);
    stream.read_when_full = true;
    for (int i = 0; i < 10; i++)
        loop_stage_dispatch(*state);
    assert_int_equal(stream.writes, 2);
    assert_int_equal(queued(&stream), 0);
    pair_expect(&pair, ":\n");
    close_stream(&stream);
    pair_close(&pair);
}

/* The second time, the loop has told both streams of the room. */
static void room_that_another_stream_has_taken_is_waited_for_again(void **state)
{
    struct descriptor_pair pair;
    struct stream stream;

    pair_open(&pair, PAIR_TCP);
    open_stream(&stream, *state, SSE_OUTPUT_CALLBACK, &pair);
    stream.rooms_taken = 2;
    assert_int_equal(sse_emitter_send(stream.emitter, &(struct sse_event){.data = sse_str("x")}), 0);
    for (int i = 0; i < 10; i++)
        loop_stage_dispatch(*state);
    pair_expect(&pair, "data: x\n\n");
    close_stream(&stream);
    pair_close(&pair);
}

/* The loop has never seen the socket full. */
static void a_write_callback_that_stops_is_called_twice_more(void **state)
{
    struct descriptor_pair pair;
    struct stream stream;

    pair_open(&pair, PAIR_TCP);
    assert_int_equal(try_open(&stream, *state, SSE_OUTPUT_CALLBACK, &pair), 0);
    stream.stops = true;
    for (int i = 0; i < 10; i++)
        loop_stage_dispatch(*state);
    assert_int_equal(stream.writes, 4);
    stream.stops = false;
    assert_int_equal(sse_emitter_flush(stream.emitter), 1);
    loop_stage_dispatch(*state);
    pair_expect(&pair, ":\n");
    close_stream(&stream);
    pair_close(&pair);
}

/* The program has reported that the other reason is over. Now the socket is full, and no longer when the loop looks. */
static void room_is_used_after_another_reason(void **state)
{
    static const char bytes[4096];
    struct descriptor_pair pair;
    struct stream stream;

    pair_open(&pair, PAIR_STREAM);
    open_busy_stream(&stream, *state, &pair);
    /* Another stream of the connection fills the socket. */
    for (size_t size = sizeof(bytes); size > 0; size /= 2)
        while (send(pair.server, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
            ;
    stream.busy_elsewhere = false;
    stream.read_when_full = true;
    assert_int_equal(sse_emitter_flush(stream.emitter), 1);
    for (int i = 0; i < 100; i++)
        loop_stage_dispatch(*state);
    assert_int_equal(queued(&stream), 0);
    close_stream(&stream);
    pair_close(&pair);
}

/* Streams of one HTTP/2 connection whose windows are closed. The window of the first opens for one byte. */
static void a_stream_that_writes_does_not_call_the_others(void **state)
{
    struct descriptor_pair pair;
    struct stream streams[STREAMS];
    unsigned writes;

    pair_open(&pair, PAIR_TCP);
    for (size_t i = 0; i < STREAMS; i++) {
        open_stream(&streams[i], *state, SSE_OUTPUT_CALLBACK, &pair);
        streams[i].busy_elsewhere = true;
        assert_int_equal(sse_emitter_send(streams[i].emitter, &(struct sse_event){.data = sse_str("x")}), 0);
    }
    for (int i = 0; i < 10; i++)
        loop_stage_dispatch(*state);
    writes = streams[1].writes;
    streams[0].busy_elsewhere = false;
    streams[0].stops = true;
    streams[0].writes = 0;
    assert_int_equal(sse_emitter_flush(streams[0].emitter), 1);
    for (int i = 0; i < 10; i++)
        loop_stage_dispatch(*state);
    assert_int_equal(streams[0].writes, 4);
    assert_int_equal(streams[1].writes, writes);
    for (size_t i = 0; i < STREAMS; i++)
        close_stream(&streams[i]);
    pair_close(&pair);
}

/* If a write callback is full for another reason than its socket, the server itself reports room, and nothing spins
 * until then. The callback is called twice more, because the room may have come after it was called. */
static void a_write_callback_is_full_and_its_socket_is_not(void **state)
{
    struct descriptor_pair pair;
    struct stream stream;
    unsigned writes;

    pair_open(&pair, PAIR_TCP);
    open_busy_stream(&stream, *state, &pair);
    assert_int_equal(stream.blocked, 3);
    writes = stream.writes;
    for (int i = 0; i < 10; i++)
        loop_stage_dispatch(*state);
    assert_int_equal(stream.writes, writes);
    assert_int_equal(sse_emitter_flush(stream.emitter), 1);
    for (int i = 0; i < 10; i++)
        loop_stage_dispatch(*state);
    assert_int_equal(stream.writes, writes + 3);
    stream.busy_elsewhere = false;
    assert_int_equal(sse_emitter_flush(stream.emitter), 1);
    loop_stage_dispatch(*state);
    pair_expect(&pair, "data: x\n\n");
    close_stream(&stream);
    pair_close(&pair);
}

/* The socket becomes full, and then empty, after the write callback has been full for another reason. */
static void a_write_callback_that_gave_up_room_gives_it_up_again(void **state)
{
    static const char bytes[4096];
    struct descriptor_pair pair;
    struct stream stream;
    unsigned writes;

    pair_open(&pair, PAIR_STREAM);
    open_busy_stream(&stream, *state, &pair);
    while (send(pair.server, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
        ;
    assert_int_equal(sse_emitter_flush(stream.emitter), 1);
    loop_stage_dispatch(*state);
    writes = stream.writes;
    (void)pair_discard(&pair);
    for (int i = 0; i < 10; i++)
        loop_stage_dispatch(*state);
    assert_int_equal(stream.writes, writes + 2);
    close_stream(&stream);
    pair_close(&pair);
}

/* As over HTTP/2. */
static void many_streams_on_one_socket(void **state)
{
    for (int way = 0; way < 3; way++) {
        struct stream streams[STREAMS];
        struct descriptor_pair pair;

        pair_open(&pair, PAIR_TCP);
        for (int i = 0; i < STREAMS; i++)
            open_stream(&streams[i], *state, i % 2 ? SSE_OUTPUT_PULL : SSE_OUTPUT_CALLBACK, &pair);
        if (way == 0) {
            /* One stream ends, and the others continue. */
            close_stream(&streams[1]);
            loop_stage_dispatch(*state);
            assert_int_equal(streams[0].completions + streams[2].completions, 0);
        } else if (way == 1) {
            assert_int_equal(shutdown(pair.client, SHUT_WR), 0);
            for (int i = 0; i < STREAMS; i++) {
                while (pair_is_quiet(&pair))
                    assert_int_equal(sse_loop_dispatch(streams[0].stage->loop, -1), 0);
                pair_expect(&pair, ":\n");
            }
        }
        pair_reset(&pair);
        for (int i = 0; i < STREAMS; i++)
            if (streams[i].emitter)
                is_noticed(&streams[i]);
        for (int i = 0; i < STREAMS; i++)
            if (streams[i].emitter)
                close_stream(&streams[i]);
        pair_close(&pair);
    }
}

/* Numbers that are closed and used again */

static void a_number_may_be_used_again_after_close(void **state)
{
    for (int i = 0; i < 3 * 2; i++) {
        const bool left = i % 2; /* the old client has disconnected, and nobody has noticed */
        struct descriptor_pair pair, next;
        struct loop_client client;
        struct stream stream, second;
        int number;

        pair_open(&pair, PAIR_STREAM);
        open_stream(&stream, *state, i % 2 ? SSE_OUTPUT_PULL : SSE_OUTPUT_CALLBACK, &pair);
        if (left)
            pair_leave(&pair);
        sse_emitter_close(stream.emitter);
        stream.emitter = NULL;
        number = pair.server;
        pair_open(&next, PAIR_STREAM);
        assert_int_equal(dup2(next.server, number), number);
        close(next.server);
        next.server = number;
        if (i / 2 == 0) {
            open_stream(&second, *state, SSE_OUTPUT_CALLBACK, &next);
        } else if (i / 2 == 1) {
            memset(&client, 0, sizeof(client));
            client.stage = *state;
            client.fd = next.client;
            client.server_fd = number;
            loop_client_make_emitter(&client, NULL);
        }
        for (int k = 0; k < 3; k++)
            loop_stage_dispatch(*state);
        assert_int_equal(atomic_load(&stream.releases), 1);
        assert_true(descriptor_is_open(number));
        if (i / 2 == 0) {
            assert_int_equal(second.completions, 0);
            pair_leave(&next);
            is_noticed(&second);
            close_stream(&second);
        } else if (i / 2 == 1) {
            loop_client_depart(&client);
            next.client = -1;
        }
        pair_leave(&pair);
        pair_close(&next);
    }
}

/* A violation of the rules: the number was closed before the emitter, and another process has a copy, which epoll
 * still reports. The next emitter with this number must not end when the old client disconnects. */
static void a_copy_of_a_closed_descriptor_ends_nobody(void **state)
{
    struct descriptor_pair old, next;
    struct stream stream, second;
    int copy;

    pair_open(&old, PAIR_STREAM);
    open_stream(&stream, *state, SSE_OUTPUT_PULL, &old);
    copy = dup(old.server);
    pair_open(&next, PAIR_STREAM);
    assert_int_equal(dup2(next.server, old.server), old.server);
    close(next.server);
    next.server = old.server;
    close_stream(&stream);
    open_stream(&second, *state, SSE_OUTPUT_PULL, &next);
    pair_leave(&old);
    for (int i = 0; i < 3; i++)
        loop_stage_dispatch(*state);
    assert_int_equal(second.completions, 0);
    assert_true(pair_is_quiet(&next));
    pair_leave(&next);
    is_noticed(&second);
    close_stream(&second);
    close(copy);
    pair_close(&next);
}

static void one_descriptor_is_written_to_or_watched(void **state)
{
    struct loop_client writer, twin;
    struct descriptor_pair pair;
    struct stream stream;

    pair_open(&pair, PAIR_STREAM);
    open_stream(&stream, *state, SSE_OUTPUT_PULL, &pair);
    twin = (struct loop_client){.stage = *state, .fd = -1, .server_fd = pair.server};
    assert_int_equal(loop_client_try_open(&twin, NULL), -EEXIST);
    close_stream(&stream);
    loop_client_connect(&writer, *state, LOOP_CLIENT_UNIX);
    loop_client_make_emitter(&writer, NULL);
    pair_leave(&pair);
    close(pair.server);
    pair = (struct descriptor_pair){.server = writer.server_fd, .client = -1};
    assert_int_equal(try_open(&stream, *state, SSE_OUTPUT_PULL, &pair), -EEXIST);
    loop_client_depart(&writer);
    assert_int_equal(try_open(&stream, *state, SSE_OUTPUT_PULL, &pair), -EBADF);
}

/* The loop runs in another thread, and may be about to look at the socket. */
static void closed_while_the_loop_runs(void **state)
{
    struct loop_runner runner;

    loop_runner_start(&runner, *state);
    for (int i = 0; i < 200; i++) {
        struct descriptor_pair pair;
        struct stream stream;

        pair_open(&pair, PAIR_TCP);
        assert_int_equal(try_open(&stream, *state, i % 2 ? SSE_OUTPUT_PULL : SSE_OUTPUT_CALLBACK, &pair), 0);
        if (i % 3)
            pair_leave(&pair);
        if (i % 5 == 0)
            sched_yield();
        sse_emitter_close(stream.emitter);
        close(pair.server);
        pair.server = -1;
        while (!atomic_load(&stream.releases))
            sched_yield();
        assert_int_equal(stream.completions, 1);
        pair_close(&pair);
    }
    loop_runner_stop(&runner);
}

#define TEST(function, poller)                                                                               \
    cmocka_unit_test_prestate_setup_teardown(function, loop_stage_set_up, loop_stage_tear_down,              \
                                             (void *)(uintptr_t)(poller))
#define TEST_REAL_TIME(function, poller)                                                                     \
    cmocka_unit_test_prestate_setup_teardown(function, loop_stage_set_up_real_time, loop_stage_tear_down,    \
                                             (void *)(uintptr_t)(poller))

static int run(const enum sse_poller *poller, const char *name)
{
    const struct CMUnitTest tests[] = {
        TEST_REAL_TIME(the_socket_is_never_read, poller),
        TEST(a_full_socket_is_written_to_again, poller),
        TEST(room_that_comes_before_the_loop_looks_is_used, poller),
        TEST(room_for_the_beginning_of_a_stream_is_used, poller),
        TEST(a_write_callback_that_stops_is_called_twice_more, poller),
        TEST(room_that_another_stream_has_taken_is_waited_for_again, poller),
        TEST(room_is_used_after_another_reason, poller),
        TEST(a_stream_that_writes_does_not_call_the_others, poller),
        TEST(a_write_callback_is_full_and_its_socket_is_not, poller),
        TEST(a_write_callback_that_gave_up_room_gives_it_up_again, poller),
        TEST(a_number_may_be_used_again_after_close, poller),
        TEST(a_copy_of_a_closed_descriptor_ends_nobody, poller),
        TEST(one_descriptor_is_written_to_or_watched, poller),
        TEST(closed_while_the_loop_runs, poller),
    };
    const struct CMUnitTest tests_of_hangups[] = {
        TEST(departures_are_noticed, poller),
        TEST(a_client_that_left_before_is_noticed, poller),
        TEST(nothing_is_written_to_a_client_that_has_left, poller),
        TEST(a_half_closed_client_stays, poller),
        TEST(many_streams_on_one_socket, poller),
    };
    int failed = cmocka_run_group_tests_name(name, tests, NULL, NULL);

    if (loop_stage_hears_hangups(*poller))
        failed += cmocka_run_group_tests_name(name, tests_of_hangups, NULL, NULL);
    return failed;
}

int main(void)
{
    int failed = run(&pollers[0], "poll");

    if (loop_stage_has(SSE_POLLER_EPOLL))
        failed += run(&pollers[1], "epoll");
    return failed;
}
