/* SPDX-License-Identifier: MIT */
#include "base/siphash.h"

struct lanes {
    uint64_t a, b, c, d;
};

static uint64_t rotate(uint64_t value, int bits)
{
    return (value << bits) | (value >> (64 - bits));
}

static void round_once(struct lanes *v)
{
    v->a += v->b;
    v->c += v->d;
    v->b = rotate(v->b, 13) ^ v->a;
    v->d = rotate(v->d, 16) ^ v->c;
    v->a = rotate(v->a, 32);
    v->c += v->b;
    v->a += v->d;
    v->b = rotate(v->b, 17) ^ v->c;
    v->d = rotate(v->d, 21) ^ v->a;
    v->c = rotate(v->c, 32);
}

static void absorb(struct lanes *v, uint64_t word)
{
    v->d ^= word;
    round_once(v);
    v->a ^= word;
}

static uint64_t little_endian(const unsigned char *bytes, size_t count)
{
    uint64_t word = 0;

    for (size_t i = 0; i < count; i++)
        word |= (uint64_t)bytes[i] << (8 * i);
    return word;
}

uint64_t sse_siphash(const uint64_t secret[2], const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    struct lanes v = {
        .a = secret[0] ^ UINT64_C(0x736f6d6570736575),
        .b = secret[1] ^ UINT64_C(0x646f72616e646f6d),
        .c = secret[0] ^ UINT64_C(0x6c7967656e657261),
        .d = secret[1] ^ UINT64_C(0x7465646279746573),
    };
    size_t left = size;

    for (; left >= 8; left -= 8, at += 8)
        absorb(&v, little_endian(at, 8));
    absorb(&v, little_endian(at, left) | (uint64_t)(size & 0xff) << 56);
    v.c ^= 0xff;
    for (int i = 0; i < 3; i++)
        round_once(&v);
    return v.a ^ v.b ^ v.c ^ v.d;
}
