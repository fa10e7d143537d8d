/* SPDX-License-Identifier: MIT */
/*
 * Alarms for users, in one process with one thread and a poll(2) loop of its own.
 *
 *     02_user_alarms 8080
 *     curl -N 'http://127.0.0.1:8080/alarms?user=7'
 *     curl -d 'the kettle boils' 'http://127.0.0.1:8080/alarms?user=7'
 *
 * A user is a topic. Start two of the first curl, end the older one and publish: the newer one
 * still gets the alarm, for the end of a connection takes away its own emitter and nothing else.
 * A table from user to connection would have lost the newer one here.
 *
 * SIGTERM and SIGINT end it: every stream is completed.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sse/sse.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 256
#define REQUEST_MAX 4096
#define REQUEST_SECONDS 10
#define LINGER_SECONDS 2

/** A slot is free if `fd` is -1. The client owns the descriptor, the emitter only writes to it. */
struct client {
    int fd;
    struct sse_emitter *emitter; /* NULL for a request */
    bool blocked;
    bool ended;
    bool answered; /* waits for the peer to close */
    bool input_ended;
    time_t deadline; /* of a request */
    char request[REQUEST_MAX + 1];
    size_t size;
};

static struct client clients[CLIENTS_MAX];
static struct sse_registry *registry;
static time_t accept_again;
static volatile sig_atomic_t stopped;

static time_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

static void forget(struct client *client)
{
    if (client->emitter)
        sse_emitter_detach(client->emitter);
    sse_emitter_unref(client->emitter);
    close(client->fd);
    *client = (struct client){.fd = -1};
}

/* A short text fits into the buffer of a fresh socket; who will not take even that is let go. */
static void respond(struct client *client, const char *status, const char *text)
{
    char response[512];
    int size = snprintf(response, sizeof(response),
                        "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
                        "Connection: close\r\n\r\n%s",
                        status, strlen(text), text);

    if (send(client->fd, response, (size_t)size, MSG_NOSIGNAL) != size) {
        forget(client);
        return;
    }
    shutdown(client->fd, SHUT_WR);
    client->answered = true;
    client->deadline = now() + LINGER_SECONDS;
}

static void on_blocked(struct sse_emitter *emitter, void *user)
{
    struct client *client = user;

    (void)emitter;
    client->blocked = true;
}

/* The registry has forgotten this emitter already, and no other of the same user. */
static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct client *client = user;

    (void)emitter;
    (void)completion;
    client->ended = true;
}

static void subscribe(struct client *client, struct sse_str topic)
{
    static const struct sse_http_header close_header = {{"Connection", 10}, {"close", 5}};
    const struct sse_http_options http = {
        .size = sizeof(http),
        .chunked = true,
        .headers = &close_header,
        .header_count = 1,
    };
    char head[512];
    ssize_t size = sse_http_head(head, sizeof(head), &http);
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .drain = SSE_DRAIN_FD,
        .framing = SSE_FRAMING_CHUNKED,
        .fd = client->fd,
        .head = {head, (size_t)size},
        .retry_ms = 2000,
        .on_blocked = on_blocked,
        .on_completion = on_completion,
        .user = client,
    };

    if (size < 0 || (size_t)size > sizeof(head) || sse_emitter_new(&client->emitter, &options) < 0) {
        forget(client);
        return;
    }
    if (sse_registry_subscribe(registry, client->emitter, &topic, 1, sse_str(NULL), NULL) < 0)
        sse_emitter_complete_with_error(client->emitter, -ECANCELED);
}

static void publish(struct client *client, struct sse_str topic, struct sse_str text)
{
    const struct sse_event event = {.type = sse_str("alarm"), .data = text};
    struct sse_delivery delivery = {.size = sizeof(delivery)};
    char answer[64];

    if (sse_registry_publish(registry, topic, &event, &delivery) < 0) {
        respond(client, "400 Bad Request", "an alarm is UTF-8\n");
        return;
    }
    snprintf(answer, sizeof(answer), "sent to %zu\n", delivery.written + delivery.queued);
    respond(client, "202 Accepted", answer);
}

