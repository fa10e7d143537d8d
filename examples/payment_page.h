/* SPDX-License-Identifier: MIT */
#ifndef PAYMENT_PAGE_H
#define PAYMENT_PAGE_H

/* A shop without live events: a page, a store of payments, a bank. 05_payment_page.c adds the events. */

#include "toy_http.h"

#define PAYMENTS_MAX 1024
#define BANK_MS 2000
#define BANK_MS_MAX 1000000

enum { PENDING, AUTHORISED, PAID };

static const char *const payment_states[] = {"pending", "authorised", "paid"};

struct payment {
    char id[33]; /* cannot be guessed, so whoever knows it may listen */
    int state;
    char event_id[SSE_ASSIGNED_ID_SIZE]; /* the id of the event that announced this state */
    int64_t due;                         /* when the bank answers next */
};

static pthread_mutex_t payments_lock = PTHREAD_MUTEX_INITIALIZER;
static struct payment payments[PAYMENTS_MAX];
static size_t payment_count;
static int payment_store;
static int random_source;
static int bank_ms;

/* ---- Functions of 05_payment_page.c. They are called with the payments locked. ---- */

/** Publishes the state of a payment to its clients. Returns 0, or a negative errno: then no client receives it. */
static int publish(struct payment *payment);

/** Answers GET /events, as a toy_handler does. */
static bool open_stream(int fd, const struct toy_request *request, const struct payment *payment);

/* ---- The store. ---- */

/** Writes a line for the payment. All lines are of one size, so a new state replaces the old one. */
static inline bool save_payment(const struct payment *payment)
{
    char line[64];
    int size = snprintf(line, sizeof(line), "%s %d\n", payment->id, payment->state);

    return pwrite(payment_store, line, (size_t)size, (payment - payments) * size) == size;
}

/** Opens the store and reads it. If that fails, the program ends. */
static inline void open_store(const char *program, const char *path)
{
    FILE *file = fopen(path, "r");
    struct payment *payment = payments;
    bool sound = true;

    while (file && payment < payments + PAYMENTS_MAX && sound &&
           fscanf(file, "%32[0-9a-f]%d\n", payment->id, &payment->state) == 2) {
        sound = strlen(payment->id) == 32 && payment->state >= PENDING && payment->state <= PAID;
        payment->due = toy_now() + bank_ms;
        ++payment;
    }
    /* The last line may be incomplete after a full disk. Nobody was told that it was stored. */
    sound = sound && (!file || feof(file));
    if (file)
        fclose(file);
    payment_count = (size_t)(payment - payments);
    payment_store = sound ? open(path, O_RDWR | O_CREAT, 0600) : -1;
    if (payment_store >= 0)
        return;
    fprintf(stderr, "%s: %s: %s\n", program, path, sound ? strerror(errno) : "not our payments");
    exit(1);
}

static inline bool choose_payment_id(char *id)
{
    unsigned char random[16];

    if (read(random_source, random, sizeof(random)) != sizeof(random))
        return false;
    for (size_t i = 0; i < sizeof(random); ++i)
        snprintf(id + 2 * i, 3, "%02x", random[i]);
    return true;
}

/** The payment that a query names, or NULL. */
static inline struct payment *find_payment(struct sse_text query)
{
    char id[33] = "";
    ssize_t size = sse_http_parameter(query, "payment", 0, id, sizeof(id) - 1);

    for (size_t i = 0; size == sizeof(id) - 1 && i < payment_count; ++i)
        if (strcmp(payments[i].id, id) == 0)
            return &payments[i];
    return NULL;
}

/* ---- The bank, in its own thread. ---- */

/** Saves before it publishes, because no client may see a state that a crash would undo. If one of the two fails,
 *  the bank tries this payment again later. */
static inline void move_on(struct payment *payment)
{
    payment->due = toy_now() + bank_ms;
    ++payment->state;
    if (!save_payment(payment) || publish(payment) != 0)
        --payment->state;
}

static inline void *run_bank(void *unused)
{
    (void)unused;
    while (!toy_stopped(bank_ms < 50 ? bank_ms : 50)) {
        pthread_mutex_lock(&payments_lock);
        for (struct payment *payment = payments; payment < payments + payment_count; ++payment)
            if (payment->state != PAID && toy_now() >= payment->due)
                move_on(payment);
        pthread_mutex_unlock(&payments_lock);
    }
    return NULL;
}

/* ---- The page, and the requests. ---- */

static const char payment_page[] =
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

static inline void pay(int fd)
{
    struct payment *payment = &payments[payment_count];
    char answer[40];

    if (payment_count < PAYMENTS_MAX)
        *payment = (struct payment){.state = PENDING, .due = toy_now() + bank_ms};
    if (payment_count == PAYMENTS_MAX || !choose_payment_id(payment->id) || !save_payment(payment) ||
        publish(payment) != 0) {
        toy_respond(fd, "503 Service Unavailable", "no room for a payment\n");
        return;
    }
    ++payment_count;
    snprintf(answer, sizeof(answer), "%s\n", payment->id);
    toy_respond(fd, "201 Created", answer);
}

static inline bool serve_stream(int fd, const struct toy_request *request)
{
    const struct payment *payment = find_payment(request->query);

    if (payment)
        return open_stream(fd, request, payment);
    toy_respond(fd, "404 Not Found", "no such payment\n");
    return false;
}

static inline bool serve_request(int fd, const struct toy_request *request)
{
    bool streams = false;

    pthread_mutex_lock(&payments_lock);
    if (toy_is(request, "GET /"))
        toy_respond_as(fd, "200 OK", "html", payment_page);
    else if (toy_is(request, "POST /pay"))
        pay(fd);
    else if (toy_is(request, "GET /events"))
        streams = serve_stream(fd, request);
    else
        toy_respond(fd, "404 Not Found", "GET /, POST /pay or GET /events?payment=ID\n");
    pthread_mutex_unlock(&payments_lock);
    return streams;
}

/** Reads the arguments and the store. Returns the port. On an error, prints it and ends the program. */
static inline int open_payments(const char *program, int argument_count, char **arguments)
{
    int port = argument_count == 3 || argument_count == 4 ? toy_number(arguments[1], 65535) : -1;

    bank_ms = argument_count == 4 ? toy_number(arguments[3], BANK_MS_MAX) : BANK_MS;
    if (port < 0 || bank_ms <= 0)
        toy_usage(program, "PORT FILE [BANK-MILLISECONDS]");
    open_store(program, arguments[2]);
    random_source = open("/dev/urandom", O_RDONLY);
    toy_check(program, random_source < 0 ? errno : 0);
    return port;
}

/** Serves until a signal comes. Threads may still be running then: toy_join waits for them. */
static inline void serve_payments(const char *program, int port)
{
    int listener = toy_listen(program, port);
    pthread_t bank;

    toy_check(program, pthread_create(&bank, NULL, run_bank, NULL));
    toy_serve(listener, serve_request);
    pthread_join(bank, NULL);
}

#endif
