/* SPDX-License-Identifier: MIT */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

/** Options of any version: see <sse/base.h>. The function is inline, because the wire layer imports none. */

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/** No struct of options will be larger. A size above it is a mistake, such as memory that was never set. */
#define OPTIONS_SIZE_MAX 4096

/** The size of a struct that ends with `last`, as the oldest accepted version had it. It must not change when the
 * struct grows. A new member must not begin in the padding behind `last`, which older programs do not clear. */
#define OPTIONS_SIZE_TO(type, last) (offsetof(type, last) + sizeof(((const type *)NULL)->last))

/**
 * Copies options of any size. Members that a smaller struct lacks become zero. Returns false, with `to` unchanged,
 * if `given` is below `oldest`, or a byte beyond `known` is not zero.
 */
static inline bool sse_options_copy(void *to, size_t known, const void *from, size_t given, size_t oldest)
{
    const unsigned char *bytes = (const unsigned char *)from;

    if (given < oldest || given > OPTIONS_SIZE_MAX)
        return false;
    for (size_t i = known; i < given; i++)
        if (bytes[i])
            return false;
    if (given < known)
        memset((unsigned char *)to + given, 0, known - given);
    memcpy(to, from, given < known ? given : known);
    return true;
}

#endif
