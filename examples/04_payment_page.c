/* SPDX-License-Identifier: MIT */
/*
 * A page that pays: the result is published while the browser is between two connections, and arrives.
 *
 *     04_payment_page 8080 payments.txt
 *
 * Open http://127.0.0.1:8080/, or
 *
 *     curl -d '' http://127.0.0.1:8080/pay
 *     curl -N 'http://127.0.0.1:8080/events?payment=...'
 *     curl -N -H 'Last-Event-ID: ...' 'http://127.0.0.1:8080/events?payment=...'
 *
 * Networks break streams at any moment. Here the server does, just before each result, so that it can be
 * seen: the browser comes back with its Last-Event-ID, and the history has the result for it. Where the
 * history does not reach, after a restart or because it was full, the store answers: payments.txt.
 *
 * One thread: a poll(2) loop for requests, and in it the loop of the library for streams.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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

#define CLIENTS_MAX 64
#define PAYMENTS_MAX 1024
#define REQUEST_MAX 4096
#define REQUEST_MS 10000
#define LINGER_MS 2000
#define POLL_MS 100
#define BANK_MS "2000"

enum { PENDING, AUTHORISED, PAID };

static const char *const states[] = {"pending", "authorised", "paid"};

/** The id is the topic. Nobody can guess it, so whoever knows it may listen. */
struct payment {
    char id[33];
    int state;
    char event_id[SSE_ASSIGNED_ID_SIZE]; /* of the event with this state; "" until it is published */
    int64_t due;                         /* the bank's next answer */
};

/** A connection until it is a stream, and the loop's. A slot is free if `fd` is -1. */
struct client {
    int fd;
    bool answered; /* waits for the peer to close */
    int64_t deadline;
    char request[REQUEST_MAX + 1];
    size_t size;
};

static struct payment payments[PAYMENTS_MAX];
static size_t payment_count;
static struct client clients[CLIENTS_MAX];
static struct sse_registry *registry;
static struct sse_loop *loop;
static int store;
static int bank_ms;
static volatile sig_atomic_t stopped;

/* Without chunks the end of the stream is that of the connection, in HTTP/1.0 and 1.1 alike. */
static const struct sse_http_header close_header = {{"Connection", 10}, {"close", 5}};
static const struct sse_http_options http = {
    .size = sizeof(http), .headers = &close_header, .header_count = 1};

static const char page[] =
    "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><title>Payment</title>\n"
    "<link rel=\"icon\" href=\"data:,\"><h1>Payment</h1>\n"
    "<button id=\"pay\">Pay</button> <span id=\"status\"></span><ol id=\"states\"></ol><script>\n"
    "const [button, line, list] = ['pay', 'status', 'states'].map((id) => document.getElementById(id));\n"
    "function listen(payment) {\n"
    "    const source = new EventSource('/events?payment=' + payment);\n"
    "    button.disabled = true;\n"
    "    source.onopen = () => { line.textContent = 'connected'; };\n"
    "    source.onerror = () => {\n"
    "        line.textContent = source.readyState === 2 ? 'refused' : 'between two connections';\n"
    "    };\n"
    "    source.addEventListener('state', ({ data, lastEventId }) => {\n"
    "        const item = document.createElement('li');\n"
    "        list.append(Object.assign(item, { textContent: data, title: lastEventId }));\n"
    "        if (data === 'paid') { source.close(); line.textContent = 'done'; }\n"
    "    });\n"
    "}\n"
    "button.onclick = async () => {\n"
    "    const answer = await fetch('/pay', { method: 'POST' });\n"
    "    const text = (await answer.text()).trim();\n"
    "    if (!answer.ok) { line.textContent = text; return; }\n"
    "    location.hash = text;\n" /* survives a reload */
    "    listen(text);\n"
    "};\n"
    "if (location.hash) { listen(location.hash.slice(1)); }\n"
    "</script></html>\n";

static int64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* A line for each payment, all of one size, so that a new state takes the place of the old one. */
static bool save(const struct payment *payment)
{
    char line[64];
    int size = snprintf(line, sizeof(line), "%s %d\n", payment->id, payment->state);

    return pwrite(store, line, (size_t)size, (payment - payments) * size) == size;
}

static bool open_store(const char *path)
{
    FILE *file = fopen(path, "r");
    struct payment *payment = payments;
    bool sound = true;

    while (file && payment < payments + PAYMENTS_MAX && sound &&
           fscanf(file, "%32[0-9a-f]%d\n", payment->id, &payment->state) == 2) {
        sound = strlen(payment->id) == 32 && payment->state >= PENDING && payment->state <= PAID;
        ++payment;
    }
    /* A last line that a full disk has cut short was never promised to anybody. */
    sound = sound && (!file || feof(file));
    if (file)
        fclose(file);
    payment_count = (size_t)(payment - payments);
    store = sound ? open(path, O_RDWR | O_CREAT, 0600) : -1;
    if (store < 0)
        fprintf(stderr, "04_payment_page: %s: %s\n", path, sound ? strerror(errno) : "not our payments");
    return store >= 0;
}

