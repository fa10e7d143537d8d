/* SPDX-License-Identifier: MIT */
#include "wire/id.h"
#include "wire/words.h"

bool sse_id_is_plain(struct sse_text id)
{
    return sse_words_within(id, ' ' + 1, '~');
}

bool sse_id_is_valid(const unsigned char *bytes, size_t length)
{
    if (length == 0)
        return true;
    if (bytes[0] == ' ' || bytes[length - 1] == ' ')
        return false;
    for (size_t i = 0; i < length; i++)
        if (bytes[i] < 0x20 || bytes[i] == 0x7f)
            return false;
    return true;
}
