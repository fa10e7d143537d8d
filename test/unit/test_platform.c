/* SPDX-License-Identifier: MIT */
/* Random bits where the program supplies none: read from the system, or made of values that differ between calls
 * and between processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/platform.h"
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DESCRIPTOR 77
#define SYSTEM_BITS UINT64_C(0x0123456789abcdef)

/* Replacements for calls of the system. */
static struct {
    int interruptions; /* of each call */
    int open_error;
    ssize_t size; /* that a read returns; -1: an error */
    int opened;
    int closed;
    int interrupted;
    time_t seconds; /* of the clock, which does not move; 0: the system's clock */
} scene;

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
ssize_t __real_read(int fd, void *bytes, size_t size);
ssize_t __wrap_read(int fd, void *bytes, size_t size);
int __real_close(int fd);
int __wrap_close(int fd);
int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);

static bool is_interrupted(void)
{
    if (scene.interrupted == scene.interruptions) {
        scene.interrupted = 0;
        return false;
    }
    scene.interrupted++;
    errno = EINTR;
    return true;
}

static int open_random(int flags)
{
    assert_int_equal(flags, O_RDONLY | O_CLOEXEC);
    if (is_interrupted())
        return -1;
    errno = scene.open_error;
    if (scene.open_error)
        return -1;
    scene.opened++;
    return DESCRIPTOR;
}

/* The code that writes a coverage report at the end opens other files. */
static int open_file(const char *path, int flags, va_list arguments)
{
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;

    return strcmp(path, "/dev/urandom") ? __real_open(path, flags, mode) : open_random(flags);
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list arguments;
    int fd;

    va_start(arguments, flags);
    fd = open_file(path, flags, arguments);
    va_end(arguments);
    return fd;
}

int __wrap_open64(const char *path, int flags, ...)
{
    va_list arguments;
    int fd;

    va_start(arguments, flags);
    fd = open_file(path, flags, arguments);
    va_end(arguments);
    return fd;
}

ssize_t __wrap_read(int fd, void *bytes, size_t size)
{
    const uint64_t bits = SYSTEM_BITS;

    if (fd != DESCRIPTOR)
        return __real_read(fd, bytes, size);
    assert_int_equal(size, sizeof(bits));
    if (is_interrupted())
        return -1;
    errno = EIO;
    if (scene.size > 0)
        memcpy(bytes, &bits, (size_t)scene.size);
    return scene.size;
}

int __wrap_close(int fd)
{
    if (fd != DESCRIPTOR)
        return __real_close(fd);
    scene.closed++;
    return 0;
}

/* Where cmocka is linked statically, its own clock comes here too. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
    if (!scene.seconds || clock != CLOCK_MONOTONIC)
        return __real_clock_gettime(clock, time);
    *time = (struct timespec){.tv_sec = scene.seconds};
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof(scene));
    scene.size = sizeof(uint64_t);
    return 0;
}

static uint64_t secret(void)
{
    uint64_t bits = sse_platform_secret(NULL);

    assert_int_equal(scene.opened, scene.closed);
    return bits;
}

static void the_secret_comes_from_the_system(void **state)
{
    (void)state;
    assert_int_equal(secret(), SYSTEM_BITS);
    assert_int_equal(scene.opened, 1);
}

static void interrupted_calls_are_made_again(void **state)
{
    (void)state;
    scene.interruptions = 5;
    assert_int_equal(secret(), SYSTEM_BITS);
    assert_int_equal(scene.opened, 1);
}

static int results[2];

static void tell_the_secret(int argument)
{
    const uint64_t bits = secret();

    (void)argument;
    CHILD_EXPECT(write(results[1], &bits, sizeof(bits)) == (ssize_t)sizeof(bits));
}

/* At the same time and the same address, two processes have different secrets. */
static void check_processes(void)
{
    uint64_t bits[2];

    scene.seconds = 1000;
    assert_int_equal(pipe(results), 0);
    for (int i = 0; i < 2; i++)
        in_child(tell_the_secret, i);
    assert_int_equal(read(results[0], bits, sizeof(bits)), sizeof(bits));
    assert_int_not_equal(bits[0], bits[1]);
    close(results[0]);
    close(results[1]);
}

/* A weak secret is better than none. But it must not be constant, and must not be a partial read. */
static void without_random_bits_of_the_system_secrets_still_differ(void **state)
{
    static const struct {
        int open_error;
        ssize_t size;
    } failures[] = {{EMFILE, 0}, {ENOENT, 0}, {0, -1}, {0, 0}, {0, 7}};

    (void)state;
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        uint64_t before = 0;

        scene.open_error = failures[i].open_error;
        scene.size = failures[i].size;
        for (scene.seconds = 1; scene.seconds < 100; scene.seconds++) {
            uint64_t bits = secret();

            assert_int_not_equal(bits, before);
            assert_int_not_equal(bits >> 32, before >> 32);
            assert_int_not_equal(bits, SYSTEM_BITS);
            before = bits;
        }
        check_processes();
    }
}

/* Nobody can set this clock. Fault 46. */
static void the_clock_is_monotonic(void **state)
{
    (void)state;
    scene.seconds = 77;
    assert_int_equal(sse_platform_now(NULL), UINT64_C(77000000000));
}

static uint64_t random_of_program(void *user)
{
    return *(uint64_t *)user;
}

static void random_bits_of_the_program_are_not_changed(void **state)
{
    uint64_t bits = 42;
    const struct sse_platform platform = {
        .size = sizeof(platform), .random = random_of_program, .user = &bits};

    (void)state;
    assert_int_equal(sse_platform_secret(&platform), 42);
    assert_int_equal(sse_platform_jitter(&platform, 7), 42);
    assert_int_equal(scene.opened, 0);
}

/* Emitters get different jitter without a system call. */
static void jitter_differs_by_its_salt(void **state)
{
    uint64_t before = 0;

    (void)state;
    for (uint64_t salt = 0; salt < 1000; salt++) {
        uint64_t bits = sse_platform_jitter(NULL, salt);

        assert_int_equal(bits, sse_platform_jitter(NULL, salt));
        assert_int_not_equal(bits >> 32, before >> 32);
        before = bits;
    }
    assert_int_equal(scene.opened, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_secret_comes_from_the_system, set_up),
        cmocka_unit_test_setup(interrupted_calls_are_made_again, set_up),
        cmocka_unit_test_setup(without_random_bits_of_the_system_secrets_still_differ, set_up),
        cmocka_unit_test_setup(the_clock_is_monotonic, set_up),
        cmocka_unit_test_setup(random_bits_of_the_program_are_not_changed, set_up),
        cmocka_unit_test_setup(jitter_differs_by_its_salt, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
