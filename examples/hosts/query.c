/* SPDX-License-Identifier: MIT */
#include "query.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* A NUL could not be told from the end. */
static bool decode_byte(const char **text, char *byte)
{
    const char *at = *text;
    char digits[3] = "";

    if (*at != '%') {
        *byte = *at == '+' ? ' ' : *at;
        *text = at + 1;
        return true;
    }
    if (!isxdigit((unsigned char)at[1]) || !isxdigit((unsigned char)at[2]))
        return false;
    memcpy(digits, at + 1, 2);
    *byte = (char)strtol(digits, NULL, 16);
    *text = at + 3;
    return *byte;
}

const char *query_topic(const char *query, char topic[SSE_TOPIC_SIZE_MAX + 1])
{
    static const char name[] = "topic=";
    size_t size = 0;

    while (query && strncmp(query, name, sizeof(name) - 1)) {
        query = strchr(query, '&');
        if (query)
            query++;
    }
    if (!query)
        return NULL;
    query += sizeof(name) - 1;
    while (*query && *query != '&' && *query != '#')
        if (size == SSE_TOPIC_SIZE_MAX || !decode_byte(&query, &topic[size++]))
            return NULL;
    topic[size] = '\0';
    return topic;
}
