/* SPDX-License-Identifier: MIT */
/* Writes to descriptors in the thread of an owner without a loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "descriptor_pair.h"
#include "fake_client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* An emitter on one end of a pair, and the bytes that were accepted for it. */
struct stream {
    struct fake_platform fake;
    struct fake_client client;
    struct descriptor_pair pair;
    char *expected;
    size_t expected_size;
    size_t capacity; /* allocated size of `expected` */
    size_t received;
};

/* Doubles the buffer, because AddressSanitizer copies at every growth. */
static void reserve(struct stream *stream, size_t size)
{
    if (size <= stream->capacity)
        return;
    while (stream->capacity < size)
        stream->capacity = stream->capacity ? stream->capacity * 2 : 4096;
    stream->expected = realloc(stream->expected, stream->capacity);
    assert_non_null(stream->expected);
}

static void prepare(struct stream *stream, enum pair_kind kind, bool nonblocking)
{
    memset(stream, 0, sizeof(*stream));
    fake_platform_init(&stream->fake);
    pair_open(&stream->pair, kind);
    if (nonblocking)
        assert_int_equal(fcntl(stream->pair.server, F_SETFL, O_NONBLOCK), 0);
    fake_client_init(&stream->client, &stream->fake, SSE_OUTPUT_FD);
    stream->client.options.fd = stream->pair.server;
    stream->client.options.keep_fd = true;
    stream->client.options.queue_bytes = (size_t)32 << 20;
}

static void start(struct stream *stream)
{
    fake_client_open(&stream->client);
    reserve(stream, 2);
    memcpy(stream->expected, ":\n", 2);
    stream->expected_size = 2;
}

static void finish(struct stream *stream)
{
    fake_client_free(&stream->client);
    assert_int_equal(stream->client.completions, 1);
    fake_platform_check_no_leak(&stream->fake);
    free(stream->expected);
    pair_close(&stream->pair);
}

/* Builds the data inside the expected stream, to avoid a copy. */
static int send_data(struct stream *stream, size_t size)
{
    static unsigned number;
    struct sse_text data = {.len = size};
    char *at;
    int error;

    reserve(stream, stream->expected_size + size + 8);
    at = stream->expected + stream->expected_size;
    memcpy(at, "data: ", 6);
    for (size_t i = 0; i < size; i++)
        at[6 + i] = (char)('a' + (number + i * 7 + i / 300) % 26);
    memcpy(at + 6 + size, "\n\n", 2);
    number++;
    data.ptr = at + 6;
    error = sse_emitter_send(stream->client.emitter, &(struct sse_event){.data = data});
    if (!error)
        stream->expected_size += size + 8;
    return error;
}

/* Reads once. Returns 0 if there is nothing at this moment. */
static size_t receive_some(struct stream *stream)
{
    static char buffer[1 << 18];
    size_t size = pair_receive(&stream->pair, buffer, sizeof(buffer));

    assert_true(stream->received + size <= stream->expected_size);
    if (size)
        assert_memory_equal(buffer, stream->expected + stream->received, size);
    stream->received += size;
    return size;
}

static void receive_now(struct stream *stream)
{
    while (receive_some(stream))
        ;
}

/* Does the work of a server: lets the client read, and flushes, until everything has arrived. */
static void receive_all(struct stream *stream)
{
    while (stream->received < stream->expected_size) {
        struct pollfd readable = {.fd = stream->pair.client, .events = POLLIN};

        (void)poll(&readable, 1, -1);
        receive_now(stream);
        (void)sse_emitter_flush(stream->client.emitter);
    }
}

static void fill(struct stream *stream)
{
    while (!fake_client_info(&stream->client).queued_bytes)
        assert_int_equal(send_data(stream, 700), 0);
}

/* The body runs in a child process, so that its changes of signals and limits end with it. A failed assertion there
 * makes a failed group of tests, and so an exit status. */
