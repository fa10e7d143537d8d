/* SPDX-License-Identifier: MIT */
/*
 * The functions that the compiler calls at each memory access with -fsanitize=thread. They replace the sanitizer's
 * runtime. Only one thread runs at a time, so the atomics need not be atomic here.
 */
#include "atomics.h"
#include "memory.h"
#include "scheduler.h"

#include <string.h>

void __tsan_init(void)
{
}

void __tsan_func_entry(void *code)
{
    (void)code;
}

void __tsan_func_exit(void)
{
}

void __tsan_read_range(void *address, size_t size)
{
    memory_access(address, size, false, CALLER);
}

void __tsan_write_range(void *address, size_t size)
{
    memory_access(address, size, true, CALLER);
}

/* clang calls these instead of the functions with the same names. */
void *__tsan_memcpy(void *to, const void *from, size_t size)
{
    memory_access(from, size, false, CALLER);
    memory_access(to, size, true, CALLER);
    return memcpy(to, from, size);
}

void *__tsan_memmove(void *to, const void *from, size_t size)
{
    memory_access(from, size, false, CALLER);
    memory_access(to, size, true, CALLER);
    return memmove(to, from, size);
}

void *__tsan_memset(void *to, int byte, size_t size)
{
    memory_access(to, size, true, CALLER);
    return memset(to, byte, size);
}

#define ACCESS(name, size, writes)                                                                           \
    void __tsan_##name##size(void *address)                                                                  \
    {                                                                                                        \
        memory_access(address, size, writes, CALLER);                                                        \
    }

#define ACCESSES(size)                                                                                       \
    ACCESS(read, size, false)                                                                                \
    ACCESS(write, size, true)                                                                                \
    ACCESS(unaligned_read, size, false)                                                                      \
    ACCESS(unaligned_write, size, true)

ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)

#define LOAD(bits)                                                                                           \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *at, int order)                  \
    {                                                                                                        \
        atomics_read("load", at, order, CALLER);                                                             \
        return *at;                                                                                          \
    }

#define STORE(bits)                                                                                          \
    void __tsan_atomic##bits##_store(volatile uint##bits##_t *at, uint##bits##_t value, int order)           \
    {                                                                                                        \
        atomics_write("store", at, order, CALLER);                                                           \
        *at = value;                                                                                         \
    }

#define ADD(bits)                                                                                            \
    uint##bits##_t __tsan_atomic##bits##_fetch_add(volatile uint##bits##_t *at, uint##bits##_t value,        \
                                                   int order)                                                \
    {                                                                                                        \
        uint##bits##_t before;                                                                               \
                                                                                                             \
        atomics_add(at, order, CALLER);                                                                      \
        before = *at;                                                                                        \
        *at = (uint##bits##_t)(before + value);                                                              \
        return before;                                                                                       \
    }

#define CHANGE(name, bits, result)                                                                           \
    uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t *at, uint##bits##_t value,           \
                                                int order)                                                   \
    {                                                                                                        \
        uint##bits##_t before;                                                                               \
                                                                                                             \
        atomics_change(#name, at, order, CALLER);                                                            \
        before = *at;                                                                                        \
        *at = (uint##bits##_t)(result);                                                                      \
        return before;                                                                                       \
    }

/* gcc calls the first two, clang the third. */
#define COMPARE(name, bits)                                                                                  \
    int __tsan_atomic##bits##_##name(volatile uint##bits##_t *at, uint##bits##_t *expected,                  \
                                     uint##bits##_t value, int order, int order_if_not)                      \
    {                                                                                                        \
        uint##bits##_t wanted = *expected;                                                                   \
                                                                                                             \
        (void)order_if_not;                                                                                  \
        atomics_change(#name, at, order, CALLER);                                                            \
        *expected = *at;                                                                                     \
        if (*at == wanted)                                                                                   \
            *at = value;                                                                                     \
        return *expected == wanted;                                                                          \
    }

#define COMPARE_VALUE(bits)                                                                                  \
    uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(volatile uint##bits##_t *at,                   \
                                                              uint##bits##_t wanted, uint##bits##_t value,   \
                                                              int order, int order_if_not)                   \
    {                                                                                                        \
        uint##bits##_t before;                                                                               \
                                                                                                             \
        (void)order_if_not;                                                                                  \
        atomics_change("compare_exchange", at, order, CALLER);                                               \
        before = *at;                                                                                        \
        if (before == wanted)                                                                                \
            *at = value;                                                                                     \
        return before;                                                                                       \
    }

#define ATOMICS(bits)                                                                                        \
    LOAD(bits)                                                                                               \
    STORE(bits)                                                                                              \
    CHANGE(exchange, bits, value)                                                                            \
    ADD(bits)                                                                                                \
    CHANGE(fetch_sub, bits, before - value)                                                                  \
    CHANGE(fetch_or, bits, before | value)                                                                   \
    CHANGE(fetch_and, bits, before &value)                                                                   \
    CHANGE(fetch_xor, bits, before ^ value)                                                                  \
    COMPARE(compare_exchange_strong, bits)                                                                   \
    COMPARE(compare_exchange_weak, bits)                                                                     \
    COMPARE_VALUE(bits)

ATOMICS(8)
ATOMICS(16)
ATOMICS(32)
ATOMICS(64)

/* A fence passes everything on to nobody in particular, so only the running thread is concerned. */
void __tsan_atomic_thread_fence(int order)
{
    (void)order;
}
