/* Addresses, arguments and environment of a process, as its host is told of them. */
#include <config.h>

#include "process_start.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/placeholders.h"
#include "common/port.h"

enum { SERVER_SIZE = 512 };

/* ---- addresses ---- */

static bool is_wildcard(const char *host, size_t length)
{
    return length == 0 || (length == 7 && strncmp(host, "0.0.0.0", 7) == 0) ||
           (length == 4 && strncmp(host, "[::]", 4) == 0);
}

void process_start_server(const struct launcher *launcher, const struct process *process, char *text,
                          size_t size)
{
    const struct process *serving = &launcher->processes[0];
    const char *listen = serving->definition->listen;
    if (!listen) {
        snprintf(text, size, "%s", launcher->options->server ? launcher->options->server : "");
        return;
    }
    listen = port_host(listen); /* each takes the transport that it has */
    const char *colon = strrchr(listen, ':'), *host = listen;
    size_t length = colon ? (size_t)(colon - listen) : strlen(listen);
    char own[256] = "";
    bool same = process->definition->host == serving->definition->host;
    if (!same && serving->definition->address)
        host = serving->definition->address;
    else if (is_wildcard(listen, length) && same)
        host = "127.0.0.1";
    else if (is_wildcard(listen, length) &&
             launcher->experiment->hosts[serving->definition->host].reach != REACH_HERE) {
        const char *target = launcher->experiment->hosts[serving->definition->host].target,
                   *at = strchr(target, '@');
        host = at ? at + 1 : target;
    } else if (is_wildcard(listen, length)) {
        const char *seen = launcher->hosts[process->definition->host].seen;
        gethostname(own, sizeof(own) - 1);
        host = *seen != '\0' ? seen : own;
    }
    if (host != listen)
        length = strlen(host);
    bool bare = host != listen && memchr(host, ':', length) && host[0] != '[';
    snprintf(text, size, "%s%.*s%s:%d", bare ? "[" : "", (int)length, host, bare ? "]" : "", launcher->port);
}

/* ---- arguments and environment ---- */

/* A text in which {server} is replaced. */
static json_t *replace(const char *text, const char *server)
{
    const struct placeholder list[] = {{"{server}", server}};
    char *replaced = placeholders_replace(text, list, 1);
    json_t *string = replaced ? json_string(replaced) : NULL;
    free(replaced);
    return string;
}

static void append(json_t *array, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void append(json_t *array, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    json_array_append_new(array, json_string(text));
}

static json_t *arguments_of(const struct launcher *launcher, const struct process *process,
                            const char *server)
{
    const struct experiment_process *definition = process->definition;
    json_t *array = json_array();
    for (size_t i = 0; definition->arguments[i]; i++)
        json_array_append_new(array, replace(definition->arguments[i], server));
    if (definition->listen && launcher->port == 0) {
        append(array, "--listen=%s", definition->listen);
    } else if (definition->listen) {
        const char *colon = strrchr(definition->listen, ':');
        append(array, "--listen=%.*s:%d", colon ? (int)(colon - definition->listen) : 0, definition->listen,
               launcher->port);
    }
    return array;
}

static json_t *environment_of(const struct launcher *launcher, const struct process *process,
                              const char *server)
{
    const struct experiment_process *definition = process->definition;
    json_t *array = json_array();
    append(array, "MUSTER_RUN=%s", launcher->experiment->name);
    append(array, "MUSTER_NAME=%s", definition->name);
    append(array, "MUSTER_RANK=%zu", definition->rank);
    append(array, "MUSTER_COUNT=%zu", definition->count);
    if (*server != '\0')
        append(array, "MUSTER_SERVER=%s", server);
    for (size_t i = 0; definition->environment && definition->environment[i]; i++)
        json_array_append_new(array, replace(definition->environment[i], server));
    return array;
}

json_t *process_start_message(const struct launcher *launcher, const struct process *process)
{
    const struct experiment_process *definition = process->definition;
    const char *directory = definition->directory;
    char server[SERVER_SIZE] = "";
    if (process != &launcher->processes[0] || !definition->listen)
        process_start_server(launcher, process, server, sizeof(server));
    if (!directory)
        directory = launcher->experiment->hosts[definition->host].directory;
    json_t *arguments = arguments_of(launcher, process, server);
    json_t *environment = environment_of(launcher, process, server);
    json_int_t id = process - launcher->processes;
    return json_pack("{s:{s:I, s:o, s:o, s:o, s:b}}", "start", "id", id, "arguments", arguments,
                     "environment", environment, "directory",
                     directory ? json_string(directory) : json_null(), "serves",
                     definition->listen || definition->monitored);
}