/** The value of a header field, given with its colon; NULL if it is not there. */
static const char *find_header(const char *head, const char *name)
{
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, strlen(name)) == 0)
            return line + strlen(name);
    }
    return NULL;
}

/** The size of the body; SIZE_MAX if that cannot be told. */
static size_t body_size(const char *head)
{
    const char *value = find_header(head, "Content-Length:");
    char *end;
    unsigned long size;

    if (!value || find_header(head, "Transfer-Encoding:"))
        return SIZE_MAX;
    value += strspn(value, " \t");
    size = strtoul(value, &end, 10);
    return *value >= '0' && *value <= '9' && *end == '\r' ? size : SIZE_MAX;
}

/* Answers once the request is whole. The head is a string from here on, the body need not be. */
static void handle_request(struct client *client)
{
    char *end = strstr(client->request, "\r\n\r\n");
    char method[8];
    char user[32];
    char topic[48];
    size_t size;
    int used = 0;

    if (!end && client->size == REQUEST_MAX)
        respond(client, "431 Request Header Fields Too Large", "too long\n");
    if (!end)
        return;
    if (sscanf(client->request, "%7[A-Z] /alarms?user=%31[0-9] HTTP/1.1%n", method, user, &used) != 2 ||
        used == 0 || strncmp(client->request + used, "\r\n", 2) != 0) {
        respond(client, "400 Bad Request", "GET or POST /alarms?user=NUMBER HTTP/1.1\n");
        return;
    }
    snprintf(topic, sizeof(topic), "user:%s", user);
    if (strcmp(method, "GET") == 0) {
        subscribe(client, sse_str(topic));
        return;
    }
    end[2] = '\0';
    size = body_size(client->request);
    end[2] = '\r';
    if (strcmp(method, "POST") != 0)
        respond(client, "405 Method Not Allowed\r\nAllow: GET, POST", "GET or POST\n");
    else if (size == SIZE_MAX)
        respond(client, "411 Length Required", "a Content-Length, please\n");
    else if (size > REQUEST_MAX - (size_t)(end + 4 - client->request))
        respond(client, "413 Content Too Large", "too long\n");
    else if (size <= client->size - (size_t)(end + 4 - client->request))
        publish(client, sse_str(topic), (struct sse_str){end + 4, size});
}

