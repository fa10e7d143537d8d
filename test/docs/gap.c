/* SPDX-License-Identifier: MIT */
/* gap PAGE: checks that the page shows the events that tell a client of a gap as the library writes them. */
#include <sse/sse.h>
#include <stdio.h>
#include <string.h>

static char page[65536];

static struct sse_registry *make_registry(void)
{
    const struct sse_registry_options options = {
        .size = sizeof(options),
        .history = {.events = 2},
        .id_prefix = sse_str("5b1c"),
        .gap_type = sse_str("gap"),
    };
    const struct sse_event event = {.data = sse_str("x")};
    struct sse_registry *registry;
    int error = sse_registry_new(&registry, &options);

    for (int number = 1; !error && number <= 0x2b; number++)
        error = sse_registry_publish(registry, sse_str(NULL), &event, NULL);
    return error ? NULL : registry;
}

/* Reads the first event that a client with this id gets, with its lines indented as in a page. */
static int read_event(struct sse_registry *registry, const char *id, char *text)
{
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .registry = registry,
        .last_event_id = sse_str(id),
        .output = SSE_OUTPUT_PULL,
    };
    struct sse_emitter *emitter;
    char bytes[4096];
    ssize_t size;

    if (sse_emitter_new(&emitter, &options, NULL))
        return -1;
    size = sse_emitter_read(emitter, bytes, sizeof(bytes) - 1);
    sse_emitter_close(emitter);
    if (size < 0)
        return -1;
    bytes[size] = '\0';
    text[0] = '\0';
    for (char *line = strstr(bytes, "event:"), *end; line && *line != '\n'; line = end + 1) {
        end = strchr(line, '\n');
        *end = '\0';
        sprintf(text + strlen(text), "    %s\n", line);
    }
    return text[0] ? 0 : -1;
}

static int is_shown(struct sse_registry *registry, const char *id)
{
    char text[4096];

    if (read_event(registry, id, text))
        return 0;
    if (strstr(page, text))
        return 1;
    printf("the page does not show\n%s", text);
    return 0;
}

int main(int argument_count, char **arguments)
{
    struct sse_registry *registry = make_registry();
    FILE *file = argument_count == 2 ? fopen(arguments[1], "r") : NULL;
    int shown = registry && file && fread(page, 1, sizeof(page) - 1, file) > 0;

    /* The first is known, and the second is of a registry before a restart. */
    shown = shown && is_shown(registry, "5b1c-0000000000000007") && is_shown(registry, "9f0e-0000000000000007");
    if (file)
        (void)fclose(file);
    sse_registry_unref(registry);
    return !shown;
}