static void in_child(void (*body)(void **state), const char *name)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (!child) {
        const struct CMUnitTest tests[] = {{.name = name, .test_func = body}};

        _exit(cmocka_run_group_tests_name(name, tests, NULL, NULL));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status))
        fail_msg("killed by signal %d", WTERMSIG(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void stream_over(enum pair_kind kind, bool nonblocking)
{
    static const size_t sizes[] = {0, 1, 20, 300, 500, 501, 502, 2000, 4096, 9000};
    struct stream stream;
    int flags;

    prepare(&stream, kind, nonblocking);
    flags = fcntl(stream.pair.server, F_GETFL);
    start(&stream);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(send_data(&stream, sizes[i % (sizeof(sizes) / sizeof(sizes[0]))]), 0);
        if (i % 10 == 9)
            receive_all(&stream);
    }
    assert_int_equal(sse_emitter_complete(stream.client.emitter), 0);
    receive_all(&stream);
    assert_int_equal(stream.client.completions, 1);
    assert_int_equal(stream.client.completion.reason, SSE_REASON_COMPLETED);
    assert_int_equal(stream.client.completion.events, 100);
    assert_int_equal(stream.client.completion.bytes, stream.expected_size);
    assert_int_equal(stream.client.errors, 0);
    assert_true(pair_is_quiet(&stream.pair));
    assert_int_equal(fcntl(stream.pair.server, F_GETFL), flags);
    finish(&stream);
}

static void streams_over_every_descriptor(void **state)
{
    (void)state;
    for (int kind = 0; kind < PAIR_KINDS; kind++) {
        stream_over((enum pair_kind)kind, false);
        stream_over((enum pair_kind)kind, true);
    }
}

static void meet_stuck_client(enum pair_kind kind, bool nonblocking)
{
    struct stream stream;
    size_t large = kind == PAIR_PACKETS ? 100000 : 3000000;

    prepare(&stream, kind, nonblocking);
    start(&stream);
    for (int round = 1; round <= 2; round++) {
        assert_int_equal(send_data(&stream, large), 0);
        fill(&stream);
        assert_int_equal(send_data(&stream, 5000), 0);
        assert_int_equal(sse_emitter_flush(stream.client.emitter), 1);
        receive_all(&stream);
        assert_int_equal(sse_emitter_flush(stream.client.emitter), 0);
    }
    assert_int_equal(fake_client_info(&stream.client).bytes, stream.expected_size);
    finish(&stream);
}

/* Fault 11. */
static void a_client_that_does_not_read_blocks_nobody(void **state)
{
    (void)state;
    for (int kind = 0; kind < PAIR_KINDS; kind++) {
        meet_stuck_client((enum pair_kind)kind, false);
        meet_stuck_client((enum pair_kind)kind, true);
    }
}

static void queued_messages_are_written_in_one_call(void **state)
{
    struct stream stream;
    size_t waiting;

    (void)state;
    prepare(&stream, PAIR_PACKETS, false);
    start(&stream);
    fill(&stream);
    while (fake_client_info(&stream.client).queued_messages < 10)
        assert_int_equal(send_data(&stream, 700), 0);
    receive_now(&stream);
    waiting = fake_client_info(&stream.client).queued_bytes;
    assert_int_equal(stream.expected_size - stream.received, waiting);
    assert_int_equal(sse_emitter_flush(stream.client.emitter), 0);
    assert_int_equal(receive_some(&stream), waiting);
    finish(&stream);
}

static void expect_end(struct stream *stream, enum sse_reason reason, int error)
{
    assert_int_equal(stream->client.errors, 1);
    assert_int_equal(stream->client.error, error);
    assert_int_equal(stream->client.completions, 1);
    assert_int_equal(stream->client.completion.reason, reason);
    assert_int_equal(stream->client.completion.error, error);
    assert_int_equal(send_data(stream, 1), error);
    assert_int_equal(sse_emitter_flush(stream->client.emitter), error);
    assert_int_equal(sse_emitter_wait(stream->client.emitter, -1), error);
    assert_int_equal(sse_emitter_complete(stream->client.emitter), -EALREADY);
    assert_int_equal(stream->client.errors, 1);
    assert_int_equal(stream->client.completions, 1);
}

/* The event that meets the disconnect may be accepted or not. The next one is refused. */
static void lose_client(enum pair_kind kind, bool nonblocking)
{
    struct stream stream;

    prepare(&stream, kind, nonblocking);
    start(&stream);
    receive_all(&stream);
    pair_leave(&stream.pair);
    (void)send_data(&stream, 10);
    expect_end(&stream, SSE_REASON_DISCONNECTED, -EPIPE);
    finish(&stream);
}

static void lose_clients(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_DFL);
    for (int kind = 0; kind < PAIR_TCP; kind++) {
        lose_client((enum pair_kind)kind, false);
        lose_client((enum pair_kind)kind, true);
    }
}

/* The connection breaks while an event is written in part. Fault 16. */
static void a_reset_in_the_middle_of_an_event(void **state)
{
    struct stream stream;
    struct pollfd broken;

    (void)state;
    prepare(&stream, PAIR_TCP, false);
    start(&stream);
    broken = (struct pollfd){.fd = stream.pair.server, .events = POLLIN};
    assert_int_equal(send_data(&stream, 15000000), 0);
    assert_int_equal(sse_emitter_flush(stream.client.emitter), 1);
    pair_reset(&stream.pair);
    assert_int_equal(poll(&broken, 1, -1), 1);
    assert_int_equal(sse_emitter_flush(stream.client.emitter), -ECONNRESET);
    assert_int_equal(stream.client.completion.dropped, 1);
    expect_end(&stream, SSE_REASON_DISCONNECTED, -ECONNRESET);
    finish(&stream);
}

