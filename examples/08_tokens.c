/* SPDX-License-Identifier: MIT */
/*
 * The tokens of a language model, as the answer to one request. The thread of the request runs the model and
 * owns the emitter: there is no loop and no registry.
 *
 *     08_tokens 8080
 *     curl -N -d 'roses are red, violets are blue' http://127.0.0.1:8080/answer
 *     curl http://127.0.0.1:8080/status
 *
 * A model delivers several tokens at once when the machine is busy. Each burst is one message, so it takes one
 * chunk and one write. When the client disconnects, the model stops.
 */
#include "toy_http.h"
#include <stdatomic.h>

#define PROGRAM "08_tokens"
#define BURST_MAX 8
#define BURST_MS 30

static atomic_uint at_work, generated;

/* ---- A simulated model. It repeats the prompt, a word with the space before it at a time. ---- */

struct model {
    struct sse_text rest;
    size_t bursts;
};

/* Waits for the next burst of 1 to BURST_MAX tokens. Returns their number, or 0 when the model has stopped. */
static size_t generate(struct model *model, struct sse_text *tokens)
{
    size_t wanted = model->bursts++ % BURST_MAX + 1;
    size_t count = 0;

    if (toy_stopped(BURST_MS))
        return 0;
    for (; count < wanted && model->rest.len > 0; ++count) {
        const char *space = memchr(model->rest.ptr + 1, ' ', model->rest.len - 1);
        size_t size = space ? (size_t)(space - model->rest.ptr) : model->rest.len;

        tokens[count] = (struct sse_text){model->rest.ptr, size};
        model->rest.ptr += size;
        model->rest.len -= size;
    }
    atomic_fetch_add(&generated, (unsigned)count);
    return count;
}

/* ---- The stream. ---- */

/* An event must be UTF-8. If your model's token ends within a character, keep the rest for the next burst. */
static int send_burst(struct sse_emitter *emitter, const struct sse_text *tokens, size_t count)
{
    struct sse_event events[BURST_MAX];
    struct sse_message *message;
    int error;

    for (size_t i = 0; i < count; ++i)
        events[i] = (struct sse_event){.type = sse_str("token"), .data = tokens[i]};
    error = sse_message_new(&message, events, count, NULL);
    if (error)
        return error;
    error = sse_emitter_send_message(emitter, message);
    sse_message_unref(message);
    return error;
}

/* The final event tells the client that the answer is complete. Without it, the connection may have broken. */
static int send_done(struct sse_emitter *emitter, size_t tokens, bool complete)
{
    char text[64];
    struct sse_event event = {.type = sse_str("done")};

    snprintf(text, sizeof(text), "{\"tokens\":%zu,\"complete\":%s}", tokens, complete ? "true" : "false");
    event.data = sse_str(text);
    return sse_emitter_send(emitter, &event);
}

static void answer(struct sse_emitter *emitter, struct sse_text prompt)
{
    struct model model = {.rest = prompt};
    struct sse_text tokens[BURST_MAX];
    size_t count = 0, sum = 0;
    int error = 0;

    /* A write fails soon after the client has disconnected. If your model may be silent for long, call
     * sse_emitter_ping about once a second: it notices the disconnect and keeps the connection alive. */
    while (error == 0 && (count = generate(&model, tokens)) > 0) {
        error = send_burst(emitter, tokens, count);
        sum += count;
    }
    if (error == 0)
        error = send_done(emitter, sum, model.rest.len == 0);
    if (error == 0)
        error = sse_emitter_complete(emitter);
    if (error)
        sse_emitter_abort(emitter, error);
    /* Writes the events that a slow client has not accepted yet. */
    sse_emitter_wait(emitter, -1);
    sse_emitter_close(emitter);
}

static bool stream(int fd, const struct toy_request *request)
{
    const struct sse_event prompt = {.data = request->body};
    const struct sse_http_options http = toy_stream_head(request);
    const struct sse_emitter_options options = {
        .size = sizeof(options), .output = SSE_OUTPUT_FD, .fd = fd, .http = &http};
    struct sse_emitter *emitter;
    int error;

    if (request->body.len == 0 || sse_event_encode(&prompt, NULL, 0) < 0) {
        toy_respond(fd, "400 Bad Request", "the prompt must be UTF-8\n");
        return false;
    }
    error = sse_emitter_new(&emitter, &options, NULL);
    if (error) {
        toy_refuse(fd, error, &http);
        return false;
    }
    atomic_fetch_add(&at_work, 1);
    answer(emitter, request->body);
    atomic_fetch_sub(&at_work, 1);
    return true;
}

/* Runs in the thread of the request. */
static bool handle(int fd, const struct toy_request *request)
{
    char status[64];

    if (toy_is(request, "POST /answer"))
        return stream(fd, request);
    snprintf(status, sizeof(status), "%u at work, %u tokens\n", at_work, generated);
    if (toy_is(request, "GET /status"))
        toy_respond(fd, "200 OK", status);
    else
        toy_respond(fd, "404 Not Found", "POST /answer or GET /status\n");
    return false;
}

int main(int argument_count, char **arguments)
{
    int port = toy_port(PROGRAM, argument_count, arguments);

    toy_serve(toy_listen(PROGRAM, port), handle);
    toy_join();
    return 0;
}
