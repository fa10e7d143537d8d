/* SPDX-License-Identifier: MIT */
/* The whole hub except its listener: connections over socket pairs, with bytes in pieces. Each answer must be a
 * complete response or a stream, and nothing may be left. */

#include "connection.h"
#include "input.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4
#define ANSWER_MAX (1 << 17)

struct visitor {
    struct connection *connection;
    int client;
    char *answer;
    size_t size;
};

static void set_options(struct fuzz_input *input, struct options *options)
{
    unsigned flags = fuzz_byte(input);

    *options = (struct options){.queue_bytes = flags & 1 ? 256 : 65536, .retry_ms = flags & 2 ? 100 : 0};
    options->cors_origin = flags & 4 ? sse_str(flags & 8 ? "*" : "https://a.example") : options->cors_origin;
    options->token = flags & 16 ? sse_str("token") : options->token;
    /* The Host of the seeds. */
    options->names[options->name_count++] = sse_str("a");
    options->history_events = flags & 32 ? 8 : 0;
    options->clients_max = flags & 64 ? 1 : 0;
    options->overflow = flags & 128 ? SSE_OVERFLOW_COALESCE : SSE_OVERFLOW_END;
}

static void come(struct hub *hub, struct visitor *visitor, bool shed)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) || fcntl(ends[0], F_SETFL, O_NONBLOCK) ||
        fcntl(ends[1], F_SETFL, O_NONBLOCK))
        abort();
    visitor->client = ends[0];
    visitor->answer = malloc(ANSWER_MAX + 1);
    visitor->connection = connection_new(hub, ends[1], shed);
    if (!visitor->answer || !visitor->connection)
        abort();
}

static void receive(struct visitor *visitor)
{
    ssize_t size;

    while ((size = read(visitor->client, visitor->answer + visitor->size, ANSWER_MAX - visitor->size)) > 0)
        visitor->size += (size_t)size;
}

static void serve(struct hub *hub, struct visitor *visitor, short events)
{
    if (visitor->connection->state != CONNECTION_CLOSED)
        connection_on_events(visitor->connection, (short)(events | connection_events(visitor->connection)));
    (void)sse_loop_dispatch(hub->loop, 0);
    receive(visitor);
}

static void send_pieces(struct hub *hub, struct visitor *visitor, struct sse_text bytes, size_t piece)
{
    while (bytes.len) {
        size_t size = piece < bytes.len ? piece : bytes.len;
        ssize_t sent = send(visitor->client, bytes.ptr, size, MSG_NOSIGNAL);

        serve(hub, visitor, POLLIN);
        if (sent <= 0)
            return;
        bytes.ptr += sent;
        bytes.len -= (size_t)sent;
    }
}

/* The value of a field of the answer, or -1. */
static long field_of(const char *head, const char *end, const char *name)
{
    for (const char *line = head; line && line < end;
         line = strstr(line, "\r\n"), line = line ? line + 2 : NULL)
        if (!strncasecmp(line, name, strlen(name)))
            return strtol(line + strlen(name), NULL, 10);
    return -1;
}

static void check_answer(struct visitor *visitor)
{
    char *end;
    long length;
    size_t head;

    visitor->answer[visitor->size] = '\0';
    if (!visitor->size)
        return;
    if (!strncmp(visitor->answer, "HTTP/1.1 100 Continue\r\n\r\n", 25))
        memmove(visitor->answer, visitor->answer + 25, (visitor->size -= 25) + 1);
    if (!visitor->size)
        return;
    end = strstr(visitor->answer, "\r\n\r\n");
    fuzz_expect(end && !strncmp(visitor->answer, "HTTP/1.", 7), "no response: %s", visitor->answer);
    head = (size_t)(end + 4 - visitor->answer);
    length = field_of(visitor->answer, end, "Content-Length:");
    fuzz_expect(length < 0 || visitor->size == head || visitor->size - head == (size_t)length,
                "a body of %zu bytes, and %ld are told", visitor->size - head, length);
}

static void leave(struct hub *hub, struct visitor *visitor, bool at_once)
{
    if (!at_once) {
        shutdown(visitor->client, SHUT_WR);
        serve(hub, visitor, POLLIN);
        check_answer(visitor);
    }
    close(visitor->client);
    if (visitor->connection->state != CONNECTION_CLOSED)
        connection_on_events(visitor->connection, POLLIN | POLLHUP);
    connection_stop(visitor->connection);
    connection_free(visitor->connection);
    free(visitor->answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {.at = data, .end = data + size};
    struct fuzz_texts texts = {.blocks = NULL};
    struct visitor visitors[CONNECTIONS_MAX] = {{.client = -1}};
    struct options options;
    struct hub hub;
    size_t count;

    set_options(&input, &options);
    if (hub_begin(&hub, &options))
        abort();
    count = 1 + fuzz_below(&input, CONNECTIONS_MAX);
    for (size_t i = 0; i < count; i++) {
        size_t piece = 1 + 4 * (size_t)fuzz_byte(&input);
        bool last = i + 1 == count;

        come(&hub, &visitors[i], fuzz_one_in(&input, 8));
        send_pieces(&hub, &visitors[i], last ? fuzz_rest(&input, &texts) : fuzz_text(&input, &texts), piece);
    }
    for (size_t i = 0; i < count; i++)
        leave(&hub, &visitors[i], size % 2);
    hub_end(&hub);
    fuzz_expect(!hub.memory.blocks && !hub.body_bytes && !hub.statistics.requests,
                "something is left of the hub");
    fuzz_texts_free(&texts);
    return 0;
}
