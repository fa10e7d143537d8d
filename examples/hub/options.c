/* SPDX-License-Identifier: MIT */
#include "options.h"

#include "ascii.h"

#include <sse/event.h>
#include <sse/http.h>
#include <stdarg.h>
#include <stdio.h>

/* The smallest queue must have room for a small event with its id. */
#define QUEUE_BYTES_MIN 1024
#define QUEUE_BYTES_MAX ((size_t)1 << 30)
#define MILLISECONDS_MAX ((uint64_t)SSE_RETRY_MAX)
#define COUNT_MAX ((size_t)1 << 30)
#define BYTES_MAX (SIZE_MAX >> 1)
#define ORIGIN_SIZE_MAX 512
#define NAME_SIZE_MAX 253

static const char help[] =
    "usage: hub [options]\n"
    "\n"
    "A small server of Server-Sent Events. Open its address in a browser, or:\n"
    "  curl -N http://127.0.0.1:8080/events?topic=a\n"
    "  curl -d hello 'http://127.0.0.1:8080/publish?topic=a'\n"
    "  curl -N http://127.0.0.1:8080/watch                 every event of every topic\n"
    "  curl http://127.0.0.1:8080/topics                   also: /stats, /metrics for Prometheus\n"
    "\n"
    "Times are in milliseconds, sizes in bytes. Defaults are in brackets.\n"
    "\n"
    "  --listen ADDR:PORT   where to listen; port 0 picks one (127.0.0.1:8080)\n"
    "  --stdin              broadcast each line of standard input\n"
    "  --name NAME          a name by which clients reach the hub, beside that of --listen, localhost\n"
    "                       and IP addresses; may be given several times\n"
    "  --cors ORIGIN        let pages of this origin, or of all with '*', use the hub\n"
    "  --token TOKEN        require 'Authorization: Bearer TOKEN' to publish, to complete, and to see\n"
    "                       all topics\n"
    "  --poller POLLER      how to wait for descriptors: epoll, poll, or best (best)\n"
    "\n"
    "Each stream:\n"
    "  --heartbeat MS       send a comment after this much silence; 0 for never (15000)\n"
    "  --lifetime MS        end each stream at this age; 0 for never (0)\n"
    "  --stall MS           end a stream whose client reads nothing for this long; 0 for never (30000)\n"
    "  --retry MS           reconnection time to send to clients; 0 for none (2000)\n"
    "  --queue-bytes N      most bytes queued for one client, 1024 or more (1048576)\n"
    "  --overflow POLICY    what to do when this queue is full (close):\n"
    "                         close        end the stream; its client reconnects for the rest\n"
    "                         drop-newest  drop the newest event\n"
    "                         drop-oldest  drop the oldest events\n"
    "                         coalesce     drop events that a newer one with the same key replaces;\n"
    "                                      give the key as in POST /publish?topic=a&key=price\n"
    "\n"
    "The history, for clients that reconnect with a Last-Event-ID. Events get ids. An event of the type\n"
    "'gap' tells a client that events are lost; one of the type 'replay', how many were sent again:\n"
    "  --history-events N   most events; 0 for no history and no ids (10000)\n"
    "  --history-bytes N    most bytes, with the overhead of each event (16777216)\n"
    "  --history-age MS     discard events of this age; 0 for never (3600000)\n"
    "\n"
    "All streams together. Streams of /watch are counted separately, with the same limits:\n"
    "  --budget N           most bytes queued for all clients; above it, the stream of the slowest\n"
    "                       client ends; 0 for no limit (268435456)\n"
    "  --max-clients N      most streams; 0 for no limit (0)\n"
    "  --max-per-topic N    most streams of one topic; 0 for no limit (0)\n"
    "  --admission POLICY   what to do when there are too many streams (refuse):\n"
    "                         refuse       tell the new client to reconnect later\n"
    "                         newest       end the oldest stream\n"
    "\n"
    "The shutdown, at SIGTERM or SIGINT. A second signal ends the hub at once:\n"
    "  --grace MS           time to write the queued bytes; 0 for none (5000)\n"
    "  --retry-range MIN-MAX\n"
    "                       each client gets a random reconnection time from this range\n"
    "                       (1000-5000)\n"
    "\n"
    "  --help               show this\n";

