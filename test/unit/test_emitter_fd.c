/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/emitter.h>

#include "fake_host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum kind { STREAM_SOCKET, PACKET_SOCKET, PIPE, KIND_COUNT };

/* An emitter on one end of a channel, what was accepted for it, and what its hooks told. */
struct client {
    struct fake_host fake;
    struct sse_emitter *emitter;
    int fd;
    int peer;
    char *expected;
    size_t expected_size;
    size_t received;
    bool detaches_when_blocked;
    int blocked;
    int errors;
    int completions;
    int error;
    struct sse_completion completion;
};

static void on_blocked(struct sse_emitter *emitter, void *user)
{
    struct client *client = user;

    client->blocked++;
    if (client->detaches_when_blocked)
        assert_int_equal(sse_emitter_detach(emitter), 0);
}

static void on_error(struct sse_emitter *emitter, int error, void *user)
{
    struct client *client = user;

    (void)emitter;
    client->errors++;
    client->error = error;
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct client *client = user;

    (void)emitter;
    client->completions++;
    client->completion = *completion;
}

static void set_nonblocking(int fd)
{
    assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
}

static struct client open_channel(enum kind kind, bool nonblocking)
{
    struct client client = {.fd = -1};
    int ends[2] = {-1, -1};

    if (kind == PIPE)
        assert_int_equal(pipe(ends), 0);
    else
        assert_int_equal(socketpair(AF_UNIX, kind == STREAM_SOCKET ? SOCK_STREAM : SOCK_SEQPACKET, 0, ends),
                         0);
    client.fd = ends[1];
    client.peer = ends[0];
    if (nonblocking)
        set_nonblocking(client.fd);
    set_nonblocking(client.peer);
    return client;
}

static struct sse_emitter_options options_for(struct client *client)
{
    if (!client->fake.host.size)
        fake_host_init(&client->fake);
    return (struct sse_emitter_options){
        .size = sizeof(struct sse_emitter_options),
        .host = &client->fake.host,
        .drain = SSE_DRAIN_FD,
        .fd = client->fd,
        .queue_bytes = (size_t)32 << 20,
        .on_blocked = on_blocked,
        .on_error = on_error,
        .on_completion = on_completion,
        .user = client,
    };
}

static void start(struct client *client)
{
    struct sse_emitter_options options = options_for(client);

    assert_int_equal(sse_emitter_new(&client->emitter, &options), 0);
}

static void finish(struct client *client)
{
    sse_emitter_unref(client->emitter);
    assert_int_equal(client->completions, 1);
    fake_host_check_no_leak(&client->fake);
    free(client->expected);
    close(client->fd);
    close(client->peer);
}

/* The data is written where the expected stream has room for it. */
static int send_data(struct client *client, size_t size)
{
    static unsigned number;
    struct sse_str data = {.len = size};
    char *at;
    int error;

    client->expected = realloc(client->expected, client->expected_size + size + 8);
    assert_non_null(client->expected);
    at = client->expected + client->expected_size;
    memcpy(at, "data: ", 6);
    for (size_t i = 0; i < size; i++)
        at[6 + i] = (char)('a' + (number + i * 7 + i / 300) % 26);
    memcpy(at + 6 + size, "\n\n", 2);
    number++;
    data.ptr = at + 6;
    error = sse_emitter_send(client->emitter, &(struct sse_event){.data = data});
    if (!error)
        client->expected_size += size + 8;
    return error;
}

static struct sse_emitter_info info_of(struct client *client)
{
    struct sse_emitter_info info = {.size = sizeof(info)};

    assert_int_equal(sse_emitter_info(client->emitter, &info), 0);
    return info;
}

/* One read; 0 if there is nothing at this moment. */
static size_t receive_some(struct client *client)
{
    static char buffer[1 << 18];
    ssize_t size;

    do
        size = read(client->peer, buffer, sizeof(buffer));
    while (size < 0 && errno == EINTR);
    if (size <= 0)
        return 0;
    assert_true(client->received + (size_t)size <= client->expected_size);
    assert_memory_equal(buffer, client->expected + client->received, (size_t)size);
    client->received += (size_t)size;
    return (size_t)size;
}

static void receive_now(struct client *client)
{
    while (receive_some(client))
        ;
}

