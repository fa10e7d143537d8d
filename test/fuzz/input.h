/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

/**
 * The bytes that a fuzzer gives, read one after the other. After the last one there are only zeros, so that
 * every input is a valid one, and ends.
 */

#include <sse/base.h>
#include <stdbool.h>

struct fuzz_input {
    const uint8_t *at, *end;
};

/** Copies of texts, each in memory of its own, so that sanitizers see a byte that is read beyond it. */
struct fuzz_texts {
    void **blocks;
    size_t count, capacity;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** Ends the run, so that the fuzzer keeps the input. */
void fuzz_expect(bool holds, const char *format, ...) __attribute__((format(printf, 2, 3)));

uint8_t fuzz_byte(struct fuzz_input *input);
/** From 0 to `bound` - 1, of up to 256 values. */
unsigned fuzz_below(struct fuzz_input *input, unsigned bound);
/** Whether a byte says so, about once in so many times. Never after the end. */
bool fuzz_one_in(struct fuzz_input *input, unsigned times);
/** Some bytes, least significant first. */
uint64_t fuzz_number(struct fuzz_input *input, unsigned bytes);

/** A text: a byte for its length, then its bytes. Lengths from 240 on repeat 16 bytes up to some 4 KiB. */
struct sse_text fuzz_text(struct fuzz_input *input, struct fuzz_texts *texts);
/** All that is left. */
struct sse_text fuzz_rest(struct fuzz_input *input, struct fuzz_texts *texts);
/** A copy of these bytes. */
struct sse_text fuzz_copy(struct fuzz_texts *texts, const void *bytes, size_t size);
/** Memory, all zeros. */
void *fuzz_room(struct fuzz_texts *texts, size_t size);
void fuzz_texts_free(struct fuzz_texts *texts);

bool fuzz_same(struct sse_text left, struct sse_text right);

#endif
