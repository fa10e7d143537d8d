/* SPDX-License-Identifier: MIT */
#include "utf8_repair.h"

#include <string.h>

static size_t replace(char *output)
{
    memcpy(output, "\xef\xbf\xbd", 3);
    return 3;
}

static size_t begin_character(struct utf8_repair *repair, unsigned char byte, char *output)
{
    if (byte < 0x80) {
        output[0] = (char)byte;
        return 1;
    }
    if (byte < 0xc2 || byte > 0xf4)
        return replace(output);
    repair->bytes[0] = byte;
    repair->have = 1;
    repair->need = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    /* These bounds keep out overlong forms, surrogates, and what lies above U+10FFFF. */
    repair->lowest = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
    repair->highest = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;
    return 0;
}

size_t utf8_repair_byte(struct utf8_repair *repair, unsigned char byte, char *output)
{
    size_t size;

    if (repair->have == 0)
        return begin_character(repair, byte, output);
    if (byte < repair->lowest || byte > repair->highest) {
        size = utf8_repair_end(repair, output);
        return size + begin_character(repair, byte, output + size);
    }
    repair->bytes[repair->have++] = byte;
    repair->lowest = 0x80;
    repair->highest = 0xbf;
    if (repair->have < repair->need)
        return 0;
    memcpy(output, repair->bytes, repair->have);
    size = repair->have;
    repair->have = 0;
    return size;
}

size_t utf8_repair_end(struct utf8_repair *repair, char *output)
{
    if (repair->have == 0)
        return 0;
    repair->have = 0;
    return replace(output);
}