static bool refuse(const char *format, ...)
{
    va_list arguments;

    fputs("hub: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputs("; see --help\n", stderr);
    return false;
}

static bool read_listen(struct options *options, const char *value)
{
    const char *colon = strrchr(value, ':');
    struct sse_text host;
    uint64_t port;

    if (!colon)
        return refuse("--listen needs ADDR:PORT, not '%s'", value);
    host = (struct sse_text){.ptr = value, .len = (size_t)(colon - value)};
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
        ++host.ptr;
        host.len -= 2;
    } else if (memchr(host.ptr, ':', host.len)) {
        return refuse("--listen needs brackets around an IPv6 address, as in [::1]:8080, not '%s'", value);
    }
    if (host.len == 0 || host.len >= sizeof(options->host))
        return refuse("--listen needs an address before the port, not '%s'", value);
    if (!ascii_to_number(sse_str(colon + 1), 65535, &port))
        return refuse("--listen needs a port from 0 to 65535, not '%s'", colon + 1);
    memcpy(options->host, host.ptr, host.len);
    options->host[host.len] = '\0';
    snprintf(options->port, sizeof(options->port), "%u", (unsigned)port);
    options->names[0] = host;
    return true;
}

static bool read_cors(struct options *options, const char *value)
{
    struct sse_http_options http = {.size = sizeof(http), .cors_origin = sse_str(value)};
    bool one_word = strlen(value) <= ORIGIN_SIZE_MAX && !strpbrk(value, " \t,");

    if (!one_word || (strcmp(value, "*") != 0 && !strstr(value, "://")) || sse_http_head(NULL, 0, &http) < 0)
        return refuse("--cors needs '*' or one origin, as in https://example.org, not '%s'", value);
    options->cors_origin = sse_str(value);
    return true;
}

static bool read_name(struct options *options, const char *value)
{
    if (*value == '\0' || strlen(value) > NAME_SIZE_MAX || strpbrk(value, " \t,/:"))
        return refuse("--name needs a name without a port, as in hub.example.org, not '%s'", value);
    if (options->name_count == OPTIONS_NAMES_MAX)
        return refuse("--name can be given %d times at most", OPTIONS_NAMES_MAX - 1);
    options->names[options->name_count++] = sse_str(value);
    return true;
}

static bool read_token(struct options *options, const char *value)
{
    for (const char *byte = value; *byte; ++byte) {
        if (*byte <= ' ' || *byte > '~')
            return refuse("--token must be visible ASCII characters, because a header carries it");
    }
    if (*value == '\0')
        return refuse("--token must not be empty");
    options->token = sse_str(value);
    return true;
}

/** Returns the index of a word, or -1. */
static int find_word(const char *value, const char *const *words, int count)
{
    for (int i = 0; i < count; ++i) {
        if (strcmp(value, words[i]) == 0)
            return i;
    }
    return -1;
}

static bool read_overflow(struct options *options, const char *value)
{
    static const char *const words[] = {
        [SSE_OVERFLOW_END] = "close",
        [SSE_OVERFLOW_DROP_NEWEST] = "drop-newest",
        [SSE_OVERFLOW_DROP_OLDEST] = "drop-oldest",
        [SSE_OVERFLOW_COALESCE] = "coalesce",
    };
    int word = find_word(value, words, 4);

    if (word < 0)
        return refuse("--overflow needs close, drop-newest, drop-oldest or coalesce, not '%s'", value);
    options->overflow = (enum sse_overflow)word;
    return true;
}

static bool read_admission(struct options *options, const char *value)
{
    static const char *const words[] = {
        [SSE_ADMISSION_REFUSE] = "refuse",
        [SSE_ADMISSION_EVICT_OLDEST] = "newest",
    };
    int word = find_word(value, words, 2);

    if (word < 0)
        return refuse("--admission needs refuse or newest, not '%s'", value);
    options->admission = (enum sse_admission)word;
    return true;
}

static bool read_poller(struct options *options, const char *value)
{
    static const char *const words[] = {
        [SSE_POLLER_BEST] = "best",
        [SSE_POLLER_POLL] = "poll",
        [SSE_POLLER_EPOLL] = "epoll",
    };
    int word = find_word(value, words, 3);

    if (word < 0)
        return refuse("--poller needs best, poll or epoll, not '%s'", value);
    options->poller = (enum sse_poller)word;
    return true;
}

static bool read_retry_range(struct options *options, const char *value)
{
    const char *dash = strchr(value, '-');
    uint64_t minimum, maximum;

    if (!dash ||
        !ascii_to_number((struct sse_text){.ptr = value, .len = (size_t)(dash - value)}, MILLISECONDS_MAX,
                         &minimum) ||
        !ascii_to_number(sse_str(dash + 1), MILLISECONDS_MAX, &maximum) || minimum == 0 || minimum > maximum)
        return refuse("--retry-range needs two whole numbers from 1 to %lld, the smaller one first, as in "
                      "1000-5000, not '%s'",
                      (long long)SSE_RETRY_MAX, value);
    options->retry_min_ms = (int64_t)minimum;
    options->retry_max_ms = (int64_t)maximum;
    return true;
}

