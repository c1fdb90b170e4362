/* Child processes: started, watched, and ended in bounded time. Whatever becomes of this process, the kernel
 * kills them when it has ended, kill -9 included; but for those that see to that themselves.
 *
 * - A child is the leader of a process group of its own. So Control-C on the terminal is for this process
 *   alone, and what the child starts ends with it.
 * - It inherits nothing but what its command names: all other descriptors are closed, the signals that are
 *   blocked are those of children_new()'s caller, and handlers are the default. Ignored signals stay
 *   ignored, except SIGPIPE.
 * - A thread of the set starts and collects them, so that any thread may call the functions. The rest of the
 *   process is not copied: no handlers of fork() run, such as those of gRPC. */
#ifndef CHILD_H
#define CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <muster/muster.h>

/* What to start. Start from CHILD_COMMAND_INIT; all of it is read before children_start() returns. */
struct child_command {
    const char *program;            /* a path, or a name that is looked for in PATH; NULL: arguments[0] */
    const char *const *arguments;   /* with NULL behind them */
    const char *const *environment; /* "NAME=VALUE" with NULL behind them; NULL: that of this process */
    const char *directory;          /* where it runs; NULL: where this process does */
    int input;                      /* what it reads from standard input; -1: nothing */
    int output;    /* where standard output and error go; -1: where those of this process go */
    int errors;    /* where standard error goes; -1: as `output` says */
    int keep;      /* a descriptor that stays open under its number; -1: none */
    bool outlives; /* the kernel does not kill it when this process has ended */
};

#define CHILD_COMMAND_INIT                                   \
    {                                                        \
        .input = -1, .output = -1, .errors = -1, .keep = -1, \
    }

/* Children that are watched together. */
struct children;

/* Called on the set's thread when a child has ended, and all of its process group with it; `status` is
 * waitpid()'s. It may call the functions below, except children_start(), children_end() and
 * children_free(). */
typedef void child_ended(void *context, size_t number, int status);

/* Makes an empty set; NULL when out of memory, threads or descriptors. `on_end` may be NULL. */
struct children *children_new(child_ended *on_end, void *context);

/* Starts a child: its number in *number, from 0 in the order of the starts. Waits until the program runs. IO,
 * and *error says why it cannot be started; STOPPED after children_end(); OUT_OF_MEMORY. */
enum muster_status children_start(struct children *children, const struct child_command *command,
                                  size_t *number, struct muster_error *error);

/* How many run. One that is told of does not run any more. */
size_t children_running(struct children *children);

/* The process id of one that was started; it may have ended. */
pid_t children_pid(struct children *children, size_t number);

/* Sends a signal to one of them and to all of its process group; nothing happens when it has ended. */
void children_signal(struct children *children, size_t number, int signal_number);

/* Asks all of them to end (SIGTERM), kills those that have not ended after `within_ms`, and waits until all
 * were told. Nothing can be started any more. False when one cannot be killed, as it waits for a disk: after
 * 10 s more. */
bool children_end(struct children *children, int64_t within_ms);

/* Waits until none of them runs; false when that takes longer than `within_ms`. */
bool children_await(struct children *children, int64_t within_ms);

/* Has a children_end() that waits, and the next one, kill at once. */
void children_hurry(struct children *children);

/* Ends those that are left, within no time, and frees the set. NULL is allowed. */
void children_free(struct children *children);

/* Has this process be the parent of all that its children leave behind; once, before there are any. */
void children_adopt(void);

/* Collects what was left behind and has ended by itself, up to the first that was the leader of a process group: that one
 * children_kill_orphans() collects. For the thread that calls children_adopt(), now and then. */
void children_collect(void);

/* Kills all that has this process for a parent, and what those leave behind, until none is left; after all
 * children_free(). False when that takes longer than `within_ms`. */
bool children_kill_orphans(int64_t within_ms);

/* Room for a description. */
enum { CHILD_TEXT_SIZE = 64 };

/* How a child ended: "ended with status 3", or "was ended by SIGKILL"; `text` is returned. */
const char *child_describe(int status, char text[CHILD_TEXT_SIZE]);

/* Opens a file for the output of a child, to append to: a new one at `path`, or with NULL one without a name,
 * that is gone when nobody has it open. -1 with errno. */
int child_open_log(const char *path);

/* The last line of such a file, without control characters, and "" when there is none. At most as much as
 * there is room for; `line` is returned. */
const char *child_last_line(int file, char *line, size_t size);

#endif