/* As a host would: reads what has come, and flushes, until everything has arrived. */
static void receive_all(struct client *client)
{
    while (client->received < client->expected_size) {
        struct pollfd readable = {.fd = client->peer, .events = POLLIN};

        (void)poll(&readable, 1, -1);
        receive_now(client);
        (void)sse_emitter_flush(client->emitter);
    }
}

static void fill(struct client *client)
{
    while (!info_of(client).queued_bytes)
        assert_int_equal(send_data(client, 700), 0);
}

static bool nothing_arrived(int fd)
{
    struct pollfd readable = {.fd = fd, .events = POLLIN};

    return poll(&readable, 1, 0) == 0;
}

/* The body runs in a process of its own: what it does to signals and limits ends with it. A failed
 * assertion there is a failed group of tests, which the exit status tells. */
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

static void stream_over(enum kind kind, bool nonblocking)
{
    static const size_t sizes[] = {0, 1, 20, 300, 500, 501, 502, 2000, 4096, 9000};
    struct client client = open_channel(kind, nonblocking);
    int flags = fcntl(client.fd, F_GETFL);

    start(&client);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(send_data(&client, sizes[i % (sizeof(sizes) / sizeof(sizes[0]))]), 0);
        if (i % 10 == 9)
            receive_all(&client);
    }
    assert_int_equal(sse_emitter_complete(client.emitter), 0);
    receive_all(&client);
    assert_int_equal(client.completions, 1);
    assert_int_equal(client.completion.reason, SSE_REASON_COMPLETED);
    assert_int_equal(client.completion.events, 100);
    assert_int_equal(client.completion.bytes, client.expected_size);
    assert_int_equal(client.errors, 0);
    assert_true(nothing_arrived(client.peer));
    assert_int_equal(fcntl(client.fd, F_GETFL), flags);
    finish(&client);
}

static void test_streams_over_every_descriptor(void **state)
{
    (void)state;
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        stream_over((enum kind)kind, false);
        stream_over((enum kind)kind, true);
    }
}

static void meet_stuck_peer(enum kind kind, bool nonblocking)
{
    struct client client = open_channel(kind, nonblocking);
    size_t large = kind == PACKET_SOCKET ? 100000 : 3000000;

    start(&client);
    for (int round = 1; round <= 2; round++) {
        assert_int_equal(send_data(&client, large), 0);
        fill(&client);
        assert_int_equal(send_data(&client, 5000), 0);
        assert_int_equal(sse_emitter_flush(client.emitter), 1);
        assert_int_equal(client.blocked, round);
        receive_all(&client);
        assert_int_equal(sse_emitter_flush(client.emitter), 0);
        assert_int_equal(client.blocked, round);
    }
    assert_int_equal(info_of(&client).bytes, client.expected_size);
    finish(&client);
}

static void test_a_peer_that_does_not_read_blocks_nobody(void **state)
{
    (void)state;
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        meet_stuck_peer((enum kind)kind, false);
        meet_stuck_peer((enum kind)kind, true);
    }
}

/* Packets keep the boundaries of the system calls that sent them. */
static void test_queued_messages_leave_in_one_call(void **state)
{
    struct client client = open_channel(PACKET_SOCKET, false);
    size_t waiting;

    (void)state;
    start(&client);
    fill(&client);
    while (info_of(&client).queued_messages < 10)
        assert_int_equal(send_data(&client, 700), 0);
    receive_now(&client);
    waiting = info_of(&client).queued_bytes;
    assert_int_equal(client.expected_size - client.received, waiting);
    assert_int_equal(sse_emitter_flush(client.emitter), 0);
    assert_int_equal(receive_some(&client), waiting);
    finish(&client);
}

static void expect_end(struct client *client, enum sse_reason reason, int error)
{
    assert_int_equal(client->errors, 1);
    assert_int_equal(client->error, error);
    assert_int_equal(client->completions, 1);
    assert_int_equal(client->completion.reason, reason);
    assert_int_equal(client->completion.error, error);
    assert_int_equal(send_data(client, 1), error);
    assert_int_equal(sse_emitter_flush(client->emitter), error);
    assert_int_equal(sse_emitter_complete(client->emitter), -EALREADY);
    assert_int_equal(sse_emitter_tick(client->emitter), 0);
    assert_int_equal(client->errors, 1);
    assert_int_equal(client->completions, 1);
}

