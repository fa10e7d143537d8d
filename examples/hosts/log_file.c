/* SPDX-License-Identifier: MIT */
#include "log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define NAME_BYTES "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
#define NAME_SIZE_MAX 200
#define CHECK_SIZE 64
#define OFFSET_MAX (INTMAX_MAX / 2)

/* A client sends the name, so it must not lead out of the directory or name a hidden file. */
static int make_path(char path[PATH_MAX], const char *directory, struct sse_text name)
{
    char text[NAME_SIZE_MAX + 1];
    int size;

    if (!name.len || name.len > NAME_SIZE_MAX)
        return -EBADMSG;
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    if (strspn(text, NAME_BYTES) != name.len)
        return -EBADMSG;
    /* The longest path with ".1", the name of a renamed file. */
    size = snprintf(path, PATH_MAX - 2, "%s/%s.log", directory, text);
    return size < PATH_MAX - 2 ? 0 : -ENAMETOOLONG;
}

static void take_no_file(struct log_file *log)
{
    log->fd = -1;
    log->number = 0;
    log->offset = 0;
    log->begin = log->end = 0;
    log->is_old = false;
}

/* Opens another file and begins at its start. */
static int take_file(struct log_file *log, const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return -errno;
    if (fstat(fd, &status) || !S_ISREG(status.st_mode)) {
        close(fd);
        return -EINVAL;
    }
    if (log->fd >= 0)
        close(log->fd);
    log->fd = fd;
    log->number = status.st_ino;
    log->offset = 0;
    log->begin = log->end = 0;
    log->is_old = false;
    return 0;
}

/* -ENOENT: the file does not exist yet. log_read will notice it when it does. */
static int go_to_end(struct log_file *log)
{
    struct stat status;
    int error = take_file(log, log->path);

    if (!error && !fstat(log->fd, &status))
        log->offset = status.st_size;
    return error;
}

int log_open(struct log_file *log, const char *directory, struct sse_text name)
{
    int error = make_path(log->path, directory, name);

    take_no_file(log);
    if (error)
        return error;
    error = go_to_end(log);
    return error == -ENOENT ? 0 : error;
}

void log_close(struct log_file *log)
{
    if (log->fd >= 0)
        close(log->fd);
}

/* -- ids ------------------------------------------------------------------------------------ */

/* A checksum of the bytes before a place. It shows whether the file was truncated and has grown again. 32-bit
 * FNV-1a. */
static uint32_t check_before(int fd, off_t offset)
{
    unsigned char bytes[CHECK_SIZE];
    size_t size = offset < CHECK_SIZE ? (size_t)offset : CHECK_SIZE;
    ssize_t count = pread(fd, bytes, size, offset - (off_t)size);
    uint32_t hash = 2166136261U;

    for (ssize_t i = 0; i < count; i++)
        hash = (hash ^ bytes[i]) * 16777619U;
    return hash;
}

void log_id(const struct log_file *log, char id[LOG_ID_SIZE])
{
    snprintf(id, LOG_ID_SIZE, "%jx-%jx-%" PRIx32, (uintmax_t)log->number, (intmax_t)log->offset,
             check_before(log->fd, log->offset));
}

/* The id is valid if log_id gives the same one at this place. */
static bool seek_in_file(struct log_file *log, const char *id, off_t offset)
{
    struct stat status;
    char here[LOG_ID_SIZE];

    if (log->fd < 0 || fstat(log->fd, &status) || offset > status.st_size)
        return false;
    log->offset = offset;
    log_id(log, here);
    return !strcmp(id, here);
}

bool log_seek(struct log_file *log, struct sse_text id)
{
    char text[LOG_ID_SIZE] = "";
    char older[PATH_MAX + 2];
    uintmax_t offset;

    if (!id.len || id.len >= sizeof(text))
        return false;
    memcpy(text, id.ptr, id.len);
    if (sscanf(text, "%*[0-9a-f]-%jx-", &offset) != 1 || offset > OFFSET_MAX)
        return false;
    if (seek_in_file(log, text, (off_t)offset))
        return true;
    snprintf(older, sizeof(older), "%s.1", log->path);
    if (!take_file(log, older) && seek_in_file(log, text, (off_t)offset))
        return true;
    if (go_to_end(log)) {
        log_close(log);
        take_no_file(log);
    }
    return false;
}

