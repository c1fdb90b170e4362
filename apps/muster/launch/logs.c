/* Files are read as they grow: the kernel tells of that, and the launcher's end by the end of a connection. */
#include <config.h>

#include "logs.h"

#include <argp.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/arguments.h"
#include "common/dataset.h"
#include "run.h"
#include "run_files.h"
#include "settings/written_out.h"

#define NAME "muster logs"

enum { LINES_MAX = 1000000, PIECE_SIZE = 65536, NAME_SIZE = 256, CHARACTER_SIZE = 4 };

struct wishes {
    const char *run, *name;
    bool follow;
    size_t lines;
};

/* A log that is shown. */
struct shown {
    char name[NAME_SIZE];
    int file;
    bool inside;               /* of a line */
    char rest[CHARACTER_SIZE]; /* of a character that is not complete */
    size_t rest_size;
};

struct logs {
    int folder;
    const char *only; /* NULL: all */
    struct shown *list;
    size_t count;
    struct shown *last; /* who wrote last */
    bool terminal;
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct wishes *wishes = state->input;
    switch (key) {
    case 'f':
        wishes->follow = true;
        return 0;
    case 'n':
        wishes->lines = (size_t)argument_whole(state, "lines", text, 0, LINES_MAX);
        return 0;
    case ARGP_KEY_ARG:
        if (wishes->name)
            argp_error(state, "%s: expected RUN, and perhaps the NAME of one process", text);
        else if (wishes->run)
            wishes->name = text;
        else
            wishes->run = text;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char documentation[] =
    "Shows what the processes of a run have written: all of them, with the name before each line, or the "
    "process NAME alone. "
    "RUN is its name or its directory; it may be left out when one run is running.\v"
    "What a run in the background says itself is the log \"launcher\". Ctrl-C ends it, and with -f so does "
    "the end of the "
    "run. The exit status is 0, 2 for mistakes in the command line, and 1 otherwise.";

/* ---- lines ---- */

/* How many bytes at the end are the beginning of a character. */
static size_t find_incomplete(const char *bytes, size_t count)
{
    for (size_t i = 1; i < CHARACTER_SIZE && i <= count; i++) {
        unsigned char byte = (unsigned char)bytes[count - i];
        size_t whole = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
        if (byte < 0x80 || whole > 1)
            return whole > i ? i : 0;
    }
    return 0;
}

/* Terminals are not for processes to command; a tabulator is harmless. */
static void print_harmless(const char *bytes, size_t count)
{
    static char text[PIECE_SIZE + CHARACTER_SIZE];
    while (count > 0) {
        const char *tab = memchr(bytes, '\t', count);
        size_t length = tab ? (size_t)(tab - bytes) : count;
        for (size_t i = 0; i < length; i++)
            text[i] = bytes[i] != '\0' ? bytes[i] : '\1';
        text[length] = '\0';
        fputs(muster_text_harmless(text, text, sizeof(text)), stdout);
        if (tab)
            putchar('\t');
        bytes += length + (tab != NULL);
        count -= length + (tab != NULL);
    }
}

/* A part of a line, with what was there of its first character. */
static void print_part(const struct logs *logs, struct shown *shown, const char *bytes, size_t count,
                       bool end)
{
    static char whole[PIECE_SIZE + CHARACTER_SIZE];
    if (!logs->terminal) {
        fwrite(bytes, 1, count, stdout);
        return;
    }
    memcpy(whole, shown->rest, shown->rest_size);
    memcpy(whole + shown->rest_size, bytes, count);
    count += shown->rest_size;
    shown->rest_size = end ? 0 : find_incomplete(whole, count);
    count -= shown->rest_size;
    memcpy(shown->rest, whole + count, shown->rest_size);
    print_harmless(whole, count);
}

static void end_line(struct logs *logs)
{
    if (!logs->last || !logs->last->inside)
        return;
    print_part(logs, logs->last, "", 0, true);
    putchar('\n');
    logs->last->inside = false;
}

/* Bytes of a log, with the name before each line where there are several. */
static void print(struct logs *logs, struct shown *shown, const char *bytes, size_t count)
{
    if (logs->last != shown)
        end_line(logs);
    logs->last = shown;
    while (count > 0) {
        const char *end = memchr(bytes, '\n', count);
        size_t length = end ? (size_t)(end - bytes) : count;
        if (!shown->inside && !logs->only)
            printf("%s: ", shown->name);
        print_part(logs, shown, bytes, length, end);
        if (end)
            putchar('\n');
        shown->inside = !end;
        bytes += length + (end != NULL);
        count -= length + (end != NULL);
    }
}

/* What there is to read. */
static void print_rest(struct logs *logs, struct shown *shown)
{
    static char piece[PIECE_SIZE];
    ssize_t count;
    while ((count = read(shown->file, piece, sizeof(piece))) > 0)
        print(logs, shown, piece, (size_t)count);
}

/* Where the last lines begin. */
static off_t find_last(int file, size_t lines)
{
    static char piece[PIECE_SIZE];
    struct stat there;
    off_t end = fstat(file, &there) == 0 ? there.st_size : 0, at = end;
    size_t found = 0;
    while (at > 0) {
        off_t from = at > PIECE_SIZE ? at - PIECE_SIZE : 0;
        ssize_t count = pread(file, piece, (size_t)(at - from), from);
        if (count <= 0)
            break;
        for (ssize_t i = count; i-- > 0;) {
            /* The end of the last line begins none. */
            if (piece[i] == '\n' && from + i + 1 < end && ++found == lines)
                return from + i + 1;
        }
        at = from;
    }
    return 0;
}

/* ---- files ---- */

static struct shown *find(const struct logs *logs, const char *name)
{
    for (size_t i = 0; i < logs->count; i++) {
        if (strcmp(logs->list[i].name, name) == 0)
            return &logs->list[i];
    }
    return NULL;
}

/* Opens the log with this file's name, from which so many lines are shown; SIZE_MAX: all. */
static void add(struct logs *logs, const char *file_name, size_t lines)
{
    size_t length = strlen(file_name), ending = strlen(RUN_LOG_SUFFIX);
    char name[NAME_SIZE], harmless[NAME_SIZE];
    if (length <= ending || length >= NAME_SIZE || strcmp(file_name + length - ending, RUN_LOG_SUFFIX) != 0)
        return;
    snprintf(name, sizeof(name), "%.*s", (int)(length - ending), file_name);
    if ((logs->only && strcmp(name, logs->only) != 0) ||
        find(logs, muster_text_harmless(name, harmless, NAME_SIZE)))
        return;
    int file = openat(logs->folder, file_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    size_t last = logs->last ? (size_t)(logs->last - logs->list) : 0;
    struct shown *list = file >= 0 ? reallocarray(logs->list, logs->count + 1, sizeof(*list)) : NULL;
    if (!list) {
        if (file >= 0)
            close(file);
        return;
    }
    logs->list = list;
    logs->last = logs->last ? &list[last] : NULL;
    list[logs->count] = (struct shown){.file = file};
    memcpy(list[logs->count++].name, harmless, sizeof(harmless));
    if (lines != SIZE_MAX)
        lseek(file, lines > 0 ? find_last(file, lines) : lseek(file, 0, SEEK_END), SEEK_SET);
}

static int ignore_others(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void add_all(struct logs *logs, size_t lines)
{
    struct dirent **entries;
    int count = scandirat(logs->folder, ".", &entries, ignore_others, versionsort);
    for (int i = 0; i < count; i++) {
        add(logs, entries[i]->d_name, lines);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

static void print_all(struct logs *logs)
{
    for (size_t i = 0; i < logs->count; i++)
        print_rest(logs, &logs->list[i]);
    fflush(stdout);
}

/* ---- following ---- */

/* Until the run has ended, or nobody reads any more. */
static void follow(struct logs *logs, int changes, int socket)
{
    struct pollfd waits[] = {{.fd = changes, .events = POLLIN}, {.fd = socket, .events = POLLIN}};
    char events[4096];
    while (!ferror(stdout)) {
        if (poll(waits, 2, -1) < 0 && errno != EINTR)
            return;
        if (waits[0].revents != 0 && read(changes, events, sizeof(events)) <= 0)
            return;
        add_all(logs, SIZE_MAX);
        print_all(logs);
        if (waits[1].revents != 0)
            return;
    }
}

static enum muster_status show(struct logs *logs, struct run *run, const struct wishes *wishes,
                               struct muster_error *error)
{
    int socket = -1, changes = -1;
    json_t *answer = NULL;
    if (wishes->follow && run->owner.there) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/self/fd/%d", logs->folder);
        changes = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (changes < 0 || inotify_add_watch(changes, path, IN_MODIFY | IN_CREATE) < 0) {
            if (changes >= 0)
                close(changes);
            return explain(error, MUSTER_IO, "watching the logs: %s", strerror(errno));
        }
        enum muster_status status = run_ask(run, "follow", &answer, &socket, error);
        if (status != MUSTER_OK && run->owner.there) {
            close(changes);
            return status;
        }
    }
    add_all(logs, wishes->lines);
    enum muster_status result = MUSTER_OK;
    /* A launcher that answers has opened all logs. */
    if (logs->only && logs->count == 0)
        result = explain(error, MUSTER_INVALID, "%.60s: this run has no process of that name", logs->only);
    print_all(logs);
    if (socket >= 0 && result == MUSTER_OK)
        follow(logs, changes, socket);
    if (logs->terminal || !logs->only)
        end_line(logs);
    json_decref(answer);
    if (socket >= 0)
        close(socket);
    if (changes >= 0)
        close(changes);
    return result;
}

static enum muster_status show_logs(struct run *run, const struct wishes *wishes, struct muster_error *error)
{
    struct logs logs = {.folder =
                            openat(run->folder, RUN_LOGS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
                        .only = wishes->name,
                        .terminal = isatty(STDOUT_FILENO)};
    if (logs.folder < 0)
        return run_files_errno(error, run->path, "its logs");
    enum muster_status status = show(&logs, run, wishes, error);
    for (size_t i = 0; i < logs.count; i++)
        close(logs.list[i].file);
    free(logs.list);
    close(logs.folder);
    return status;
}

int logs_command(int count, char **arguments)
{
    static const struct argp_option options[] = {
        {"follow", 'f', NULL, 0, "Go on as they are written, until the run ends", 0},
        {"lines", 'n', "N", 0, "Only the last N lines of each (default: all; with -f 10)", 0},
        {0},
    };
    static const struct argp parser = {
        .options = options, .parser = parse, .args_doc = "[RUN [NAME]]", .doc = documentation};
    struct wishes wishes = {.lines = LINES_MAX + 1};
    struct run run;
    struct muster_error error;
    arguments_begin(NAME);
    written_out_check(&parser, count, arguments);
    argp_parse(&parser, count, arguments, 0, NULL, &wishes);
    if (wishes.lines > LINES_MAX)
        wishes.lines = wishes.follow ? 10 : SIZE_MAX;
    enum muster_status status = run_open(wishes.run, &run, &error);
    if (status == MUSTER_OK) {
        status = show_logs(&run, &wishes, &error);
        run_close(&run);
    }
    if (status != MUSTER_OK)
        fprintf(stderr, NAME ": %s\n", error.text);
    return status == MUSTER_OK && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