static struct payment *find_payment(const char *id)
{
    for (size_t i = 0; i < payment_count; ++i) {
        if (strcmp(payments[i].id, id) == 0)
            return &payments[i];
    }
    return NULL;
}

static bool choose_id(char *id)
{
    unsigned char random[16];
    int source = open("/dev/urandom", O_RDONLY);
    bool chosen = source >= 0 && read(source, random, sizeof(random)) == sizeof(random);

    for (size_t i = 0; chosen && i < sizeof(random); ++i)
        snprintf(id + 2 * i, 3, "%02x", random[i]);
    if (source >= 0)
        close(source);
    return chosen;
}

/* Without memory the state stays unpublished, and the bank comes back to it. */
static void publish(struct payment *payment)
{
    const struct sse_event event = {.type = sse_str("state"), .data = sse_str(states[payment->state])};
    struct sse_delivery delivery = {.size = sizeof(delivery)};

    if (sse_registry_publish(registry, sse_str(payment->id), &event, &delivery) == 0)
        memcpy(payment->event_id, delivery.id, sizeof(delivery.id));
    payment->due = now() + bank_ms;
}

static int complete(struct sse_emitter *emitter, void *user)
{
    (void)user;
    sse_emitter_complete(emitter);
    return 0;
}

/* Saved before it is published: nobody hears of a state that a crash takes back. */
static void move_on(struct payment *payment)
{
    payment->due = now() + bank_ms;
    if (payment->event_id[0] != '\0') {
        ++payment->state;
        if (!save(payment)) {
            --payment->state;
            return;
        }
        payment->event_id[0] = '\0';
    }
    /* The bad moment: from here on nobody is connected. */
    if (payment->state == PAID)
        sse_registry_each(registry, sse_str(payment->id), complete, NULL);
    publish(payment);
}

static void run_bank(void)
{
    for (struct payment *payment = payments; payment < payments + payment_count; ++payment) {
        bool done = payment->state == PAID && payment->event_id[0] != '\0';

        if (!done && now() >= payment->due)
            move_on(payment);
    }
}

static bool has_heard(struct sse_str last_event_id, const struct payment *payment)
{
    return last_event_id.len > 0 && last_event_id.len == strlen(payment->event_id) &&
           memcmp(last_event_id.ptr, payment->event_id, last_event_id.len) == 0;
}

/* With the id of its event, so that the history goes on from there. An empty one, of a state that could not
 * be published yet, lets the client come back as a new one. */
static void tell(struct sse_emitter *emitter, const struct payment *payment)
{
    const struct sse_event event = {
        .type = sse_str("state"), .data = sse_str(states[payment->state]), .id = sse_str(payment->event_id)};
    int error = sse_emitter_send(emitter, &event);

    if (error)
        sse_emitter_complete_with_error(emitter, error);
}

/* The history does not know what this client has missed. The store does: a state replaces those before
 * it. If the history has later ones they follow, and are enough. */
static bool on_gap(struct sse_registry *of, struct sse_emitter *emitter, const struct sse_gap *gap,
                   void *user)
{
    const struct payment *payment = sse_emitter_user(emitter);

    (void)of;
    (void)user;
    if (!gap->oldest.ptr && !has_heard(gap->asked, payment))
        tell(emitter, payment);
    return true;
}

static void forget(struct client *client)
{
    close(client->fd);
    *client = (struct client){.fd = -1};
}

/* It fits into the buffer of a fresh socket; who will not take even that is let go. */
static void send_response(struct client *client, const char *response, ssize_t size)
{
    if (size < 0 || send(client->fd, response, (size_t)size, MSG_NOSIGNAL) != size) {
        forget(client);
        return;
    }
    shutdown(client->fd, SHUT_WR);
    client->answered = true;
    client->deadline = now() + LINGER_MS;
}

static void respond(struct client *client, const char *status, const char *text)
{
    char response[4096];
    bool head_only = strncmp(client->request, "HEAD ", 5) == 0;
    int size = snprintf(response, sizeof(response),
                        "HTTP/1.1 %s\r\nContent-Type: text/%s; charset=utf-8\r\nContent-Length: %zu\r\n"
                        "Connection: close\r\n\r\n%s",
                        status, text == page ? "html" : "plain", strlen(text), head_only ? "" : text);

    send_response(client, response, size);
}

