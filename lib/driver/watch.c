/* SPDX-License-Identifier: MIT */
#include "driver/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* How much one client may send before the others have their turn. */
#define READS_MAX 16
#define READ_SIZE 4096

int sse_watch_init(struct watch *watch, struct sse_emitter *emitter, int *flags)
{
    int fd = sse_emitter_fd(emitter);
    struct stat status;

    if (fd < 0)
        return fd;
    if (fstat(fd, &status))
        return -errno;
    *flags = fcntl(fd, F_GETFL);
    *watch = (struct watch){.emitter = emitter,
                            .socket = S_ISSOCK(status.st_mode),
                            .device = status.st_dev,
                            .inode = status.st_ino};
    watch->item = (struct poller_item){.descriptor = fd, .interest = watch->socket ? POLLER_INPUT : 0};
    if (watch->socket && fcntl(fd, F_SETFL, *flags | O_NONBLOCK))
        return -errno;
    return 0;
}

void sse_watch_give_back(const struct watch *watch, int flags)
{
    if (watch->socket)
        (void)fcntl(watch->item.descriptor, F_SETFL, flags);
}

static void set_interest(struct watch *watch, unsigned interest, struct poller *poller)
{
    if (interest != watch->item.interest)
        poller->change(poller, &watch->item, interest);
}

static void write_output(struct watch *watch, struct poller *poller)
{
    unsigned interest = watch->item.interest & ~(unsigned)POLLER_OUTPUT;

    if (sse_emitter_flush(watch->emitter) == 1)
        interest |= POLLER_OUTPUT;
    set_interest(watch, interest, poller);
}

/* Has it left, or closed its sending side alone? Who has left answers the next bytes with a reset.
 * A comment is such bytes, unless others are on their way already. */
static void probe(struct sse_emitter *emitter)
{
    const struct sse_event comment = {.comment = {.ptr = "", .len = 0}};
    struct sse_emitter_info info = {.size = sizeof(info)};

    if (!sse_emitter_info(emitter, &info) && !info.queued_bytes)
        (void)sse_emitter_send(emitter, &comment);
}

static ssize_t discard(const struct watch *watch)
{
    char bytes[READ_SIZE];
    ssize_t size;

    do
        size = recv(watch->item.descriptor, bytes, sizeof(bytes), 0);
    while (size < 0 && errno == EINTR);
    return size;
}

static void end(struct watch *watch, int error)
{
    (void)sse_emitter_complete_with_error(watch->emitter, error);
}

static void read_input(struct watch *watch, struct poller *poller)
{
    ssize_t size = 1;

    watch->unread = false;
    if (!(watch->item.interest & POLLER_INPUT))
        return;
    for (int i = 0; i < READS_MAX && size > 0; i++)
        size = discard(watch);
    if (size > 0) {
        watch->unread = true;
    } else if (!size) {
        set_interest(watch, watch->item.interest & ~(unsigned)POLLER_INPUT, poller);
        probe(watch->emitter);
    } else if (errno != EAGAIN && errno != EWOULDBLOCK) {
        end(watch, -ECONNRESET);
    }
}

static bool is_alive(struct sse_emitter *emitter)
{
    struct sse_emitter_info info = {.size = sizeof(info)};

    return !sse_emitter_info(emitter, &info) && info.state != SSE_STATE_CLOSED;
}

bool sse_watch_serve(struct watch *watch, unsigned happened, struct poller *poller)
{
    if (happened & POLLER_INVALID) {
        watch->invalid = true;
        end(watch, -EBADF);
    } else if (happened & POLLER_ERROR) {
        end(watch, -ECONNRESET);
    } else {
        if (happened & POLLER_OUTPUT)
            write_output(watch, poller);
        if (happened & POLLER_INPUT)
            read_input(watch, poller);
    }
    return is_alive(watch->emitter);
}

/* The number may be another's by now, which epoll does not tell. */
static bool is_ours(const struct watch *watch)
{
    struct stat status;

    return !watch->invalid && !fstat(watch->item.descriptor, &status) && status.st_dev == watch->device &&
           status.st_ino == watch->inode;
}

void sse_watch_close(const struct watch *watch, bool alone)
{
    if (!is_ours(watch))
        return;
    /* Closing on unread bytes would reset the connection, and the client lose what it has not read. */
    for (int i = 0; alone && watch->socket && i < READS_MAX && discard(watch) > 0; i++)
        ;
    close(watch->item.descriptor);
}
