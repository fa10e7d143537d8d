/* SPDX-License-Identifier: MIT */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

/** Options of any version, by the rule in <sse/base.h>. Inline, because the wire layer imports no function.
 */

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/** No struct of options grows to more than this. A size above it was never set. */
#define OPTIONS_SIZE_MAX 4096

/** The size of a struct that ends with `last`: what the oldest version that is accepted had. It stays when the
 * struct grows. New members do not begin in the padding behind `last`, which older programs do not clear. */
#define OPTIONS_SIZE_TO(type, last) (offsetof(type, last) + sizeof(((const type *)NULL)->last))

/**
 * Copies options of any size: false if `given` is below `oldest`, or a byte beyond `known` is not zero.
 * Members that a smaller struct lacks become zero. `to` is unchanged if the result is false.
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
