/* SPDX-License-Identifier: MIT */
#include "signals.h"

#include "descriptor.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static const int numbers[] = {SIGTERM, SIGINT};

/* Global, because a signal handler gets no argument. */
static volatile sig_atomic_t write_end = -1;

static void on_signal(int number)
{
    int saved = errno;
    ssize_t written = write((int)write_end, "", 1);

    /* If the pipe is full, it is readable anyway. */
    (void)written;
    (void)number;
    errno = saved;
}

static int handle(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};

    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); ++i) {
        if (sigaction(numbers[i], &action, NULL) < 0)
            return -errno;
    }
    return 0;
}

/* A disconnected client or a closed standard output makes the write return an error. */
static int ignore_broken_pipes(void)
{
    struct sigaction action = {.sa_handler = SIG_IGN};

    sigemptyset(&action.sa_mask);
    return sigaction(SIGPIPE, &action, NULL) < 0 ? -errno : 0;
}

int signals_begin(struct signals *signals)
{
    int fds[2];
    int error;

    if (pipe(fds) < 0)
        return -errno;
    error = descriptor_prepare(fds[0]);
    if (error == 0)
        error = descriptor_prepare(fds[1]);
    signals->fd = fds[0];
    write_end = fds[1];
    if (error == 0)
        error = handle(on_signal);
    if (error == 0)
        error = ignore_broken_pipes();
    if (error < 0)
        signals_end(signals);
    return error;
}

int signals_take(struct signals *signals)
{
    char bytes[16];
    ssize_t size = read(signals->fd, bytes, sizeof(bytes));

    return size > 0 ? (int)size : 0;
}

void signals_end(struct signals *signals)
{
    /* Another signal must not stop the hub before it has printed how it ended. */
    handle(SIG_IGN);
    close((int)write_end);
    close(signals->fd);
    write_end = -1;
}
