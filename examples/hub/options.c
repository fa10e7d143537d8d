/* SPDX-License-Identifier: MIT */
#include "options.h"

#include "ascii.h"

#include <sse/event.h>
#include <sse/http.h>
#include <stdarg.h>
#include <stdio.h>

/* The head of a stream must fit into the queue, with the longest origin that is taken. */
#define QUEUE_BYTES_MIN 1024
#define QUEUE_BYTES_MAX ((size_t)1 << 30)
#define ORIGIN_SIZE_MAX 512

static const char help[] =
    "usage: hub [options]\n"
    "\n"
    "A small server of Server-Sent Events. Open its address in a browser, or:\n"
    "  curl -N http://127.0.0.1:8080/events?topic=a\n"
    "  curl -d hello 'http://127.0.0.1:8080/publish?topic=a'\n"
    "\n"
    "  --listen ADDR:PORT   where to listen; port 0 picks one (127.0.0.1:8080)\n"
    "  --stdin              broadcast each line of standard input\n"
    "  --heartbeat MS       a comment after so long without a byte; 0 for none (15000)\n"
    "  --lifetime MS        end each stream at this age; 0 for never (0)\n"
    "  --stall MS           end a stream whose client takes nothing for so long; 0 for never (30000)\n"
    "  --queue-bytes N      most bytes that wait for one client, 1024 or more (1048576)\n"
    "  --retry MS           reconnection time that clients are told; 0 for none (2000)\n"
    "  --cors ORIGIN        let pages of this origin, or of all with '*', use the hub\n"
    "  --token TOKEN        demand 'Authorization: Bearer TOKEN' to publish and to complete\n"
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

static bool read_number(const char *name, const char *value, uint64_t minimum, uint64_t maximum,
                        uint64_t *number)
{
    if (ascii_to_number(sse_str(value), maximum, number) && *number >= minimum)
        return true;
    return refuse("%s needs a whole number from %llu to %llu, not '%s'", name, (unsigned long long)minimum,
                  (unsigned long long)maximum, value);
}

static bool read_milliseconds(const char *name, const char *value, int64_t *milliseconds)
{
    uint64_t number;

    if (!read_number(name, value, 0, (uint64_t)SSE_RETRY_MAX, &number))
        return false;
    *milliseconds = (int64_t)number;
    return true;
}

/** For timers, where 0 turns off what the library would otherwise have a default for. */
static bool read_timer(const char *name, const char *value, int64_t *timer)
{
    if (!read_milliseconds(name, value, timer))
        return false;
    if (*timer == 0)
        *timer = -1;
    return true;
}

static bool read_listen(struct options *options, const char *value)
{
    const char *colon = strrchr(value, ':');
    struct sse_str host;
    uint64_t port;

    if (!colon)
        return refuse("--listen needs ADDR:PORT, not '%s'", value);
    host = (struct sse_str){.ptr = value, .len = (size_t)(colon - value)};
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

static bool read_token(struct options *options, const char *value)
{
    for (const char *byte = value; *byte; ++byte) {
        if (*byte <= ' ' || *byte > '~')
            return refuse("--token may hold visible ASCII only, or no header could carry it");
    }
    if (*value == '\0')
        return refuse("--token must not be empty");
    options->token = sse_str(value);
    return true;
}

static bool read_option(struct options *options, const char *name, const char *value)
{
    uint64_t number;

    if (strcmp(name, "--listen") == 0)
        return read_listen(options, value);
    if (strcmp(name, "--heartbeat") == 0)
        return read_timer(name, value, &options->heartbeat_ms);
    if (strcmp(name, "--lifetime") == 0)
        return read_timer(name, value, &options->lifetime_ms);
    if (strcmp(name, "--stall") == 0)
        return read_timer(name, value, &options->stall_ms);
    if (strcmp(name, "--retry") == 0)
        return read_milliseconds(name, value, &options->retry_ms);
    if (strcmp(name, "--cors") == 0)
        return read_cors(options, value);
    if (strcmp(name, "--token") == 0)
        return read_token(options, value);
    if (!read_number(name, value, QUEUE_BYTES_MIN, QUEUE_BYTES_MAX, &number))
        return false;
    options->queue_bytes = (size_t)number;
    return true;
}

static bool takes_value(const char *name)
{
    static const char *const names[] = {"--listen", "--heartbeat", "--lifetime", "--stall",
                                        "--retry",  "--cors",      "--token",    "--queue-bytes"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); ++i) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

/** Splits `--name=value`; returns the value, or NULL if there is no `=`. */
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

enum options_result options_read(struct options *options, int count, char **arguments)
{
    *options =
        (struct options){.host = "127.0.0.1", .port = "8080", .retry_ms = 2000, .queue_bytes = 1 << 20};
    for (int i = 1; i < count; ++i) {
        char name[32];
        const char *value = split_argument(arguments[i], name, sizeof(name));

        if (!value && strcmp(name, "--help") == 0) {
            fputs(help, stdout);
            return OPTIONS_HELP;
        }
        if (!value && strcmp(name, "--stdin") == 0) {
            options->read_stdin = true;
            continue;
        }
        if (!takes_value(name)) {
            refuse("'%s' is no option", arguments[i]);
            return OPTIONS_BAD;
        }
        if (!value && i + 1 < count)
            value = arguments[++i];
        if (!value) {
            refuse("%s needs a value", name);
            return OPTIONS_BAD;
        }
        if (!read_option(options, name, value))
            return OPTIONS_BAD;
    }
    return OPTIONS_RUN;
}
