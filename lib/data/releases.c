/* SPDX-License-Identifier: MIT */
#include "data/releases.h"

static void release_place(const struct release *place)
{
    if (place->message)
        sse_message_release_many(place->message, place->count);
}

/* The place after the last. With all places in use a search is not worth it. */
static struct release *give_up_one(struct releases *releases)
{
    struct release *place = releases->last + 1 < releases->end ? releases->last + 1 : releases->places;

    release_place(place);
    return place;
}

struct release *sse_releases_place(struct releases *releases, struct sse_message *message)
{
    struct release *place = releases->places, *limit = releases->places + RELEASES_MAX;

    if (releases->end == limit) {
        place = give_up_one(releases);
    } else if (place->message) {
        while (place < releases->end && place->message != message)
            place++;
        if (place < releases->end)
            return place;
        releases->end++;
    }
    *place = (struct release){.message = message};
    return place;
}

void sse_releases_finish(struct releases *releases)
{
    for (const struct release *place = releases->places; place < releases->end; place++)
        release_place(place);
    sse_releases_begin(releases);
}