static void lose_peer(enum kind kind, bool nonblocking)
{
    struct client client = open_channel(kind, nonblocking);
    struct sse_emitter_options options = options_for(&client);
    struct sse_emitter *untouched = NULL;

    start(&client);
    close(client.peer);
    assert_int_equal(send_data(&client, 10), -EPIPE);
    expect_end(&client, SSE_REASON_PEER_GONE, -EPIPE);
    options.head = sse_str("head");
    assert_int_equal(sse_emitter_new(&untouched, &options), -EPIPE);
    assert_null(untouched);
    assert_int_equal(client.completions, 1);
    finish(&client);
}

static void lose_peers(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_DFL);
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        lose_peer((enum kind)kind, false);
        lose_peer((enum kind)kind, true);
    }
}

static struct client connect_loopback(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct client client = {.peer = socket(AF_INET, SOCK_STREAM, 0)};

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(connect(client.peer, (struct sockaddr *)&address, size), 0);
    client.fd = accept(listener, NULL, NULL);
    assert_true(client.fd >= 0);
    close(listener);
    return client;
}

/* The connection breaks while an event has left in part. */
static void test_reset_in_the_middle_of_an_event(void **state)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    struct client client = connect_loopback();
    struct client stranger = open_channel(PIPE, false);
    struct pollfd broken = {.fd = client.fd, .events = POLLIN};

    (void)state;
    start(&client);
    assert_int_equal(send_data(&client, 15000000), 0);
    assert_int_equal(sse_emitter_flush(client.emitter), 1);
    assert_int_equal(setsockopt(client.peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    close(client.peer);
    assert_int_equal(poll(&broken, 1, -1), 1);
    assert_int_equal(sse_emitter_flush(client.emitter), -ECONNRESET);
    assert_int_equal(client.completion.dropped, 1);
    assert_int_equal(dup2(stranger.fd, client.fd), client.fd);
    expect_end(&client, SSE_REASON_PEER_GONE, -ECONNRESET);
    assert_true(nothing_arrived(stranger.peer));
    client.peer = stranger.peer;
    close(stranger.fd);
    finish(&client);
}

static void test_half_closed_peer_still_receives(void **state)
{
    struct client client = connect_loopback();

    (void)state;
    start(&client);
    assert_int_equal(send_data(&client, 10), 0);
    assert_int_equal(shutdown(client.peer, SHUT_WR), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(send_data(&client, 1000), 0);
    set_nonblocking(client.peer);
    receive_all(&client);
    finish(&client);
}

static void test_full_device(void **state)
{
    (void)state;
    for (int flags = O_WRONLY; flags <= (O_WRONLY | O_NONBLOCK); flags += O_NONBLOCK) {
        struct client client = {.fd = open("/dev/full", flags), .peer = -1};

        if (client.fd < 0)
            skip();
        start(&client);
        assert_int_equal(send_data(&client, 10), -ENOSPC);
        expect_end(&client, SSE_REASON_IO_ERROR, -ENOSPC);
        finish(&client);
    }
}

/* Without a detach: the descriptor is closed, and its number may be a pipe's by now. */
static void lose_descriptor(enum kind kind, bool reused)
{
    struct client client = open_channel(kind, true);
    struct client stranger = open_channel(PIPE, true);
    int error = reused && kind != PIPE ? -ENOTSOCK : -EBADF;

    start(&client);
    fill(&client);
    close(client.fd);
    if (reused)
        assert_int_equal(dup2(stranger.fd, client.fd), client.fd);
    assert_int_equal(sse_emitter_flush(client.emitter), error);
    expect_end(&client, SSE_REASON_IO_ERROR, error);
    assert_true(nothing_arrived(stranger.peer));
    finish(&client);
    close(stranger.fd);
    close(stranger.peer);
}

static void test_closed_and_reused_descriptors(void **state)
{
    (void)state;
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        lose_descriptor((enum kind)kind, false);
        lose_descriptor((enum kind)kind, true);
    }
}

/* How an emitter stands when its descriptor is taken away. */
enum before { IDLE, QUEUED, DRAINING, COMPLETED, FAILED, PEER_GONE, DETACHED_INSIDE, BEFORE_COUNT };

static void bring_into(struct client *client, enum before before)
{
    client->detaches_when_blocked = before == DETACHED_INSIDE;
    if (before == DETACHED_INSIDE)
        while (send_data(client, 700) != -ECANCELED)
            ;
    if (before == QUEUED || before == DRAINING || before == FAILED)
        fill(client);
    if (before == DRAINING || before == COMPLETED)
        assert_int_equal(sse_emitter_complete(client->emitter), 0);
    receive_now(client);
    if (before == FAILED)
        assert_int_equal(sse_emitter_complete_with_error(client->emitter, -EIO), 0);
    if (before == PEER_GONE) {
        close(client->peer);
        client->peer = -1;
        assert_int_equal(send_data(client, 1), -EPIPE);
    }
}

static void try_everything(struct client *client)
{
    (void)sse_emitter_flush(client->emitter);
    (void)send_data(client, 10);
    (void)send_data(client, 10000);
    fake_host_advance_ms(&client->fake, 20000);
    (void)sse_emitter_tick(client->emitter);
    fake_host_advance_ms(&client->fake, 60000);
    (void)sse_emitter_tick(client->emitter);
    (void)sse_emitter_complete(client->emitter);
    (void)sse_emitter_complete_with_error(client->emitter, -EIO);
    (void)sse_emitter_detach(client->emitter);
    (void)sse_emitter_flush(client->emitter);
}

static void take_descriptor_away(enum kind kind, enum before before)
{
    struct client client = open_channel(kind, true);
    struct client stranger = open_channel(kind, true);

    start(&client);
    bring_into(&client, before);
    if (before == IDLE || before == QUEUED || before == DRAINING)
        assert_int_equal(sse_emitter_detach(client.emitter), 0);
    assert_int_equal(client.completions, 1);
    assert_true(before == PEER_GONE || nothing_arrived(client.peer));
    assert_int_equal(dup2(stranger.fd, client.fd), client.fd);
    try_everything(&client);
    finish(&client);
    assert_true(nothing_arrived(stranger.peer));
    close(stranger.fd);
    close(stranger.peer);
}

static void test_detached_descriptor_is_never_touched(void **state)
{
    (void)state;
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        for (int before = 0; before < BEFORE_COUNT; before++)
            take_descriptor_away((enum kind)kind, (enum before)before);
    }
}

