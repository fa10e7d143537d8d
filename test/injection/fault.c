/* SPDX-License-Identifier: MIT */
#include "fault.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* More signals than the library tolerates in one call. */
#define BURST 40

static struct fault last;
static struct fake_platform *platform;
static bool armed;
static int times;

static const char *const names[FAULTY_COUNT] = {
    [FAULTY_SEND] = "send",
    [FAULTY_SENDMSG] = "sendmsg",
    [FAULTY_RECV] = "recv",
    [FAULTY_WRITEV] = "writev",
    [FAULTY_READ] = "read",
    [FAULTY_WRITE] = "write",
    [FAULTY_POLL] = "poll",
    [FAULTY_FCNTL] = "fcntl",
    [FAULTY_CLOSE] = "close",
    [FAULTY_SHUTDOWN] = "shutdown",
    [FAULTY_FSTAT] = "fstat",
    [FAULTY_OPEN] = "open",
    [FAULTY_GETSOCKOPT] = "getsockopt",
    [FAULTY_SETSOCKOPT] = "setsockopt",
    [FAULTY_PIPE] = "pipe",
    [FAULTY_EVENTFD] = "eventfd",
    [FAULTY_EPOLL_CREATE1] = "epoll_create1",
    [FAULTY_EPOLL_CTL] = "epoll_ctl",
    [FAULTY_EPOLL_WAIT] = "epoll_wait",
    [FAULTY_TIMERFD_CREATE] = "timerfd_create",
    [FAULTY_MUTEX_INIT] = "pthread_mutex_init",
    [FAULTY_COND_INIT] = "pthread_cond_init",
    [FAULTY_CONDATTR_INIT] = "pthread_condattr_init",
};

static int times_of(const struct fault *fault)
{
    if (!fault->for_good)
        return 1;
    return fault->error == EINTR ? BURST : INT_MAX;
}

void fault_arm(const struct fault *fault, struct fake_platform *fake)
{
    last = *fault;
    platform = fake;
    armed = fault->kind != FAULT_NONE;
    faulty_calls_reset();
    times = times_of(fault);
    if (fault->kind == FAULT_ALLOCATION)
        fake_platform_fail_at(fake, fault->nth, fault->for_good);
    if (fault->kind == FAULT_CALL && fault->error < 0)
        faulty_calls_cut(fault->call, (int)fault->nth - 1, times, -fault->error);
    else if (fault->kind == FAULT_CALL)
        faulty_calls_fail(fault->call, (int)fault->nth - 1, times, fault->error);
}

bool fault_has_struck(void)
{
    if (!armed)
        return false;
    if (last.kind == FAULT_ALLOCATION)
        return atomic_load(&platform->attempts) >= last.nth;
    return faulty_calls_left(last.call) != times;
}

bool fault_disarm(void)
{
    bool struck = fault_has_struck();

    armed = false;
    faulty_calls_reset();
    if (platform)
        fake_platform_fail_at(platform, 0, false);
    return struck;
}

bool fault_is_to_come(void)
{
    return armed && (last.for_good || !fault_has_struck());
}

const struct fault *fault_last(void)
{
    return &last;
}

int fault_errno(void)
{
    return last.kind == FAULT_CALL && last.error > 0 ? last.error : 0;
}

const char *fault_call_name(enum faulty_call call)
{
    return names[call];
}

const char *fault_text(void)
{
    static char text[160];
    char how[64] = "fails";

    if (last.kind == FAULT_NONE)
        return "no fault";
    if (last.kind == FAULT_CALL && last.error > 0)
        (void)snprintf(how, sizeof(how), "fails with \"%s\"", strerror(last.error));
    else if (last.kind == FAULT_CALL)
        (void)snprintf(how, sizeof(how), "is cut to %d bytes", -last.error);
    (void)snprintf(text, sizeof(text), "%s no. %zu %s%s%s",
                   last.kind == FAULT_CALL ? names[last.call] : "allocation", last.nth,
                   last.for_good ? "and all after it " : "", how, armed ? "" : " (over)");
    return text;
}
