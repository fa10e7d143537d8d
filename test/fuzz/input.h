/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

/**
 * Reads the bytes of a fuzzer one after the other. After the last one there are only zeros, so that every input is
 * valid, and ends.
 */

#include <sse/base.h>
#include <stdbool.h>

struct fuzz_input {
    const uint8_t *at, *end;
};

/** Copies of texts, each in its own block, so that sanitizers notice a read past its end. */
struct fuzz_texts {
    void **blocks;
    size_t count, capacity;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** Ends the run as a failure, so that the fuzzer keeps the input. */
void fuzz_expect(bool holds, const char *format, ...) __attribute__((format(printf, 2, 3)));

uint8_t fuzz_byte(struct fuzz_input *input);
/** Returns a number from 0 to `bound` - 1. At most 256 values. */
unsigned fuzz_below(struct fuzz_input *input, unsigned bound);
/** Returns true about once in this many times. Never after the end. */
bool fuzz_one_in(struct fuzz_input *input, unsigned times);
/** Some bytes, least significant first. */
uint64_t fuzz_number(struct fuzz_input *input, unsigned bytes);

/** Reads a text: a byte for its length, then its bytes. Lengths from 240 on repeat 16 bytes up to about 4 KiB. */
struct sse_text fuzz_text(struct fuzz_input *input, struct fuzz_texts *texts);
/** Reads all that is left. */
struct sse_text fuzz_rest(struct fuzz_input *input, struct fuzz_texts *texts);
/** A copy of these bytes. */
struct sse_text fuzz_copy(struct fuzz_texts *texts, const void *bytes, size_t size);
/** Allocates memory, all zeros. */
void *fuzz_room(struct fuzz_texts *texts, size_t size);
void fuzz_texts_free(struct fuzz_texts *texts);

bool fuzz_same(struct sse_text left, struct sse_text right);

#endif
