/* How an agent is started where it is to run: one connection a host, as an sshd takes few at a time. */
#include <config.h>

#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"

/* This program, also when its file has been replaced since. */
#define PROGRAM "/proc/self/exe"

enum { WORDS_MAX = 64, LONGEST_WAIT_S = 30, GREETING_MS = 60000 };

struct words {
    const char *list[WORDS_MAX + 1];
    size_t count;
};

static void add(struct words *words, const char *word)
{
    if (words->count < WORDS_MAX)
        words->list[words->count++] = word;
}

static void add_all(struct words *words, const char *const *list)
{
    for (size_t i = 0; list && list[i]; i++)
        add(words, list[i]);
}

/* A word as a shell reads it, to be freed. */
static char *quote(const char *word)
{
    char *quoted = malloc(4 * strlen(word) + 3), *to = quoted;
    if (!quoted)
        return NULL;
    *to++ = '\'';
    for (const char *from = word; *from != '\0'; from++) {
        if (*from == '\'') {
            memcpy(to, "'\\''", 4);
            to += 4;
        } else {
            *to++ = *from;
        }
    }
    memcpy(to, "'", 2);
    return quoted;
}

/* What starts the agent; `muster` is its program as a shell reads it. ssh notices within half a minute that a host has gone. */
static void fill(struct words *words, const struct experiment_host *host, const char *muster)
{
    switch (host->reach) {
    case REACH_HERE:
        add(words, "muster");
        break;
    case REACH_SSH:
        add_all(words, (const char *const[]){"ssh", "-T", NULL});
        add_all(words, host->options); /* of an option that is there twice ssh takes the first */
        add_all(words, (const char *const[]){"-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-o",
                                             "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3", NULL});
        if (host->port)
            add_all(words, (const char *const[]){"-p", host->port, NULL});
        add_all(words, (const char *const[]){"--", host->target, muster, NULL});
        break;
    case REACH_SRUN:
        add_all(words, (const char *const[]){"srun", "--nodes=1", "--ntasks=1", "--overlap", "--quiet",
                                             "--input=0", "--nodelist", host->target, NULL});
        add_all(words, host->options);
        add(words, host->muster);
        break;
    case REACH_MPIRUN:
        add_all(words, (const char *const[]){"mpirun", "-n", "1", "--host", host->target, NULL});
        add_all(words, host->options);
        add(words, host->muster);
        break;
    }
    add(words, "agent");
    words->list[words->count] = NULL;
}

static void close_file(int *file)
{
    if (*file >= 0)
        close(*file);
    *file = -1;
}

/* The channel has the launcher's ends of the pipes, and the agent the others. */
static bool start(struct host *host, struct children *children, const struct words *words)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    struct muster_error error;
    struct child_command command = CHILD_COMMAND_INIT;
    bool opened = pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0;
    close_file(&host->errors);
    host->errors = opened ? child_open_log(NULL) : -1;
    host->channel = host->errors >= 0 ? channel_new(out[0], in[1]) : NULL;
    if (!host->channel) {
        snprintf(host->why, sizeof(host->why), "%s", strerror(errno));
        close_file(&out[0]);
        close_file(&in[1]);
    }
    bool here = host->definition->reach == REACH_HERE;
    command.program = here ? PROGRAM : words->list[0];
    command.arguments = words->list;
    command.input = in[0];
    command.output = out[1];
    command.errors = host->errors;
    command.outlives = here; /* it ends what it has started, and then itself */
    bool started = host->channel && children_start(children, &command, &host->child, &error) == MUSTER_OK;
    if (host->channel && !started)
        snprintf(host->why, sizeof(host->why), "%s", error.text);
    close_file(&in[0]);
    close_file(&out[1]);
    return started;
}

static void fail(struct host *host, int64_t now_ms)
{
    channel_free(host->channel);
    host->channel = NULL;
    host->state = HOST_DOWN;
    int64_t wait_s = host->failures < 5 ? (int64_t)1 << host->failures : LONGEST_WAIT_S;
    host->due_ms = now_ms + 1000 * wait_s;
    host->failures++;
}

bool host_start(struct host *host, struct children *children, int64_t now_ms)
{
    struct words words = {.count = 0};
    char *muster = quote(host->definition->muster ? host->definition->muster : "muster");
    if (muster)
        fill(&words, host->definition, muster);
    else
        snprintf(host->why, sizeof(host->why), "out of memory");
    bool started = muster && start(host, children, &words);
    free(muster);
    if (!started) {
        fail(host, now_ms);
        return false;
    }
    host->state = HOST_STARTING;
    host->heard_ms = host->pinged_ms = now_ms;
    return true;
}

bool host_greet(struct host *host, const json_t *message)
{
    const char *version = json_string_value(json_object_get(message, "hello"));
    const char *seen = json_string_value(json_object_get(message, "seen"));
    if (!version || strcmp(version, PACKAGE_VERSION) != 0) {
        snprintf(host->why, sizeof(host->why),
                 "its muster is of release %.40s, and this one of " PACKAGE_VERSION, version ? version : "?");
        return false;
    }
    snprintf(host->seen, sizeof(host->seen), "%s", seen ? seen : "");
    host->state = HOST_UP;
    host->was_up = true;
    host->failures = 0;
    return true;
}

void host_lose(struct host *host, struct children *children, int64_t now_ms)
{
    char line[MUSTER_ERROR_TEXT_SIZE];
    if (host->state == HOST_DOWN)
        return;
    child_last_line(host->errors, line, sizeof(line));
    snprintf(host->why, sizeof(host->why), "%s",
             *line != '\0'            ? line
             : host->state == HOST_UP ? "its agent is gone"
                                      : "its agent does not answer");
    if (host->definition->reach != REACH_HERE)
        children_signal(children, host->child, SIGKILL);
    fail(host, now_ms);
}

int64_t host_due_ms(const struct host *host)
{
    return host->state == HOST_DOWN ? host->due_ms : host->pinged_ms + AGENT_PING_MS;
}

bool host_tend(struct host *host, int64_t now_ms)
{
    int64_t limit_ms = host->state == HOST_UP ? AGENT_SILENCE_MS : GREETING_MS;
    if (host->state == HOST_DOWN)
        return true;
    if (now_ms - host->heard_ms > limit_ms)
        return false;
    if (now_ms < host->pinged_ms + AGENT_PING_MS)
        return true;
    host->pinged_ms = now_ms;
    return host->state != HOST_UP || channel_send(host->channel, json_pack("{s:i}", "ping", 1), NULL, 0);
}