static void pay(struct client *client)
{
    struct payment *payment = &payments[payment_count];
    char answer[40];

    if (payment_count == PAYMENTS_MAX) {
        respond(client, "503 Service Unavailable", "too many payments\n");
        return;
    }
    *payment = (struct payment){.state = PENDING};
    if (!choose_id(payment->id) || !save(payment)) {
        respond(client, "500 Internal Server Error", "the payment cannot be saved\n");
        return;
    }
    ++payment_count;
    publish(payment);
    snprintf(answer, sizeof(answer), "%s\n", payment->id);
    respond(client, "201 Created", answer);
}

static void stream(struct client *client, struct payment *payment, struct sse_str last_event_id)
{
    const struct sse_str topic = sse_str(payment->id);
    char head[512];
    ssize_t size = sse_http_head(head, sizeof(head), &http);
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .drain = SSE_DRAIN_FD,
        .fd = client->fd,
        .head = {head, (size_t)size},
        .retry_ms = 1000,
        .user = payment,
    };
    struct sse_emitter *emitter;

    if (size < 0 || (size_t)size > sizeof(head) || sse_emitter_new(&emitter, &options) < 0) {
        forget(client);
        return;
    }
    /* In this thread nothing is published between the state and the subscription. */
    if (last_event_id.len == 0)
        tell(emitter, payment);
    if (sse_registry_subscribe(registry, emitter, &topic, 1, last_event_id, NULL) < 0 ||
        sse_loop_add(loop, emitter) < 0) {
        sse_emitter_detach(emitter);
        sse_emitter_unref(emitter);
        forget(client);
        return;
    }
    if (payment->state == PAID)
        sse_emitter_complete(emitter);
    *client = (struct client){.fd = -1};
}

/** The value of a header field; absent if it is not there. */
static struct sse_str find_header(const char *request, const char *name)
{
    size_t size = strlen(name);

    for (const char *line = strstr(request, "\r\n") + 2; *line != '\r'; line = strstr(line, "\r\n") + 2) {
        if (strncasecmp(line, name, size) == 0 && line[size] == ':')
            return (struct sse_str){line + size + 1, (size_t)(strstr(line, "\r\n") - line) - size - 1};
    }
    return sse_str(NULL);
}

static void open_stream(struct client *client, const char *query)
{
    struct sse_str header = find_header(client->request, "last-event-id");
    char response[512];
    char id[33] = "";
    char asked[128];
    ssize_t size = sse_http_last_event_id(header, sse_str(query), asked, sizeof(asked));
    struct sse_str last_event_id = {asked, size < 0 ? 0 : (size_t)size};
    struct payment *payment;
    int used = 0;

    sscanf(query, "payment=%32[0-9a-f]%n", id, &used);
    payment = query[used] == '\0' || query[used] == '&' ? find_payment(id) : NULL;
    if (!payment)
        respond(client, "404 Not Found", "no such payment\n");
    else if (!sse_http_accepts(find_header(client->request, "accept")))
        respond(client, "406 Not Acceptable", "there is text/event-stream only\n");
    else if (size < 0)
        respond(client, "400 Bad Request", "that Last-Event-ID is none of ours\n");
    else if (payment->state == PAID && has_heard(last_event_id, payment))
        /* There is nothing to come back for. */
        send_response(client, response, sse_http_no_content(response, sizeof(response), &http));
    else
        stream(client, payment, last_event_id);
}

/* Answers once the head is whole. A body is not looked at. */
static void handle_request(struct client *client)
{
    char method[8];
    char target[256];
    int used = 0;
    bool is_pay, is_page;

    if (!strstr(client->request, "\r\n\r\n")) {
        if (client->size == REQUEST_MAX)
            respond(client, "431 Request Header Fields Too Large", "too long\n");
        return;
    }
    sscanf(client->request, "%7[A-Z] %255[!-~] HTTP/1.%*1[01]%n", method, target, &used);
    if (used == 0 || strncmp(client->request + used, "\r\n", 2) != 0) {
        respond(client, "400 Bad Request", "METHOD TARGET HTTP/1.1, please\n");
        return;
    }
    is_pay = strcmp(target, "/pay") == 0;
    is_page = strcmp(target, "/") == 0;
    if (!is_pay && !is_page && strncmp(target, "/events?", 8) != 0)
        respond(client, "404 Not Found", "GET /, POST /pay or GET /events?payment=ID\n");
    else if (is_pay && strcmp(method, "POST") != 0)
        respond(client, "405 Method Not Allowed\r\nAllow: POST", "POST, please\n");
    else if (!is_pay && strcmp(method, "GET") != 0)
        respond(client, "405 Method Not Allowed\r\nAllow: GET", "GET, please\n");
    else if (is_pay)
        pay(client);
    else if (is_page)
        respond(client, "200 OK", page);
    else
        open_stream(client, target + 8);
}