/* -- reading -------------------------------------------------------------------------------- */

/* The bytes that were read and not returned yet begin at the offset. */
static ssize_t read_more(struct log_file *log)
{
    size_t size = log->end - log->begin;
    ssize_t count;

    memmove(log->bytes, log->bytes + log->begin, size);
    log->begin = 0;
    log->end = size;
    count = pread(log->fd, log->bytes + size, sizeof(log->bytes) - size, log->offset + (off_t)size);
    if (count > 0)
        log->end += (size_t)count;
    return count < 0 ? -errno : count;
}

static void take_bytes(struct log_file *log, struct sse_text *line, size_t size, size_t line_end)
{
    *line = (struct sse_text){log->bytes + log->begin, size};
    log->begin += size + line_end;
    log->offset += (off_t)(size + line_end);
}

/* Returns a whole line, or a piece of one that is too long. */
static bool find_line(struct log_file *log, struct sse_text *line)
{
    const char *begin = log->bytes + log->begin;
    const char *end = memchr(begin, '\n', log->end - log->begin);

    if (end)
        take_bytes(log, line, (size_t)(end - begin), 1);
    else if (log->end - log->begin == sizeof(log->bytes))
        take_bytes(log, line, sizeof(log->bytes), 0);
    else
        return false;
    return true;
}

static bool was_cut(const struct log_file *log)
{
    struct stat status;

    return !fstat(log->fd, &status) && status.st_size < log->offset + (off_t)(log->end - log->begin);
}

/* A new file counts only when it is not empty, because the writer may still be writing to the old one. */
static bool has_successor(const struct log_file *log)
{
    struct stat status;

    return !stat(log->path, &status) && status.st_ino != log->number && status.st_size > 0;
}

/* If the old file is not FILE.1, another file was between the two, and its lines are lost. */
static bool is_last_but_one(const struct log_file *log)
{
    char older[PATH_MAX + 2];
    struct stat status;

    snprintf(older, sizeof(older), "%s.1", log->path);
    return !stat(older, &status) && status.st_ino == log->number;
}

/* Called when everything that is in this file has been read. */
static int look_further(struct log_file *log, struct sse_text *line)
{
    const bool exact = log->fd < 0 || is_last_but_one(log);
    int error;

    if (log->fd >= 0 && was_cut(log)) {
        log->offset = 0;
        log->begin = log->end = 0;
        return LOG_GAP;
    }
    if (!has_successor(log))
        return LOG_NOTHING;
    /* The writer may have added last lines to the old file in the meantime. */
    if (log->fd >= 0 && !log->is_old) {
        log->is_old = true;
        return log_read(log, line);
    }
    if (log->end > log->begin) {
        take_bytes(log, line, log->end - log->begin, 0);
        return LOG_LINE;
    }
    error = take_file(log, log->path);
    if (error)
        return error == -ENOENT ? LOG_NOTHING : error;
    return exact ? log_read(log, line) : LOG_GAP;
}

int log_read(struct log_file *log, struct sse_text *line)
{
    ssize_t count = 0;

    if (find_line(log, line))
        return LOG_LINE;
    if (log->fd >= 0)
        count = read_more(log);
    if (count < 0)
        return (int)count;
    if (count > 0)
        return find_line(log, line) ? LOG_LINE : LOG_NOTHING;
    return look_further(log, line);
}

/* -- writing -------------------------------------------------------------------------------- */

int log_append(const char *directory, struct sse_text name, struct sse_text lines)
{
    char path[PATH_MAX];
    struct iovec pieces[] = {{(void *)(uintptr_t)lines.ptr, lines.len}, {(void *)(uintptr_t) "\n", 1}};
    int error = make_path(path, directory, name);
    ssize_t written;
    int fd;

    if (error)
        return error;
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    written = writev(fd, pieces, 2);
    error = written < 0 ? -errno : (size_t)written == lines.len + 1 ? 0 : -ENOSPC;
    close(fd);
    return error;
}
