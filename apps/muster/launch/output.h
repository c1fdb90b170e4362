/* What processes write, and what the launcher says: in log files and on its own standard output and error, which are never
 * waited for. One thread. */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

/* Room for the last lines of a process. */
enum { OUTPUT_TAIL_SIZE = 1024, OUTPUT_LINE_MAX = 65536 };

/* The output of one process. */
struct output {
    int log;            /* a file that it is appended to; -1: none */
    const char *prefix; /* before each line on standard output; NULL: none */
    bool shown;         /* on standard output */
    bool log_failed;
    char *line; /* what is there of a line that is not complete; NULL: nothing */
    size_t line_size;
    char tail[OUTPUT_TAIL_SIZE];
    size_t tail_size;
};

/* Takes what a process has written. Lines of up to OUTPUT_LINE_MAX bytes are shown whole, longer ones in pieces. False, once, when the log cannot be written any more. */
bool output_add(struct output *output, const char *bytes, size_t count);

/* The process starts: its last lines are those from now on. */
void output_begin(struct output *output);

/* The process has ended: a line that has no end is shown, and gets one. */
void output_end(struct output *output);

/* Its last lines since it started, at most `lines`, without control characters, separated by " | "; `text` is returned. */
const char *output_tail(const struct output *output, size_t lines, char *text, size_t size);

/* Says something on standard error, with the time before it when that is no terminal. */
void output_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The descriptor that poll() is to wait for, of standard output (0) or error (1); -1: nothing waits to be written. */
int output_waits(int which);
/* Writes what fits. */
void output_flush(void);

/* Writes the rest, at most for so long. */
void output_finish(int within_ms);

#endif
