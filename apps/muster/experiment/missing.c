/* Each process is looked at as it would be started: its arguments have the paths, and its directory is where they lead from. */
#include <config.h>

#include "missing.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOTES_MAX = 10 };

/* What is known so far. */
struct missing {
    json_t *seen; /* the paths that were looked at */
    size_t notes;
};

static void note(struct missing *missing, const struct experiment_process *process, const char *key,
                 const char *value, const char *why)
{
    char name[NAME_MAX], shown[PATH_MAX];
    if (missing->notes++ < NOTES_MAX)
        printf("  note: %s: %s: %s: %s\n", muster_text_harmless(process->name, name, sizeof(name)), key,
               muster_text_harmless(value, shown, sizeof(shown)), why);
}

/* Whether a path is to be looked at, as it was not yet. */
static bool is_new(struct missing *missing, const char *path)
{
    if (json_object_get(missing->seen, path))
        return false;
    json_object_set_new(missing->seen, path, json_true());
    return true;
}

static void look(struct missing *missing, const struct experiment_process *process, const char *directory,
                 const char *key, const char *path, int mode)
{
    char *place = NULL;
    bool relative = path[0] != '/' && directory;
    if (asprintf(&place, "%s%s%s", relative ? directory : "", relative ? "/" : "", path) < 0)
        return;
    if (is_new(missing, place) && access(place, mode) != 0)
        note(missing, process, key, path, strerror(errno));
    free(place);
}

static bool is_in_path(const char *program)
{
    const char *folders = getenv("PATH");
    bool found = !folders; /* then it is the system's to say */
    while (folders && !found) {
        size_t length = strcspn(folders, ":");
        char *place = NULL;
        struct stat there;
        if (asprintf(&place, "%.*s%s%s", (int)length, folders, length > 0 ? "/" : "", program) < 0)
            return true;
        found = stat(place, &there) == 0 && S_ISREG(there.st_mode) && access(place, X_OK) == 0;
        free(place);
        folders = folders[length] == ':' ? folders + length + 1 : NULL;
    }
    return found;
}

static void look_at_program(struct missing *missing, const struct experiment_process *process,
                            const char *directory)
{
    const char *program = process->arguments[0];
    if (strchr(program, '/'))
        look(missing, process, directory, "program", program, X_OK);
    else if (is_new(missing, program) && !is_in_path(program))
        note(missing, process, "program", program, "there is no such program in PATH");
}

static void look_at_files(struct missing *missing, const struct experiment_process *process,
                          const char *directory)
{
    static const struct {
        const char *prefix, *key;
    } files[] = {{"--tls-cert=", "credentials.tls_cert"},
                 {"--tls-key=", "credentials.tls_key"},
                 {"--tls-ca=", "credentials.tls_ca"},
                 {"--token-file=", "credentials.token_file"},
                 {"data=", "data"}}; /* behind --set */
    bool has_table = strcmp(process->role, "master") == 0 || strcmp(process->role, "member") == 0;
    size_t count = sizeof(files) / sizeof(*files) - !has_table; /* data elsewhere is no path alone */
    for (size_t i = 1; process->arguments[i]; i++) {
        const char *argument = process->arguments[i];
        for (size_t j = 0; j < count; j++) {
            size_t length = strlen(files[j].prefix);
            if (strncmp(argument, files[j].prefix, length) == 0 &&
                strncmp(argument + length, "synthetic:", strlen("synthetic:")) != 0)
                look(missing, process, directory, files[j].key, argument + length, R_OK);
        }
    }
}

void missing_print(const struct experiment *experiment)
{
    struct missing missing = {.seen = json_object()};
    for (size_t i = 0; i < experiment->process_count; i++) {
        const struct experiment_process *process = &experiment->processes[i];
        const struct experiment_host *host = &experiment->hosts[process->host];
        const char *directory = process->directory ? process->directory : host->directory;
        if (host->reach != REACH_HERE)
            continue;
        if (strcmp(process->arguments[0], "muster") == 0)
            look_at_files(&missing, process, directory);
        else
            look_at_program(&missing, process, directory);
    }
    if (missing.notes > NOTES_MAX)
        printf("  note: %zu more files are missing\n", missing.notes - NOTES_MAX);
    json_decref(missing.seen);
}