/** What is sent to a stream, or after a request, is read and thrown away. */
static void read_client(struct client *client)
{
    bool reading = !client->emitter && !client->answered;
    char rest[REQUEST_MAX];
    char *room = reading ? client->request + client->size : rest;
    ssize_t size = recv(client->fd, room, REQUEST_MAX - (reading ? client->size : 0), 0);

    if (size < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (size == 0 && reading) {
        respond(client, "400 Bad Request", "half a request\n");
    } else if (size < 0 || (size == 0 && !client->emitter)) {
        forget(client);
    } else if (size == 0) {
        /* Has it left, or closed its sending side alone? A comment will show: see POLLHUP. */
        client->input_ended = true;
        sse_emitter_send(client->emitter, &(struct sse_event){.comment = sse_str("")});
    } else if (reading) {
        client->size += (size_t)size;
        client->request[client->size] = '\0';
        handle_request(client);
    }
}

static void serve_client(struct client *client, short events)
{
    if (client->emitter && (events & (POLLERR | POLLHUP)) != 0) {
        forget(client);
        return;
    }
    if (client->emitter && (events & POLLOUT) != 0)
        client->blocked = sse_emitter_flush(client->emitter) == 1;
    if ((events & (POLLIN | POLLERR | POLLHUP)) != 0)
        read_client(client);
}

static struct client *free_slot(void)
{
    for (size_t i = 0; i < CLIENTS_MAX; ++i) {
        if (clients[i].fd < 0)
            return &clients[i];
    }
    return NULL;
}

static void accept_client(int listener)
{
    struct client *client = free_slot();
    int fd = accept(listener, NULL, NULL);

    /* With no descriptor left poll would report the listener again and again. */
    if (fd < 0 && (errno == EMFILE || errno == ENFILE))
        accept_again = now() + 1;
    if (fd < 0)
        return;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    *client = (struct client){.fd = fd, .deadline = now() + REQUEST_SECONDS};
}

/** Sees to streams that have ended and to requests that took too long. */
static void sweep(struct client *client)
{
    bool late = !client->emitter && now() >= client->deadline;

    if (client->fd >= 0 && late && !client->answered)
        respond(client, "408 Request Timeout", "no request in time\n");
    else if (client->fd >= 0 && (client->ended || late))
        forget(client);
}

static int complete(struct sse_emitter *emitter, void *user)
{
    (void)user;
    sse_emitter_complete(emitter);
    return 0;
}

/* Once it is stopped it goes on until the last stream is over, which the emitters' drain_ms bounds. */
static bool loop(int listener)
{
    struct pollfd polls[CLIENTS_MAX + 1];

    while (!stopped || sse_registry_count(registry, sse_str(NULL)) > 0) {
        int timeout = sse_registry_next_timeout(registry);
        bool accepts = !stopped && free_slot() && now() >= accept_again;
        nfds_t count = 1; /* poll refuses a list that is longer than the limit of descriptors */

        polls[0] = (struct pollfd){.fd = accepts ? listener : -1, .events = POLLIN};
        for (size_t i = 0; i < CLIENTS_MAX; ++i) {
            const struct client *client = &clients[i];
            int events = (client->input_ended ? 0 : POLLIN) | (client->blocked ? POLLOUT : 0);

            polls[i + 1] = (struct pollfd){.fd = client->fd, .events = (short)events};
            if (client->fd >= 0)
                count = (nfds_t)i + 2;
        }
        if (poll(polls, count, timeout < 0 || timeout > 1000 ? 1000 : timeout) < 0 && errno != EINTR)
            return false;
        for (size_t i = 0; i < CLIENTS_MAX; ++i) {
            if (polls[i + 1].revents != 0)
                serve_client(&clients[i], polls[i + 1].revents);
        }
        sse_registry_tick(registry);
        if (stopped)
            sse_registry_each(registry, sse_str(NULL), complete, NULL);
        for (size_t i = 0; i < CLIENTS_MAX; ++i)
            sweep(&clients[i]);
        if (polls[0].revents != 0)
            accept_client(listener);
    }
    return true;
}

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static int listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    const int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, SOMAXCONN) < 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || getsockname(fd, (struct sockaddr *)&address, &size) < 0) {
        perror("02_user_alarms");
        return -1;
    }
    printf("listening on http://127.0.0.1:%d/\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

/** The number that a text is; -1 if it is none, or above `max`. */
static int parse_number(const char *text, int max)
{
    char *end;
    long number = strtol(text, &end, 10);

    return *text >= '0' && *text <= '9' && *end == '\0' && number <= max ? (int)number : -1;
}

int main(int argument_count, char **arguments)
{
    int port = argument_count == 2 ? parse_number(arguments[1], 65535) : -1;
    const struct sigaction action = {.sa_handler = on_signal};
    bool served;
    int listener;
    int error;

    if (port < 0) {
        fputs("usage: 02_user_alarms PORT\n", stderr);
        return 2;
    }
    for (size_t i = 0; i < CLIENTS_MAX; ++i)
        clients[i].fd = -1;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    error = sse_registry_new(&registry, NULL);
    if (error < 0) {
        fprintf(stderr, "02_user_alarms: %s\n", strerror(-error));
        return 1;
    }
    listener = listen_on(port);
    if (listener < 0)
        return 1;
    served = loop(listener);
    if (!served)
        perror("02_user_alarms");
    for (size_t i = 0; i < CLIENTS_MAX; ++i) {
        if (clients[i].fd >= 0)
            forget(&clients[i]);
    }
    close(listener);
    sse_registry_unref(registry);
    return served ? 0 : 1;
}