/* Fault 17. */
static void a_half_closed_client_still_receives(void **state)
{
    struct stream stream;

    (void)state;
    prepare(&stream, PAIR_TCP, false);
    start(&stream);
    assert_int_equal(send_data(&stream, 10), 0);
    assert_int_equal(shutdown(stream.pair.client, SHUT_WR), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(send_data(&stream, 1000), 0);
    receive_all(&stream);
    assert_int_equal(sse_emitter_wait(stream.client.emitter, 0), 1);
    finish(&stream);
}

/* Fault 27. */
static void a_full_device_is_an_error_of_the_output(void **state)
{
    (void)state;
    for (int flags = O_WRONLY; flags <= (O_WRONLY | O_NONBLOCK); flags += O_NONBLOCK) {
        struct stream stream;

        prepare(&stream, PAIR_PIPE, false);
        pair_close(&stream.pair);
        stream.pair.server = open("/dev/full", flags);
        if (stream.pair.server < 0)
            skip();
        stream.client.options.fd = stream.pair.server;
        start(&stream);
        (void)send_data(&stream, 10);
        expect_end(&stream, SSE_REASON_OUTPUT_ERROR, -ENOSPC);
        finish(&stream);
    }
}

static volatile sig_atomic_t interruptions;

static void count_interruption(int signal_number)
{
    (void)signal_number;
    interruptions++;
}

static void stream_megabytes(enum pair_kind kind)
{
    const struct itimerval often = {.it_interval = {.tv_usec = 100}, .it_value = {.tv_usec = 100}};
    const struct itimerval never = {.it_value = {.tv_usec = 0}};
    struct stream stream;
    size_t size = 3;

    prepare(&stream, kind, false);
    interruptions = 0;
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    start(&stream);
    while (stream.expected_size < 3000000 || interruptions < 100) {
        size = size * 31 % 40009;
        assert_int_equal(send_data(&stream, size), 0);
        receive_all(&stream);
    }
    assert_int_equal(sse_emitter_complete(stream.client.emitter), 0);
    assert_int_equal(stream.client.completion.bytes, stream.expected_size);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    finish(&stream);
}

static void stream_under_signals(void **state)
{
    struct sigaction action = {.sa_handler = count_interruption};

    (void)state;
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    for (int kind = 0; kind < PAIR_KINDS; kind++)
        stream_megabytes((enum pair_kind)kind);
}

static void stream_without_spare_descriptors(void **state)
{
    const struct rlimit one = {.rlim_cur = 1, .rlim_max = 1};
    struct stream stream;

    (void)state;
    prepare(&stream, PAIR_STREAM, false);
    start(&stream);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &one), 0);
    for (size_t size = 1; size < 500000; size = size * 3)
        assert_int_equal(send_data(&stream, size), 0);
    receive_all(&stream);
    finish(&stream);
}

/* Fault 14. */
static void tests_in_child_processes(void **state)
{
    (void)state;
    in_child(lose_clients, "in a child: a client that has gone raises no signal");
    in_child(stream_under_signals, "in a child: signals lose and repeat nothing");
    in_child(stream_without_spare_descriptors, "in a child: no descriptor is needed");
}

/* As inetd starts a server. Afterwards standard input is empty. */
static void a_stream_over_standard_input(void **state)
{
    const int empty = open("/dev/null", O_RDONLY);
    struct stream stream;

    (void)state;
    assert_true(empty >= 0);
    prepare(&stream, PAIR_STREAM, false);
    assert_int_equal(dup2(stream.pair.server, STDIN_FILENO), STDIN_FILENO);
    stream.client.options.fd = STDIN_FILENO;
    start(&stream);
    assert_int_equal(send_data(&stream, 100), 0);
    receive_all(&stream);
    finish(&stream);
    (void)close(STDIN_FILENO);
    if (empty > STDIN_FILENO) {
        assert_int_equal(dup2(empty, STDIN_FILENO), STDIN_FILENO);
        (void)close(empty);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_over_every_descriptor),
        cmocka_unit_test(a_stream_over_standard_input),
        cmocka_unit_test(a_client_that_does_not_read_blocks_nobody),
        cmocka_unit_test(queued_messages_are_written_in_one_call),
        cmocka_unit_test(a_reset_in_the_middle_of_an_event),
        cmocka_unit_test(a_half_closed_client_still_receives),
        cmocka_unit_test(a_full_device_is_an_error_of_the_output),
        cmocka_unit_test(tests_in_child_processes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