static volatile sig_atomic_t interruptions;

static void count_interruption(int signal_number)
{
    (void)signal_number;
    interruptions++;
}

static void stream_megabytes(enum kind kind)
{
    struct client client = open_channel(kind, false);
    size_t size = 3;

    start(&client);
    while (client.expected_size < 3000000 || interruptions < 100) {
        size = size * 31 % 40009;
        assert_int_equal(send_data(&client, size), 0);
        receive_all(&client);
    }
    assert_int_equal(sse_emitter_complete(client.emitter), 0);
    assert_int_equal(client.completion.bytes, client.expected_size);
    finish(&client);
}

static void stream_under_signals(void **state)
{
    const struct itimerval often = {.it_interval = {.tv_usec = 100}, .it_value = {.tv_usec = 100}};
    struct sigaction action = {.sa_handler = count_interruption};

    (void)state;
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        interruptions = 0;
        assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
        stream_megabytes((enum kind)kind);
    }
}

static void stream_without_spare_descriptors(void **state)
{
    const struct rlimit one = {.rlim_cur = 1, .rlim_max = 1};
    struct client client = open_channel(STREAM_SOCKET, false);

    (void)state;
    start(&client);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &one), 0);
    for (size_t size = 1; size < 500000; size = size * 3)
        assert_int_equal(send_data(&client, size), 0);
    receive_all(&client);
    finish(&client);
}

static void test_in_processes_of_their_own(void **state)
{
    (void)state;
    in_child(lose_peers, "in a child: a peer that has gone raises no signal");
    in_child(stream_under_signals, "in a child: signals lose and repeat nothing");
    in_child(stream_without_spare_descriptors, "in a child: no descriptor is needed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams_over_every_descriptor),
        cmocka_unit_test(test_a_peer_that_does_not_read_blocks_nobody),
        cmocka_unit_test(test_queued_messages_leave_in_one_call),
        cmocka_unit_test(test_reset_in_the_middle_of_an_event),
        cmocka_unit_test(test_half_closed_peer_still_receives),
        cmocka_unit_test(test_full_device),
        cmocka_unit_test(test_closed_and_reused_descriptors),
        cmocka_unit_test(test_detached_descriptor_is_never_touched),
        cmocka_unit_test(test_in_processes_of_their_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
