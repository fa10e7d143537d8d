/* SPDX-License-Identifier: MIT */
/*
 * Changing rooms on a live connection. A room is a topic. The key of a connection is a topic too, so the server
 * finds the emitter that a request names without a table.
 *
 *     09_rooms 8080
 *     curl -N http://127.0.0.1:8080/events          the first event is the KEY of this connection
 *     curl -d '' 'http://127.0.0.1:8080/move?connection=KEY&enter=kitchen'
 *     curl -d hello 'http://127.0.0.1:8080/say?room=kitchen'
 *     curl -d '' 'http://127.0.0.1:8080/move?connection=KEY&enter=garden&leave=kitchen'
 *
 * A client that reconnects gets a new key. It enters each of its rooms again, with the id of the last event from
 * that room, and receives the events that it missed.
 */
#include "toy_http.h"

#define PROGRAM "09_rooms"
#define TOPIC_SIZE 64

static struct sse_registry *registry;
static struct sse_loop *loop;
static FILE *random_source;

/* Makes a topic of the prefix and the value of a parameter. Absent: the parameter is missing or too long. */
static struct sse_text read_topic(struct sse_text query, const char *parameter, const char *prefix,
                                  char *topic)
{
    size_t start = strlen(strcpy(topic, prefix)), room = TOPIC_SIZE - start;
    ssize_t size = sse_http_parameter(query, parameter, 0, topic + start, room);

    return size < 1 || (size_t)size > room ? sse_str(NULL) : (struct sse_text){topic, start + (size_t)size};
}

/* Everyone who has the key of a connection may move it, so the key must be impossible to guess. */
static bool append_key(char *text)
{
    unsigned char random[16];
    bool is_there = fread(random, sizeof(random), 1, random_source) == 1;

    for (size_t i = 0; is_there && i < sizeof(random); ++i)
        snprintf(text + strlen(text), 3, "%02x", random[i]);
    return is_there;
}

static bool stream(int fd, const struct toy_request *request)
{
    char name[TOPIC_SIZE] = "connection:";
    bool has_key = append_key(name);
    const struct sse_text topic = sse_str(name);
    const struct sse_event event = {.type = sse_str("connection"), .data = sse_str(strchr(name, ':') + 1)};
    const struct sse_http_options http = toy_stream_head(request);
    const struct sse_emitter_options options = {.size = sizeof(options),
                                                .registry = registry,
                                                .loop = loop,
                                                .topics = &topic,
                                                .topic_count = 1,
                                                .output = SSE_OUTPUT_FD,
                                                .fd = fd,
                                                .http = &http};
    struct sse_emitter *emitter;
    int error = has_key ? sse_emitter_new(&emitter, &options, NULL) : -EIO;

    if (error) {
        toy_refuse(fd, error, &http);
        return false;
    }
    error = sse_emitter_send(emitter, &event);
    if (error)
        sse_emitter_abort(emitter, error);
    sse_emitter_unref(emitter);
    return true;
}

struct move {
    struct sse_text enter, leave, last_event_id;
};

/* Returns 1 or an error, because sse_registry_each returns 0 if the connection does not exist. */
static int move(struct sse_emitter *emitter, void *user)
{
    const struct move *rooms = user;
    int error = 0;

    if (rooms->enter.ptr)
        error = sse_registry_subscribe(registry, emitter, &rooms->enter, 1, rooms->last_event_id, NULL);
    if (error == 0 && rooms->leave.ptr)
        error = sse_registry_unsubscribe(registry, emitter, &rooms->leave, 1);
    return error ? error : 1;
}

static const char *change_rooms(const struct toy_request *request, struct sse_text connection)
{
    char enter[TOPIC_SIZE], leave[TOPIC_SIZE], id[SSE_ID_SIZE_MAX + 1];
    const struct sse_text header = toy_header(request, "Last-Event-ID");
    ssize_t size = sse_http_last_event_id(header, request->query, id, sizeof(id));
    struct move rooms = {.enter = read_topic(request->query, "enter", "room:", enter),
                         .leave = read_topic(request->query, "leave", "room:", leave),
                         .last_event_id = {id, (size_t)size}};
    int result = sse_registry_each(registry, connection, move, &rooms);

    return result == 1 ? "200 OK" : result == -ENOMEM ? "503 Service Unavailable" : "404 Not Found";
}

static bool handle(int fd, const struct toy_request *request)
{
    char names[2][TOPIC_SIZE];
    const struct sse_text room = read_topic(request->query, "room", "room:", names[0]);
    const struct sse_text connection = read_topic(request->query, "connection", "connection:", names[1]);
    const struct sse_event event = {.type = room, .data = request->body};
    struct sse_delivery delivery;

    if (toy_is(request, "GET /events"))
        return stream(fd, request);
    if (toy_is(request, "POST /say") && room.ptr)
        toy_answer_publish(fd, sse_registry_publish(registry, room, &event, &delivery), &delivery);
    else if (toy_is(request, "POST /move") && connection.ptr)
        toy_respond(fd, change_rooms(request, connection), "");
    else
        toy_respond(fd, "404 Not Found", "GET /events, POST /say?room= or POST /move?connection=\n");
    return false;
}

static void *run_loop(void *unused)
{
    (void)unused;
    sse_loop_run(loop);
    return NULL;
}

int main(int argument_count, char **arguments)
{
    const struct sse_registry_options options = {.size = sizeof(options), .history = {.events = 1000}};
    int port = toy_port(PROGRAM, argument_count, arguments);
    pthread_t thread;

    random_source = fopen("/dev/urandom", "r");
    toy_check(PROGRAM, random_source ? 0 : errno);
    toy_check(PROGRAM, sse_registry_new(&registry, &options));
    toy_check(PROGRAM, sse_loop_new(&loop, NULL));
    toy_check(PROGRAM, pthread_create(&thread, NULL, run_loop, NULL));
    toy_serve(toy_listen(PROGRAM, port), handle);
    toy_check(PROGRAM, shut_down(registry));
    toy_join();
    sse_loop_finish(loop);
    pthread_join(thread, NULL);
    sse_loop_free(loop);
    sse_registry_unref(registry);
    return 0;
}
