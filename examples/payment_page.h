/* SPDX-License-Identifier: MIT */
#ifndef PAYMENT_PAGE_H
#define PAYMENT_PAGE_H

/* What 05_payment_page.c needs and has nothing to do with events: the page, and a store of payments. */

#include "toy_http.h"

#define PAYMENTS_MAX 1024

enum { PENDING, AUTHORISED, PAID };

static const char *const payment_states[] = {"pending", "authorised", "paid"};

struct payment {
    char id[33]; /* cannot be guessed, so whoever knows it may listen */
    int state;
    char event_id[SSE_ASSIGNED_ID_SIZE]; /* of the event that told this state; "": not published yet */
    int64_t due;                         /* the bank's next answer */
};

static struct payment payments[PAYMENTS_MAX];
static size_t payment_count;
static int payment_store;

/** Writes a line for the payment. All lines are of one size, so a new state replaces the old one. */
static inline bool save_payment(const struct payment *payment)
{
    char line[64];
    int size = snprintf(line, sizeof(line), "%s %d\n", payment->id, payment->state);

    return pwrite(payment_store, line, (size_t)size, (payment - payments) * size) == size;
}

/** Opens the store and reads it. If that fails, the program ends. */
static inline void open_payments(const char *program, const char *path)
{
    FILE *file = fopen(path, "r");
    struct payment *payment = payments;
    bool sound = true;

    while (file && payment < payments + PAYMENTS_MAX && sound &&
           fscanf(file, "%32[0-9a-f]%d\n", payment->id, &payment->state) == 2) {
        sound = strlen(payment->id) == 32 && payment->state >= PENDING && payment->state <= PAID;
        ++payment;
    }
    /* An incomplete last line, after a full disk, was never acknowledged to anyone. */
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

static inline bool choose_payment_id(char *id)
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

/** Returns a new payment, or NULL if there is no room for it. */
static inline struct payment *add_payment(void)
{
    struct payment *payment = &payments[payment_count];

    if (payment_count == PAYMENTS_MAX)
        return NULL;
    *payment = (struct payment){.state = PENDING};
    if (!choose_payment_id(payment->id) || !save_payment(payment))
        return NULL;
    ++payment_count;
    return payment;
}

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

#endif
