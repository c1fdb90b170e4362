/* What control tells of a run, as `muster status --json` prints it. */
#include <config.h>

#include "process_start.h"
#include "supervision.h"

static const char *const state_names[] = {"waiting",     "starting", "running",
                                          "backing off", "ended",    "given up"};
static const char *const phase_names[] = {"starting", "running",  "leaving", "stopping",
                                          "stopping", "stopping", "ended"};

static json_t *describe(const struct launcher *launcher, const struct process *process)
{
    const struct experiment_process *definition = process->definition;
    const char *host = launcher->experiment->hosts[definition->host].name;
    char how[CHILD_TEXT_SIZE];
    return json_pack("{s:s, s:s, s:I, s:s, s:o, s:s, s:I, s:I, s:o}", "name", definition->name, "role",
                     definition->role, "rank", (json_int_t)definition->rank, "host", host, "pid",
                     process->pid > 0 ? json_integer(process->pid) : json_null(), "state",
                     state_names[process->state], "since_ms",
                     (json_int_t)(launcher->now_ms - process->since_ms), "restarts",
                     (json_int_t)(process->starts > 0 ? process->starts - 1 : 0), "status",
                     process->ended ? json_string(child_describe(process->status, how)) : json_null());
}

json_t *supervision_status(const struct launcher *launcher)
{
    const struct process *serving = &launcher->processes[0];
    char server[512];
    json_t *processes = json_array();
    for (size_t i = 0; i < launcher->experiment->process_count; i++)
        json_array_append_new(processes, describe(launcher, &launcher->processes[i]));
    process_start_server(launcher, serving, server, sizeof(server));
    bool here = launcher->monitor_port > 0;
    return json_pack(
        "{s:s, s:s, s:o, s:o, s:o}", "run", launcher->experiment->name, "phase", phase_names[launcher->phase],
        "server", launcher->port > 0 ? json_string(server) : json_null(), "monitor",
        here ? json_sprintf("127.0.0.1:%d", launcher->monitor_port) : json_null(), "processes", processes);
}