/** What comes after a request is read and thrown away. */
static void read_client(struct client *client)
{
    char rest[REQUEST_MAX];
    char *room = client->answered ? rest : client->request + client->size;
    ssize_t size = recv(client->fd, room, REQUEST_MAX - (client->answered ? 0 : client->size), 0);

    if (size < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (size == 0 && !client->answered) {
        respond(client, "400 Bad Request", "half a request\n");
    } else if (size <= 0) {
        forget(client);
    } else if (!client->answered) {
        client->size += (size_t)size;
        client->request[client->size] = '\0';
        handle_request(client);
    }
}

static void look_after(struct client *client, bool readable)
{
    if (client->fd >= 0 && readable)
        read_client(client);
    if (client->fd < 0 || now() < client->deadline)
        return;
    if (client->answered)
        forget(client);
    else
        respond(client, "408 Request Timeout", "no request in time\n");
}

/** A free slot, or NULL. */
static struct client *vacant_client(void)
{
    for (size_t i = 0; i < CLIENTS_MAX; ++i) {
        if (clients[i].fd < 0)
            return &clients[i];
    }
    return NULL;
}

/** False if there is no descriptor left: poll would report the listener again and again. */
static bool accept_client(int listener)
{
    struct client *client = vacant_client();
    int fd = client ? accept(listener, NULL, NULL) : -1;

    if (fd < 0)
        return errno != EMFILE && errno != ENFILE;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    *client = (struct client){.fd = fd, .deadline = now() + REQUEST_MS};
    return true;
}

/* Looks up ten times a second, for the bank, deadlines, signals, and where the loop of the library has no
 * descriptor to wait for. */
static bool serve(int listener)
{
    struct pollfd polls[CLIENTS_MAX + 2];
    bool accepts = true;

    while (!stopped) {
        nfds_t count = 2; /* poll refuses a list that is longer than the limit of descriptors */

        polls[0] = (struct pollfd){.fd = sse_loop_fd(loop), .events = POLLIN};
        polls[1] = (struct pollfd){.fd = accepts && vacant_client() ? listener : -1, .events = POLLIN};
        for (size_t i = 0; i < CLIENTS_MAX; ++i) {
            polls[i + 2] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
            if (clients[i].fd >= 0)
                count = (nfds_t)i + 3;
        }
        if (poll(polls, count, POLL_MS) < 0 && errno != EINTR) {
            perror("04_payment_page");
            return false;
        }
        for (size_t i = 0; i < CLIENTS_MAX; ++i)
            look_after(&clients[i], polls[i + 2].revents != 0);
        accepts = (polls[1].revents & POLLIN) == 0 || accept_client(listener);
        run_bank();
        sse_loop_dispatch(loop, 0);
    }
    return true;
}

/* Each browser is told a moment of its own to come back, so that not all meet the next server at once. */
static void shut_down(void)
{
    const struct sse_shutdown_options options = {
        .size = sizeof(options), .retry_min_ms = 500, .retry_max_ms = 3000, .drain_ms = 2000};
    struct sse_shutdown_report report = {.size = sizeof(report)};

    if (sse_registry_shutdown(registry, &options) < 0)
        return;
    while (sse_registry_shutdown_report(registry, &report) == 0 && report.remaining > 0 &&
           sse_loop_dispatch(loop, POLL_MS) == 0)
        ;
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
        perror("04_payment_page");
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
    const struct sse_registry_options options = {
        .size = sizeof(options), .history = {.events = 256}, .history_age_ms = 600000, .on_gap = on_gap};
    const struct sse_loop_options loop_options = {.size = sizeof(loop_options)};
    const struct sigaction action = {.sa_handler = on_signal};
    bool usable = argument_count == 3 || argument_count == 4;
    int port = usable ? parse_number(arguments[1], 65535) : -1;
    bool served;
    int listener;
    int error;

    bank_ms = parse_number(argument_count == 4 ? arguments[3] : BANK_MS, INT_MAX);
    if (port < 0 || bank_ms <= 0) {
        fputs("usage: 04_payment_page PORT FILE [BANK-MILLISECONDS]\n", stderr);
        return 2;
    }
    for (size_t i = 0; i < CLIENTS_MAX; ++i)
        clients[i].fd = -1;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    if (!open_store(arguments[2]))
        return 1;
    if ((error = sse_registry_new(&registry, &options)) < 0 ||
        (error = sse_loop_new(&loop, registry, &loop_options)) < 0) {
        fprintf(stderr, "04_payment_page: %s\n", strerror(-error));
        return 1;
    }
    listener = listen_on(port);
    if (listener < 0)
        return 1;
    /* Payments from before a restart: their states get ids of this run. */
    for (size_t i = 0; i < payment_count; ++i)
        publish(&payments[i]);
    served = serve(listener);
    close(listener);
    shut_down();
    sse_loop_free(loop);
    sse_registry_unref(registry);
    return served ? 0 : 1;
}
