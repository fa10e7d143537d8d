/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include <stdlib.h>

/** In front of each block. Its size keeps the block correctly aligned. */
union header {
    size_t size;
    max_align_t alignment;
};

static void *allocate(size_t size, void *user)
{
    struct memory *memory = user;
    union header *header = size > SIZE_MAX - sizeof(*header) ? NULL : malloc(sizeof(*header) + size);

    if (!header)
        return NULL;
    header->size = size;
    memory->bytes += size;
    ++memory->blocks;
    return header + 1;
}

static void deallocate(void *block, void *user)
{
    struct memory *memory = user;
    union header *header = (union header *)block - 1;

    memory->bytes -= header->size;
    --memory->blocks;
    free(header);
}

void memory_begin(struct memory *memory)
{
    *memory = (struct memory){
        .platform =
            {
                .size = sizeof(memory->platform),
                .allocate = allocate,
                .deallocate = deallocate,
                .user = memory,
            },
    };
}
