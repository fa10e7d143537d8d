/* SPDX-License-Identifier: MIT */
#include "connection/last_id.h"
#include "base/platform.h"

/* The sizes of blocks are multiples of this, so that an id that counts up seldom needs a new block. */
#define TEXT_BLOCK 16

/* The values of `form`. For a short id, `form` is FORM_SHORT plus its size. */
enum form { FORM_ABSENT, FORM_TEXT, FORM_MESSAGE, FORM_SHORT };

/* The size in a block that is reserved and has no id yet. */
#define SIZE_OF_NONE UINT32_MAX

/** An id that is not short. */
struct id_text {
    uint32_t size;
    uint32_t capacity;
    char bytes[];
};

/* The pointer to a text, or to a message to which there is a reference. */
static void *pointer_in(const struct last_id *id)
{
    void *pointer;

    memcpy(&pointer, id->bytes, sizeof(pointer));
    return pointer;
}

static void set_pointer(struct last_id *id, enum form form, void *pointer)
{
    memcpy(id->bytes, &pointer, sizeof(pointer));
    id->form = (unsigned char)form;
}

static void copy_into(struct id_text *text, struct sse_text bytes)
{
    memcpy(text->bytes, bytes.ptr, bytes.len);
    text->size = (uint32_t)bytes.len;
}

static struct id_text *new_text(size_t size, const struct sse_platform *platform)
{
    size_t block = (sizeof(struct id_text) + size + TEXT_BLOCK - 1) / TEXT_BLOCK * TEXT_BLOCK;
    struct id_text *text = sse_platform_allocate(platform, block);

    if (text)
        *text = (struct id_text){.size = SIZE_OF_NONE, .capacity = (uint32_t)(block - sizeof(*text))};
    return text;
}

/* The block, if there is one and it is large enough; otherwise NULL. */
static struct id_text *text_for(const struct last_id *id, size_t size)
{
    struct id_text *text = id->form == FORM_TEXT ? pointer_in(id) : NULL;

    return text && size <= text->capacity ? text : NULL;
}

struct sse_text sse_last_id_get(const struct last_id *id)
{
    const struct id_text *text;

    if (id->form >= FORM_SHORT)
        return (struct sse_text){.ptr = id->bytes, .len = (size_t)id->form - FORM_SHORT};
    if (id->form == FORM_MESSAGE)
        return sse_message_id(pointer_in(id));
    text = id->form == FORM_TEXT ? pointer_in(id) : NULL;
    if (!text || text->size == SIZE_OF_NONE)
        return (struct sse_text){.ptr = NULL};
    return (struct sse_text){.ptr = text->bytes, .len = text->size};
}

void sse_last_id_free(struct last_id *id, const struct sse_platform *platform)
{
    if (id->form == FORM_TEXT)
        sse_platform_deallocate(platform, pointer_in(id));
    if (id->form == FORM_MESSAGE)
        sse_message_unref(pointer_in(id));
    id->form = FORM_ABSENT;
}

/* Makes a new block for this size, and copies the present id to it. */
static bool replace_text(struct last_id *id, size_t size, const struct sse_platform *platform)
{
    struct sse_text present = sse_last_id_get(id);
    struct id_text *text = new_text(size, platform);

    if (!text)
        return false;
    if (present.ptr)
        copy_into(text, present);
    sse_last_id_free(id, platform);
    set_pointer(id, FORM_TEXT, text);
    return true;
}

bool sse_last_id_reserve(struct last_id *id, size_t size, const struct sse_platform *platform)
{
    struct sse_text present = sse_last_id_get(id);

    if (size <= LAST_ID_SHORT_MAX || text_for(id, size))
        return true;
    return replace_text(id, size > present.len ? size : present.len, platform);
}

/* Whether there is a block for this size, or none is needed because the id is short. */
static bool has_block(struct last_id *id, size_t size, const struct sse_platform *platform)
{
    return size <= LAST_ID_SHORT_MAX ? text_for(id, size) != NULL : sse_last_id_reserve(id, size, platform);
}

void sse_last_id_set(struct last_id *id, struct sse_message *message, const struct sse_platform *platform)
{
    struct sse_text bytes = sse_message_id(message);

    if (has_block(id, bytes.len, platform)) {
        copy_into(pointer_in(id), bytes);
        return;
    }
    sse_last_id_free(id, platform);
    if (bytes.len > LAST_ID_SHORT_MAX) {
        set_pointer(id, FORM_MESSAGE, sse_message_ref(message));
        return;
    }
    memcpy(id->bytes, bytes.ptr, bytes.len);
    id->form = (unsigned char)(FORM_SHORT + bytes.len);
}
