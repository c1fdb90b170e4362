/*
 * A record, by commands on standard input, for tests that read what it wrote. Every command is answered with
 * a line; warnings are lines too.
 *
 *   open [--backlog=N] [--request-timeout=MS] [--identity=TEXT] [--experiment=TEXT] [--run-name=TEXT] SINK...
 *   setting NAME TEXT, scalar STEP NAME VALUE, text STEP NAME TEXT, file STEP NAME PATH: TEXT is the rest of
 *   the line, where "\n" is a new line
 *   histogram STEP NAME VALUE...: of float32
 *   scalars FIRST COUNT NAME: the value of each is its step
 *   file-size N: no file may be bigger from now on; -1: any may
 *   close OUTCOME LIMIT_MS
 */
#include <config.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <muster/record.h>

enum { WORDS_MAX = 64 };

static struct muster_record *record;

static void warn(void *context, const char *text)
{
    (void)context;
    flockfile(stdout);
    printf("warning: %s\n", text);
    fflush(stdout);
    funlockfile(stdout);
}

static const char *value_of(const char *word, const char *option)
{
    size_t length = strlen(option);
    return strncmp(word, option, length) == 0 && word[length] == '=' ? word + length + 1 : NULL;
}

static const char *open_record(char **words, size_t count)
{
    static struct muster_error error;
    struct muster_record_options options;
    muster_record_options_init(&options);
    options.retry_first_ms = 1;
    options.retry_last_ms = 20;
    options.on_warning = warn;
    size_t first = 0;
    for (; first < count && strncmp(words[first], "--", 2) == 0; first++) {
        const char *value;
        if ((value = value_of(words[first], "--backlog")))
            options.backlog_size = strtoul(value, NULL, 10);
        else if ((value = value_of(words[first], "--request-timeout")))
            options.request_timeout_ms = strtol(value, NULL, 10);
        else if ((value = value_of(words[first], "--identity")))
            options.identity = value;
        else if ((value = value_of(words[first], "--experiment")))
            options.experiment = value;
        else if ((value = value_of(words[first], "--run-name")))
            options.run_name = value;
        else
            return "no such option";
    }
    options.sinks = (const char *const *)words + first;
    options.sink_count = count - first;
    if (muster_record_open(&options, &record, &error) == MUSTER_OK)
        return "ok";
    static char line[MUSTER_ERROR_TEXT_SIZE + 32];
    snprintf(line, sizeof(line), "%s %s", muster_status_name(error.status), error.text);
    return line;
}

static const char *close_record(const char *outcome, int64_t limit_ms)
{
    static struct muster_error error;
    enum muster_record_outcome how = strcmp(outcome, "finished") == 0 ? MUSTER_RECORD_FINISHED
                                     : strcmp(outcome, "failed") == 0 ? MUSTER_RECORD_FAILED
                                                                      : MUSTER_RECORD_KILLED;
    enum muster_status status = muster_record_close(record, how, limit_ms, &error);
    record = NULL;
    return status == MUSTER_OK ? "ok" : error.text;
}

static void histogram(char **words, size_t count)
{
    float values[WORDS_MAX];
    for (size_t i = 2; i < count; i++)
        values[i - 2] = strtof(words[i], NULL);
    struct muster_array array = {MUSTER_FLOAT32, 1, {count - 2}, values};
    muster_record_histogram(record, strtoll(words[0], NULL, 10), words[1], &array);
}

static void limit_files(const char *size)
{
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = *size == '-' ? limit.rlim_max : strtoul(size, NULL, 10);
    setrlimit(RLIMIT_FSIZE, &limit);
}

/* The rest of a line, behind so many words; "\n" becomes a new line. */
static char *rest(char *line, size_t words)
{
    for (; words > 0; words--)
        line += strcspn(line, " ") + (line[strcspn(line, " ")] == ' ');
    for (char *at = strstr(line, "\\n"); at; at = strstr(at, "\\n")) {
        *at = '\n';
        memmove(at + 1, at + 2, strlen(at + 2) + 1);
    }
    return line;
}

static const char *obey(char *line)
{
    char *words[WORDS_MAX];
    size_t count = 0;
    char *copy = strdup(line);
    if (!copy)
        return "out of memory";
    for (char *word = strtok(copy, " "); word && count < WORDS_MAX; word = strtok(NULL, " "))
        words[count++] = word;
    const char *answer = "ok";
    const char *command = count > 0 ? words[0] : "";
    if (strcmp(command, "open") == 0)
        answer = open_record(words + 1, count - 1);
    else if (strcmp(command, "setting") == 0 && count > 1)
        muster_record_setting(record, words[1], rest(line, 2));
    else if (strcmp(command, "scalar") == 0 && count == 4)
        muster_record_scalar(record, strtoll(words[1], NULL, 10), words[2], strtod(words[3], NULL));
    else if (strcmp(command, "text") == 0 && count > 2)
        muster_record_text(record, strtoll(words[1], NULL, 10), words[2], rest(line, 3));
    else if (strcmp(command, "file") == 0 && count == 4)
        muster_record_file(record, strtoll(words[1], NULL, 10), words[2], words[3]);
    else if (strcmp(command, "histogram") == 0 && count > 2)
        histogram(words + 1, count - 1);
    else if (strcmp(command, "scalars") == 0 && count == 4)
        for (int64_t i = 0, first = strtoll(words[1], NULL, 10); i < strtoll(words[2], NULL, 10); i++)
            muster_record_scalar(record, first + i, words[3], (double)(first + i));
    else if (strcmp(command, "file-size") == 0 && count == 2)
        limit_files(words[1]);
    else if (strcmp(command, "close") == 0 && count == 3)
        answer = close_record(words[1], strtoll(words[2], NULL, 10));
    else
        answer = "no such command";
    free(copy);
    return answer;
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    while ((length = getline(&line, &room, stdin)) > 0) {
        line[strcspn(line, "\n")] = '\0';
        const char *answer = obey(line);
        flockfile(stdout);
        printf("%s\n", answer);
        fflush(stdout);
        funlockfile(stdout);
    }
    free(line);
    muster_record_close(record, MUSTER_RECORD_KILLED, 1000, NULL);
    /* What the program itself writes at its end, a count of lines for one, is no part of the test. */
    limit_files("-1");
    return 0;
}
