/* SPDX-License-Identifier: MIT */
/* Aborts: every negative errno may end a stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client_stage.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LOWEST_ERROR (-4095)

static const struct sse_event tick = {.data = {"tick", 4}};

static void open_client(enum sse_output output, bool looped)
{
    fake_client_init(&client, &fake, output);
    client.loop = looped ? &loop : NULL;
    client.options.framing = SSE_FRAMING_CHUNKED;
    fake_client_open(&client);
}

static void let_owner_work(void)
{
    if (client.loop)
        (void)fake_loop_settle(&loop);
    else
        (void)sse_emitter_flush(client.emitter);
}

/* Results of the calls themselves while the emitter has not ended. */
static bool is_answer(int error)
{
    static const int answers[] = {SSE_ENDED, -EINVAL,  -EINTR,     -EAGAIN,  -EALREADY,
                                  -EPERM,    -EDEADLK, -EMSGSIZE,  -ENOBUFS, -ENOMEM,
                                  -EILSEQ,   -ERANGE,  -EOVERFLOW, -ENOENT,  -EBADMSG, -ECONNREFUSED};

    for (size_t i = 0; i < COUNT(answers); i++)
        if (error == answers[i])
            return true;
    return false;
}

static bool client_is_gone(int error)
{
    return error == -EPIPE || error == -ECONNRESET || error == -ECONNREFUSED || error == -ETIMEDOUT ||
           error == -EHOSTUNREACH || error == -ENETUNREACH;
}

/* The record and on_error have the errno unchanged. So has every later call, unless the errno would mean
 * another result. */
static void check_end(int error, bool by_output)
{
    enum sse_reason reason = client_is_gone(error) ? SSE_REASON_DISCONNECTED
                             : by_output           ? SSE_REASON_OUTPUT_ERROR
                                                   : SSE_REASON_ABORTED;
    int answer = is_answer(error) ? -EIO : error;
    struct sse_emitter_info info;
    struct iovec iov;
    char byte;

    let_owner_work();
    info = fake_client_info(&client);
    assert_int_equal(info.state, SSE_STATE_CLOSED);
    assert_int_equal(info.reason, reason);
    assert_int_equal(info.error, error);
    assert_int_equal(client.completion.reason, reason);
    assert_int_equal(client.completion.error, error);
    assert_int_equal(client.errors, 1);
    assert_int_equal(client.error, error);
    assert_int_equal(client.completions, 1);
    assert_int_equal(sse_emitter_send(client.emitter, &tick), answer);
    assert_int_equal(sse_emitter_ping(client.emitter), answer);
    assert_int_equal(sse_emitter_flush(client.emitter), answer);
    assert_int_equal(sse_emitter_complete(client.emitter), -EALREADY);
    assert_int_equal(sse_emitter_abort(client.emitter, -EIO), -EALREADY);
    if (client.options.output != SSE_OUTPUT_PULL)
        return;
    assert_int_equal(sse_emitter_peek(client.emitter, &iov, 1), answer);
    assert_int_equal(sse_emitter_read(client.emitter, &byte, 1), answer);
    assert_int_equal(sse_emitter_wait(client.emitter, -1), answer);
}

static void every_negative_errno_is_accepted(void **state)
{
    (void)state;
    for (int error = -1; error >= LOWEST_ERROR; error--) {
        open_client(error % 2 ? SSE_OUTPUT_PULL : SSE_OUTPUT_CALLBACK, error / 2 % 2);
        assert_int_equal(sse_emitter_send(client.emitter, &tick), 0);
        assert_int_equal(sse_emitter_abort(client.emitter, error), 0);
        check_end(error, false);
        assert_int_equal(client.completion.dropped + client.completion.events, 1);
        fake_client_free(&client);
    }
}

/* A write callback ends the stream. An error that looks like a graceful end still counts as an error. Row L5.
 */
static void every_error_of_a_write_callback_is_reported(void **state)
{
    (void)state;
    for (int error = -1; error >= LOWEST_ERROR; error--) {
        if (error == -EAGAIN || error == -EWOULDBLOCK || error == -EINTR)
            continue;
        open_client(SSE_OUTPUT_CALLBACK, error % 2);
        client.output.error_at = 0;
        client.output.error = error;
        (void)sse_emitter_send(client.emitter, &tick);
        check_end(error, true);
        assert_int_equal(client.output.calls, 1);
        fake_client_free(&client);
    }
}

static void nothing_is_written_afterwards(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        const bool draining = i % 2;

        open_client(SSE_OUTPUT_CALLBACK, i / 2);
        let_owner_work();
        fake_client_forget(&client);
        client.output.room = 5;
        assert_int_equal(sse_emitter_send(client.emitter, &tick), 0);
        let_owner_work();
        if (draining)
            assert_int_equal(sse_emitter_complete(client.emitter), 0);
        assert_int_equal(sse_emitter_abort(client.emitter, -EPROTO), 0);
        client.output.room = SIZE_MAX;
        (void)sse_emitter_flush(client.emitter);
        let_owner_work();
        assert_string_equal(fake_client_text(&client), "c\r\nda");
        assert_int_equal(client.completion.reason, SSE_REASON_ABORTED);
        assert_int_equal(client.completion.dropped, 1);
        assert_int_equal(client.completion.bytes, strlen("2\r\n:\n\r\n") + 5);
        fake_client_free(&client);
    }
}

/* After a graceful end a reader may consume the rest. After an abort it receives no more bytes. */
static void after_an_abort_a_reader_gets_no_more_bytes(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        const bool graceful = i % 2;
        char buffer[100];

        open_client(SSE_OUTPUT_PULL, i / 2);
        assert_int_equal(fake_client_pull(&client), 0);
        assert_int_equal(sse_emitter_send(client.emitter, &tick), 0);
        if (graceful)
            assert_int_equal(sse_emitter_complete(client.emitter), 0);
        else
            assert_int_equal(sse_emitter_abort(client.emitter, SSE_ENDED), 0);
        let_owner_work();
        if (graceful) {
            assert_int_equal(sse_emitter_read(client.emitter, buffer, sizeof(buffer)),
                             strlen("c\r\ndata: tick\n\n\r\n"));
            assert_int_equal(sse_emitter_read(client.emitter, buffer, sizeof(buffer)), strlen("0\r\n\r\n"));
            assert_int_equal(sse_emitter_read(client.emitter, buffer, sizeof(buffer)), SSE_ENDED);
        } else {
            assert_int_equal(sse_emitter_read(client.emitter, buffer, sizeof(buffer)), -EIO);
        }
        let_owner_work();
        assert_int_equal(client.completion.error, graceful ? 0 : SSE_ENDED);
        fake_client_free(&client);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_negative_errno_is_accepted),
        TEST(every_error_of_a_write_callback_is_reported),
        TEST(nothing_is_written_afterwards),
        TEST(after_an_abort_a_reader_gets_no_more_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