/** An option with a value. `read` reads it; without `read` it is a number for one of the other members. */
struct option {
    const char *name;
    bool (*read)(struct options *options, const char *value);
    int64_t *milliseconds;
    size_t *size;
    uint64_t minimum;
    uint64_t maximum;
};

static bool find_option(struct options *options, const char *name, struct option *found)
{
    const struct option all[] = {
        {"--listen", read_listen, NULL, NULL, 0, 0},
        {"--name", read_name, NULL, NULL, 0, 0},
        {"--cors", read_cors, NULL, NULL, 0, 0},
        {"--poller", read_poller, NULL, NULL, 0, 0},
        {"--token", read_token, NULL, NULL, 0, 0},
        {"--overflow", read_overflow, NULL, NULL, 0, 0},
        {"--admission", read_admission, NULL, NULL, 0, 0},
        {"--retry-range", read_retry_range, NULL, NULL, 0, 0},
        {"--heartbeat", NULL, &options->heartbeat_ms, NULL, 0, MILLISECONDS_MAX},
        {"--lifetime", NULL, &options->lifetime_ms, NULL, 0, MILLISECONDS_MAX},
        {"--stall", NULL, &options->stall_ms, NULL, 0, MILLISECONDS_MAX},
        {"--retry", NULL, &options->retry_ms, NULL, 0, MILLISECONDS_MAX},
        {"--grace", NULL, &options->grace_ms, NULL, 0, MILLISECONDS_MAX},
        {"--history-age", NULL, &options->history_age_ms, NULL, 0, MILLISECONDS_MAX},
        {"--queue-bytes", NULL, NULL, &options->queue_bytes, QUEUE_BYTES_MIN, QUEUE_BYTES_MAX},
        {"--history-events", NULL, NULL, &options->history_events, 0, COUNT_MAX},
        {"--history-bytes", NULL, NULL, &options->history_bytes, 1, BYTES_MAX},
        {"--budget", NULL, NULL, &options->budget, 0, BYTES_MAX},
        {"--max-clients", NULL, NULL, &options->clients_max, 0, COUNT_MAX},
        {"--max-per-topic", NULL, NULL, &options->topic_clients_max, 0, COUNT_MAX},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); ++i) {
        if (strcmp(name, all[i].name) == 0) {
            *found = all[i];
            return true;
        }
    }
    return false;
}

static bool read_value(struct options *options, const struct option *option, const char *value)
{
    uint64_t number;

    if (option->read)
        return option->read(options, value);
    if (!ascii_to_number(sse_str(value), option->maximum, &number) || number < option->minimum)
        return refuse("%s needs a whole number from %llu to %llu, not '%s'", option->name,
                      (unsigned long long)option->minimum, (unsigned long long)option->maximum, value);
    if (option->milliseconds)
        *option->milliseconds = (int64_t)number;
    else
        *option->size = (size_t)number;
    return true;
}

/** Splits `--name=value`. Returns the value, or NULL if there is no `=`. */
static const char *split_argument(const char *argument, char *name, size_t size)
{
    const char *equals = strchr(argument, '=');
    size_t length = equals ? (size_t)(equals - argument) : strlen(argument);

    if (length >= size)
        length = size - 1;
    memcpy(name, argument, length);
    name[length] = '\0';
    return equals ? equals + 1 : NULL;
}

static const struct options defaults = {
    .host = "127.0.0.1",
    .port = "8080",
    .names = {{.ptr = "127.0.0.1", .len = 9}},
    .name_count = 1,
    .heartbeat_ms = 15000,
    .stall_ms = 30000,
    .retry_ms = 2000,
    .queue_bytes = (size_t)1 << 20,
    .history_events = 10000,
    .history_bytes = (size_t)16 << 20,
    .history_age_ms = 3600000,
    .budget = (size_t)256 << 20,
    .grace_ms = 5000,
    .retry_min_ms = 1000,
    .retry_max_ms = 5000,
};

enum options_result options_read(struct options *options, int count, char **arguments)
{
    *options = defaults;
    for (int i = 1; i < count; ++i) {
        char name[32];
        struct option option;
        const char *value = split_argument(arguments[i], name, sizeof(name));

        if (!value && strcmp(name, "--help") == 0) {
            fputs(help, stdout);
            return OPTIONS_HELP;
        }
        if (!value && strcmp(name, "--stdin") == 0) {
            options->read_stdin = true;
            continue;
        }
        if (!find_option(options, name, &option)) {
            refuse("'%s' is no option", arguments[i]);
            return OPTIONS_BAD;
        }
        if (!value && i + 1 < count)
            value = arguments[++i];
        if (!value) {
            refuse("%s needs a value", name);
            return OPTIONS_BAD;
        }
        if (!read_value(options, &option, value))
            return OPTIONS_BAD;
    }
    return OPTIONS_RUN;
}
