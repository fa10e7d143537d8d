/* SPDX-License-Identifier: MIT */
#ifndef HOSTS_LOG_FILE_H
#define HOSTS_LOG_FILE_H

/**
 * Reads a log file that grows by lines, from the place that an id names. The writer may rename it to FILE.1 and
 * begin a new file, as logrotate does, or truncate it to nothing. After the new FILE has its first line, lines that
 * are added to FILE.1 are not read.
 */

#include <limits.h>
#include <sse/base.h>
#include <stdbool.h>
#include <sys/types.h>

/** A longer line is returned in pieces. */
#define LOG_LINE_SIZE_MAX 65536

/** Room for an id with its NUL. */
#define LOG_ID_SIZE 48

struct log_file {
    char path[PATH_MAX];
    int fd;       /**< -1: the file does not exist yet */
    ino_t number; /**< the file's inode number */
    off_t offset; /**< where the next line begins: the place that the id names */
    bool is_old;  /**< a newer file exists, and this one was read to its end after that was known */
    size_t begin; /**< in `bytes`: read and not returned yet */
    size_t end;
    char bytes[LOG_LINE_SIZE_MAX];
};

/** What log_read returns. */
enum {
    LOG_NOTHING = 0, /**< no complete line is there now */
    LOG_LINE = 1,
    LOG_GAP = 2 /**< lines before the next one are lost */
};

/**
 * Opens DIRECTORY/NAME.log at its end. The file need not exist yet.
 *
 * Errors: -EBADMSG: the name is empty, too long, or holds anything but letters, digits, `-` and `_`. Those of
 * open(2).
 */
int log_open(struct log_file *log, const char *directory, struct sse_text name);
void log_close(struct log_file *log);

/** Goes to the place of an id, in FILE or FILE.1. Returns false if the place does not exist, and then goes to the
 *  end. */
bool log_seek(struct log_file *log, struct sse_text id);

/** Writes the id of this place. */
void log_id(const struct log_file *log, char id[LOG_ID_SIZE]);

/** Returns the next line. The line has no line end, and is valid until the next call. Errors: those of read(2). */
int log_read(struct log_file *log, struct sse_text *line);

/** Adds lines to DIRECTORY/NAME.log with one write, so that lines of several writers do not mix. Errors: those of
 *  log_open and write(2). */
int log_append(const char *directory, struct sse_text name, struct sse_text lines);

#endif
