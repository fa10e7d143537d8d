/* SPDX-License-Identifier: MIT */
#include "body.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIRST_ROOM 1024

static bool is_chunked(const char *coding)
{
    static const char name[] = "chunked";
    const size_t size = strlen(name);

    return !strncasecmp(coding, name, size) && !coding[size + strspn(coding + size, " \t")];
}

int body_check_framing(const char *length, unsigned count, const char *coding)
{
    if (coding && !length)
        return is_chunked(coding) ? 0 : 501;
    if (coding)
        return 400;
    if (!length)
        return 0;
    if (count > 1 || !*length || length[strspn(length, "0123456789")])
        return 400;
    return strtoull(length, NULL, 10) > BODY_SIZE_MAX ? 413 : 0;
}

static int make_room(struct body *body, atomic_size_t *total, size_t size)
{
    size_t room = body->room ? body->room : FIRST_ROOM, more;
    char *grown;

    while (room < size)
        room *= 2;
    more = room - body->room;
    if (atomic_fetch_add(total, more) + more > BODIES_SIZE_MAX || !(grown = realloc(body->data, room))) {
        atomic_fetch_sub(total, more);
        return 503;
    }
    body->data = grown;
    body->room = room;
    return 0;
}

int body_append(struct body *body, atomic_size_t *total, const void *data, size_t size)
{
    int status = 0;

    if (size > BODY_SIZE_MAX - body->size)
        return 413;
    if (body->size + size > body->room)
        status = make_room(body, total, body->size + size);
    if (status || !size)
        return status;
    memcpy(body->data + body->size, data, size);
    body->size += size;
    return 0;
}

void body_free(struct body *body, atomic_size_t *total)
{
    atomic_fetch_sub(total, body->room);
    free(body->data);
    *body = (struct body){0};
}
