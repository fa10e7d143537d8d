/* SPDX-License-Identifier: MIT */
#include "exhaustive.h"

/* Up to this length, the bytes are also compared with the reference's, and buffers that are too small are tried. */
#define THOROUGH_MAX 5

#define SYMBOL(text)                                                                                         \
    {                                                                                                        \
        text, sizeof(text) - 1                                                                               \
    }

/*
 * The symbols that section 9.2.6 of the standard distinguishes in a line, each as UTF-8: line ends (CR LF is one);
 * NUL, which an id must not contain; a space, of which the client removes one; a colon, which ends a name and
 * begins a comment; a letter; a digit, for reconnection times; the byte order mark, which a client removes at the
 * beginning of a stream. Also symbols that some readers mistake for a line end or white space: VT, U+2028; and
 * characters of two and four bytes.
 */
static const struct sse_text of_lines[SYMBOLS] = {
    SYMBOL("\n"),       SYMBOL("\r"),
    SYMBOL("\0"),       SYMBOL(" "),
    SYMBOL(":"),        SYMBOL("a"),
    SYMBOL("0"),        SYMBOL("\xef\xbb\xbf"),
    SYMBOL("\v"),       SYMBOL("\xe2\x80\xa8"),
    SYMBOL("\xc3\xa9"), SYMBOL("\xf0\x9f\x98\x80"),
};

/* An id is sent back in a header. TAB stands for the control bytes, which are refused like DEL. */
static const struct sse_text of_ids[SYMBOLS] = {
    SYMBOL("\n"), SYMBOL("\r"),   SYMBOL("\0"),       SYMBOL(" "),
    SYMBOL(":"),  SYMBOL("a"),    SYMBOL("0"),        SYMBOL("\xef\xbb\xbf"),
    SYMBOL("\t"), SYMBOL("\x7f"), SYMBOL("\xc3\xa9"), SYMBOL("\xf0\x9f\x98\x80"),
};

/* The bytes that UTF-8 distinguishes. The texts above contain them only in complete characters: lead bytes of two,
 * three and four; ED, after which BB would make a surrogate; continuation bytes, which make a byte order mark with
 * EF. */
static const struct sse_text of_bytes[SYMBOLS] = {
    SYMBOL("\n"),   SYMBOL("\r"),   SYMBOL("\0"),   SYMBOL(" "),    SYMBOL(":"),    SYMBOL("a"),
    SYMBOL("\xef"), SYMBOL("\xbb"), SYMBOL("\xbf"), SYMBOL("\xc3"), SYMBOL("\xed"), SYMBOL("\xf0"),
};

/** The texts of one field. */
struct strings {
    const char *name;
    const struct sse_text *symbols;
    size_t length_max;
    size_t field;           /* its place in the event */
    struct sse_event event; /* the text around it */
};

/** All texts of one length, one after the other. */
struct walk {
    const struct strings *strings;
    struct share share;
    size_t length;
    char text[4 * LENGTH_MAX];
    struct sse_event event;
    uint64_t number;
    struct tally tally;
};

static void visit(struct walk *walk, size_t size)
{
    struct sse_text *field = (struct sse_text *)(void *)((char *)&walk->event + walk->strings->field);

    if (walk->number++ % walk->share.parts != walk->share.part)
        return;
    *field = (struct sse_text){.ptr = walk->text, .len = size};
    if (walk->event.trusted_utf8)
        check_bytes(&walk->event, &walk->tally);
    else if (walk->length <= THOROUGH_MAX)
        check_event(&walk->event, &walk->tally);
    else
        check_event_quickly(&walk->event, &walk->tally);
}

/* `size` bytes are filled in, and `left` symbols are missing. */
static void extend(struct walk *walk, size_t size, size_t left)
{
    if (!left) {
        visit(walk, size);
        return;
    }
    for (size_t i = 0; i < SYMBOLS; i++) {
        struct sse_text symbol = walk->strings->symbols[i];

        memcpy(walk->text + size, symbol.ptr, symbol.len);
        extend(walk, size + symbol.len, left - 1);
    }
}

static void run_field(const struct strings *strings, struct share share)
{
    struct walk walk = {.strings = strings, .share = share, .event = strings->event};

    for (; walk.length <= strings->length_max; walk.length++)
        extend(&walk, 0, walk.length);
    tell(strings->name, walk.tally);
}

void run_strings(struct share share)
{
    const struct sse_event alone = {.retry_ms = 0}, trusted = {.trusted_utf8 = true};
    const struct sse_event with_data = {.data = sse_str("z")};
    const size_t data = offsetof(struct sse_event, data), id = offsetof(struct sse_event, id);
    const size_t type = offsetof(struct sse_event, type), comment = offsetof(struct sse_event, comment);
    const struct strings all[] = {
        {"data, 7 symbols", of_lines, 7, data, alone},
        {"comment, 7 symbols", of_lines, 7, comment, with_data},
        {"type, 7 symbols", of_lines, 7, type, with_data},
        {"id, 7 symbols", of_ids, 7, id, with_data},
        {"id without data, 6 symbols", of_ids, 6, id, alone},
        {"data, 7 bytes", of_bytes, 7, data, alone},
        {"comment, 6 bytes", of_bytes, 6, comment, with_data},
        {"type, 6 bytes", of_bytes, 6, type, with_data},
        {"id, 6 bytes", of_bytes, 6, id, with_data},
        {"data, 6 bytes, trusted", of_bytes, 6, data, trusted},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        run_field(&all[i], share);
}
