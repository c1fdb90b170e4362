/* Nothing here is believed because a file says it: whether a run lives is what its lock tells. */
#include <config.h>

#include "run.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/dataset.h"
#include "registry.h"
#include "run_files.h"

enum { ANSWER_SECONDS = 10, AGAIN_MS = 50, ANSWER_MAX = 1 << 26, NAMES_SIZE = 200 };

const char *run_name(const struct run *run)
{
    const char *name = json_string_value(json_object_get(run->record, "name"));
    return name ? name : "?";
}

void run_close(struct run *run)
{
    if (run->folder >= 0)
        close(run->folder);
    free(run->path);
    json_decref(run->record);
    json_decref(run->end);
    *run = (struct run){.folder = -1};
}

/* What is printed of it commands no terminal, whoever wrote the file. */
static enum muster_status clean_name(struct run *run, struct muster_error *error)
{
    const char *name = run_name(run);
    char *clean = strdup(name);
    bool good =
        clean && json_object_set_new(run->record, "name",
                                     json_string(muster_text_harmless(name, clean, strlen(name) + 1))) == 0;
    free(clean);
    return good ? MUSTER_OK : dataset_out_of_memory(error);
}

/* INVALID when the directory holds no run. */
static enum muster_status open_at(const char *path, struct run *run, struct muster_error *error)
{
    char shown[RUN_PATH_SIZE];
    *run = (struct run){.folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    run->path = run->folder >= 0 ? realpath(path, NULL) : NULL;
    if (!run->path) {
        enum muster_status failed = run_files_errno(error, path, "opening the directory");
        run_close(run);
        return failed;
    }
    run_lock_look(run->folder, &run->owner);
    enum muster_status status =
        run_files_read_json(run->folder, run->path, RUN_EXPERIMENT, &run->record, error);
    if (status == MUSTER_OK)
        status = run_files_read_json(run->folder, run->path, RUN_END, &run->end, error);
    if (status == MUSTER_OK && !run->record)
        status = explain(error, MUSTER_INVALID, "%s holds no run", run_path(path, shown));
    if (status == MUSTER_OK)
        status = clean_name(run, error);
    if (status != MUSTER_OK)
        run_close(run);
    return status;
}

void run_look(struct run *run)
{
    struct muster_error ignored;
    run_lock_look(run->folder, &run->owner);
    json_decref(run->end);
    run_files_read_json(run->folder, run->path, RUN_END, &run->end, &ignored);
}

static void close_folder(struct run *run)
{
    close(run->folder);
    run->folder = -1;
}

void run_free_all(struct run *runs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        run_close(&runs[i]);
    free(runs);
}

enum muster_status run_list(struct run **runs, size_t *count, struct muster_error *error)
{
    char **directories;
    size_t known, found = 0;
    struct muster_error ignored;
    enum muster_status status = registry_list(&directories, &known, error);
    if (status != MUSTER_OK)
        return status;
    *count = 0;
    *runs = calloc(known + 1, sizeof(**runs));
    for (size_t i = 0; *runs && i < known; i++) {
        struct run *run = &(*runs)[found];
        if (open_at(directories[i], run, &ignored) != MUSTER_OK)
            continue;
        close_folder(run);
        found++;
    }
    registry_free(directories, known);
    *count = found;
    return *runs ? MUSTER_OK : dataset_out_of_memory(error);
}

/* ---- by name ---- */

static bool matches(const struct run *run, const char *name)
{
    return name ? strcmp(run_name(run), name) == 0 : run->owner.there;
}

/* Several match: those that run go before the others. */
static size_t choose(const struct run *runs, size_t count, const char *name, size_t *chosen)
{
    size_t matching = 0, running = 0, last = 0, last_running = 0;
    for (size_t i = 0; i < count; i++) {
        if (!matches(&runs[i], name))
            continue;
        matching++;
        last = i;
        if (!runs[i].owner.there)
            continue;
        running++;
        last_running = i;
    }
    *chosen = running == 1 ? last_running : last;
    return running == 1 ? 1 : matching;
}

static enum muster_status refuse(const struct run *runs, size_t count, const char *name, size_t matching,
                                 struct muster_error *error)
{
    char names[NAMES_SIZE] = "";
    for (size_t i = 0; i < count && matching > 1; i++) {
        char shown[RUN_PATH_SIZE];
        size_t length = strlen(names);
        if (matches(&runs[i], name) && length < sizeof(names) - 1)
            snprintf(names + length, sizeof(names) - length, "%s%s", length > 0 ? ", " : "",
                     run_path(runs[i].path, shown));
    }
    if (matching > 1)
        return explain(error, MUSTER_INVALID, "there are %zu such runs; say the directory: %s", matching,
                       names);
    if (name)
        return explain(error, MUSTER_INVALID, "%.80s: there is no such run; `muster list` shows all", name);
    return explain(error, MUSTER_INVALID,
                   "no run is running; say its name or directory (`muster list` shows all)");
}

static enum muster_status open_by_name(const char *name, struct run *run, struct muster_error *error)
{
    struct run *runs;
    size_t count, chosen;
    enum muster_status status = run_list(&runs, &count, error);
    if (status != MUSTER_OK)
        return status;
    size_t matching = choose(runs, count, name, &chosen);
    if (matching == 1)
        status = open_at(runs[chosen].path, run, error);
    else
        status = refuse(runs, count, name, matching, error);
    run_free_all(runs, count);
    return status;
}

enum muster_status run_open(const char *said, struct run *run, struct muster_error *error)
{
    struct stat there;
    *run = (struct run){.folder = -1};
    if (said && (stat(said, &there) != 0 || !S_ISDIR(there.st_mode)))
        return open_by_name(said, run, error);
    enum muster_status status = open_at(said ? said : ".", run, error);
    /* A directory that is no run may have the name of one. */
    bool is_path = said && strchr(said, '/');
    return status == MUSTER_INVALID && !is_path ? open_by_name(said, run, error) : status;
}

/* ---- asking ---- */

/* The path may be longer than an address of a socket: it is reached by the descriptor. */
static int connect_to(const struct run *run)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval limit = {.tv_sec = ANSWER_SECONDS};
    int control = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" RUN_CONTROL, run->folder);
    if (control >= 0 && setsockopt(control, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0 &&
        setsockopt(control, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0 &&
        connect(control, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return control;
    if (control >= 0)
        close(control);
    return -1;
}

/* One line, to be freed; NULL. */
static char *read_line(int control)
{
    char *line = NULL;
    size_t length = 0;
    for (;;) {
        char *longer = length < ANSWER_MAX ? realloc(line, length + 65536) : NULL;
        if (!longer)
            break;
        line = longer;
        ssize_t count = recv(control, line + length, 65535, 0);
        if (count <= 0)
            break;
        length += (size_t)count;
        line[length] = '\0';
        if (memchr(line, '\n', length))
            return line;
    }
    free(line);
    return NULL;
}

/* NULL when there is none; *control is -1 then. */
static json_t *try_to_ask(const struct run *run, const char *wish, int *control)
{
    char line[64];
    int length = snprintf(line, sizeof(line), "{\"do\":\"%s\"}\n", wish);
    *control = connect_to(run);
    bool sent = *control >= 0 && send(*control, line, (size_t)length, MSG_NOSIGNAL) == length;
    char *text = sent ? read_line(*control) : NULL;
    json_t *answer = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    free(text);
    if (!answer && *control >= 0) {
        close(*control);
        *control = -1;
    }
    return answer;
}

enum muster_status run_ask(struct run *run, const char *wish, json_t **answer, int *socket,
                           struct muster_error *error)
{
    int64_t limit_ms = clock_ms() + 1000 * ANSWER_SECONDS;
    while (!(*answer = try_to_ask(run, wish, socket))) {
        run_look(run);
        if (!run->owner.there || !run->owner.here || clock_ms() >= limit_ms)
            break;
        poll(NULL, 0, AGAIN_MS); /* it has the lock, and will listen, or end */
    }
    const char *why = json_string_value(json_object_get(*answer, "error"));
    if (*answer && !why)
        return MUSTER_OK;
    enum muster_status status = MUSTER_UNAVAILABLE;
    if (why)
        status = explain(error, MUSTER_REFUSED, "the launcher of %.64s: %s", run_name(run), why);
    else if (run->owner.there && !run->owner.here)
        explain(error, status, "the launcher of %.64s is process %ld on %.64s: ask there", run_name(run),
                (long)run->owner.pid, run->owner.host);
    else
        explain(error, status, "the launcher of %.64s (process %ld) does not answer", run_name(run),
                (long)run->owner.pid);
    json_decref(*answer);
    *answer = NULL;
    if (*socket >= 0)
        close(*socket);
    *socket = -1;
    return status;
}

/* ---- how it ended ---- */

/* When something was written to a log last; 0: never. */
static time_t find_last_line(const struct run *run)
{
    int logs = openat(run->folder, RUN_LOGS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *entries = logs >= 0 ? fdopendir(logs) : NULL;
    const struct dirent *entry;
    struct stat there;
    time_t last = 0;
    while (entries && (entry = readdir(entries))) {
        if (fstatat(logs, entry->d_name, &there, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(there.st_mode) &&
            there.st_mtime > last)
            last = there.st_mtime;
    }
    if (entries)
        closedir(entries);
    else if (logs >= 0)
        close(logs);
    return last;
}

static void describe_kill(const struct run *run, char *text, size_t size)
{
    const json_t *starts = json_object_get(run->record, "started");
    size_t count = json_array_size(starts);
    const json_t *start = json_array_get(starts, count > 0 ? count - 1 : 0);
    const char *begun = json_string_value(json_object_get(start, "time"));
    char last[RUN_TIME_SIZE + 40] = "", time[RUN_TIME_SIZE];
    time_t line = find_last_line(run);
    if (line > 0)
        snprintf(last, sizeof(last), " (its last line is of %s)", run_time(line, time));
    snprintf(text, size, "its launcher, started at %s, was killed%s; the same `muster start` goes on",
             begun ? begun : "?", last);
}

const char *run_outcome(const struct run *run, char *text, size_t size)
{
    const char *when = json_string_value(json_object_get(run->end, "ended"));
    const char *why = json_string_value(json_object_get(run->end, "why"));
    if (run->end)
        snprintf(text, size, "ended at %s: %s", when ? when : "?", why ? why : "?");
    else
        describe_kill(run, text, size);
    return muster_text_harmless(text, text, size);
}
