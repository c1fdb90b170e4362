/* Rules, not waiting: each event changes a state, and a step does what the states ask for. */
#include <config.h>

#include "supervision.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "agent.h"
#include "process_start.h"

enum {
    LONGEST_BACKOFF_S = 30,
    STEADY_MS = 60000,       /* one that ran so long has not failed in a row */
    LEAVING_MS = 10000,      /* for those who hear that the training is over */
    DECIDERS_MORE_MS = 5000, /* what decides may have a limit of its own, which is as long */
    KILL_MS = 5000,
    HOST_TRIES = 4,
    IDLE_MS = 60000,
    TOLD_LINES = 3, /* of one that is given up */
};

static bool is_final(const struct process *process)
{
    return process->state == PROCESS_ENDED || process->state == PROCESS_GIVEN_UP;
}

static bool is_on_host(const struct process *process)
{
    return process->state == PROCESS_STARTING || process->state == PROCESS_RUNNING;
}

static void set_state(struct launcher *launcher, struct process *process, enum process_state state)
{
    process->state = state;
    process->since_ms = launcher->now_ms;
    if (!is_on_host(process))
        process->pid = 0;
}

static void set_phase(struct launcher *launcher, enum phase phase)
{
    launcher->phase = phase;
    launcher->phase_ms = launcher->now_ms;
}

static const char *host_of(const struct launcher *launcher, const struct process *process)
{
    return launcher->experiment->hosts[process->definition->host].name;
}

static bool is_here(const struct launcher *launcher, const struct process *process)
{
    return launcher->experiment->hosts[process->definition->host].reach == REACH_HERE;
}

/* ---- stopping ---- */

static void tell_started(struct launcher *launcher, const char *why)
{
    if (!launcher->told_started && launcher->options->started)
        launcher->options->started(launcher->options->context, why);
    launcher->told_started = true;
}

static void signal_process(struct launcher *launcher, const struct process *process, int number)
{
    struct host *host = &launcher->hosts[process->definition->host];
    json_int_t id = process - launcher->processes;
    if (host->state == HOST_UP && is_on_host(process))
        channel_send(host->channel, json_pack("{s:i, s:I}", "signal", number, "id", id), NULL, 0);
}

/* Sends a signal to all that run, or to what decides. What has not started will not. */
static void signal_all(struct launcher *launcher, int number, bool deciders_only)
{
    for (size_t i = 0; i < launcher->experiment->process_count; i++) {
        struct process *process = &launcher->processes[i];
        if (deciders_only && !process->definition->decides)
            continue;
        if (is_on_host(process))
            signal_process(launcher, process, number);
        else if (!is_final(process))
            set_state(launcher, process, PROCESS_ENDED);
    }
}

static void stop(struct launcher *launcher)
{
    signal_all(launcher, SIGTERM, true);
    set_phase(launcher, PHASE_STOPPING);
}

/* The run is of no use any more. */
static void fail(struct launcher *launcher, int result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void fail(struct launcher *launcher, int result, const char *format, ...)
{
    va_list arguments;
    if (launcher->phase >= PHASE_LEAVING)
        return;
    va_start(arguments, format);
    vsnprintf(launcher->why, sizeof(launcher->why), format, arguments);
    va_end(arguments);
    output_say("%s: %s", launcher->experiment->name, launcher->why);
    launcher->result = result;
    tell_started(launcher, launcher->why);
    stop(launcher);
}

/* ---- starts ---- */

static void start(struct launcher *launcher, struct process *process)
{
    struct host *host = &launcher->hosts[process->definition->host];
    json_t *message = process_start_message(launcher, process);
    set_state(launcher, process, PROCESS_STARTING);
    process->starts++;
    output_begin(&process->output);
    if (!channel_send(host->channel, message, NULL, 0))
        supervision_lose(launcher, host);
}

static bool may_start(const struct launcher *launcher, const struct process *process)
{
    const struct process *serving = &launcher->processes[0];
    if (launcher->hosts[process->definition->host].state != HOST_UP)
        return false;
    if (process->state == PROCESS_BACKING_OFF && process->due_ms > launcher->now_ms)
        return false;
    bool waits = process->state == PROCESS_WAITING || process->state == PROCESS_BACKING_OFF;
    return waits && (process == serving || !serving->definition->listen || launcher->port > 0);
}

/* ---- ends ---- */

static void give_up(struct launcher *launcher, struct process *process, const char *why)
{
    char tail[600];
    output_tail(&process->output, TOLD_LINES, tail, sizeof(tail));
    set_state(launcher, process, PROCESS_GIVEN_UP);
    output_say("%s: %s on %s is given up: it %s%s%s", launcher->experiment->name, process->definition->name,
               host_of(launcher, process), why, *tail != '\0' ? ". Its last lines: " : "", tail);
}

static void back_off(struct launcher *launcher, struct process *process, const char *why)
{
    char line[300];
    size_t doubled = process->failures < 5 ? process->failures : 5;
    int64_t wait_s = process->failures > 0 ? (int64_t)1 << (doubled - 1) : 0;
    wait_s = process->failures > 5 || wait_s > LONGEST_BACKOFF_S ? LONGEST_BACKOFF_S : wait_s;
    output_tail(&process->output, 1, line, sizeof(line));
    set_state(launcher, process, PROCESS_BACKING_OFF);
    process->due_ms = launcher->now_ms + 1000 * wait_s;
    output_say("%s: %s on %s %s; it starts again in %lld s%s%s", launcher->experiment->name,
               process->definition->name, host_of(launcher, process), why, (long long)wait_s,
               *line != '\0' ? ": " : "", line);
}

/* What follows from an end or a failed start; `well`: it ended with status 0. */
static void decide(struct launcher *launcher, struct process *process, bool well, const char *why)
{
    const struct experiment_process *definition = process->definition;
    bool again =
        definition->restart == RESTART_ALWAYS || (definition->restart == RESTART_ON_FAILURE && !well);
    if (launcher->phase >= PHASE_LEAVING || (well && !again)) {
        set_state(launcher, process, PROCESS_ENDED);
        return;
    }
    if (launcher->now_ms - process->since_ms >= STEADY_MS)
        process->failures = 0;
    process->failures++;
    if (again && process->failures <= definition->restarts)
        back_off(launcher, process, why);
    else
        give_up(launcher, process, why);
}

static void take_end(struct launcher *launcher, struct process *process, int status)
{
    char how[CHILD_TEXT_SIZE], tail[600];
    bool never_served = process->definition->listen && launcher->port == 0;
    output_end(&process->output);
    process->ended = true;
    process->status = status;
    child_describe(status, how);
    if (launcher->phase == PHASE_STARTING && never_served && process->definition->decides && status == 0) {
        /* It had been complete before: nobody else is needed. */
        set_state(launcher, process, PROCESS_ENDED);
        signal_all(launcher, SIGTERM, false);
        return;
    }
    if (launcher->phase == PHASE_STARTING && never_served) {
        set_state(launcher, process, PROCESS_ENDED);
        output_tail(&process->output, TOLD_LINES, tail, sizeof(tail));
        fail(launcher, WIFEXITED(status) && status != 0 ? WEXITSTATUS(status) : EXIT_FAILURE,
             "%s %s before anybody could connect%s%s", process->definition->name, how,
             *tail != '\0' ? ": " : "", tail);
        return;
    }
    decide(launcher, process, status == 0, how);
}

static void take_failure(struct launcher *launcher, struct process *process, const char *why)
{
    if (process->starts > 1) {
        decide(launcher, process, false, why);
        return;
    }
    set_state(launcher, process, PROCESS_ENDED);
    fail(launcher, EXIT_FAILURE, "%s on %s: %s", process->definition->name, host_of(launcher, process), why);
}

/* ---- events ---- */

static void take_start(struct launcher *launcher, struct process *process, int pid)
{
    set_state(launcher, process, PROCESS_RUNNING);
    process->pid = pid;
    /* It may have been asked to end while it started. */
    if (launcher->phase == PHASE_STOPPING && process->definition->decides)
        signal_process(launcher, process, SIGTERM);
    else if (launcher->phase >= PHASE_LEAVING)
        signal_process(launcher, process, launcher->phase == PHASE_KILLING ? SIGKILL : SIGTERM);
}

static void take_port(struct launcher *launcher, const struct process *process, const json_t *message)
{
    int port = (int)json_integer_value(json_object_get(message, "port"));
    int monitor = (int)json_integer_value(json_object_get(message, "monitor"));
    if (monitor > 0 && is_here(launcher, process))
        launcher->monitor_port = monitor;
    if (process != &launcher->processes[0] || port <= 0)
        return;
    bool first = launcher->port == 0;
    launcher->port = port;
    if (first)
        output_say("%s: %s listens at port %d", launcher->experiment->name, process->definition->name, port);
}

void supervision_take(struct launcher *launcher, struct host *host, const json_t *message, const char *bytes,
                      size_t count)
{
    const json_t *value, *id = json_object_get(message, "id");
    if (json_object_get(message, "hello")) {
        if (host->state == HOST_STARTING && !host_greet(host, message))
            fail(launcher, EXIT_FAILURE, "host %s: %s", host->definition->name, host->why);
        return;
    }
    json_int_t number = json_integer_value(id);
    if (!json_is_integer(id) || number < 0 || (size_t)number >= launcher->experiment->process_count)
        return;
    struct process *process = &launcher->processes[number];
    if (&launcher->hosts[process->definition->host] != host || !is_on_host(process))
        return;
    if (count > 0 && !output_add(&process->output, bytes, count))
        output_say("%s: the log of %s cannot be written (is the disk full?); lines of it are lost",
                   launcher->experiment->name, process->definition->name);
    if ((value = json_object_get(message, "started")))
        take_start(launcher, process, (int)json_integer_value(value));
    else if ((value = json_object_get(message, "failed")))
        take_failure(launcher, process, json_is_string(value) ? json_string_value(value) : "?");
    else if (json_object_get(message, "port"))
        take_port(launcher, process, message);
    else if ((value = json_object_get(message, "ended")))
        take_end(launcher, process, (int)json_integer_value(value));
}

void supervision_lose(struct launcher *launcher, struct host *host)
{
    bool was_up = host->state == HOST_UP;
    size_t lost = 0, index = (size_t)(host - launcher->hosts);
    for (size_t i = 0; i < launcher->experiment->process_count; i++) {
        struct process *process = &launcher->processes[i];
        if (process->definition->host != index || !is_on_host(process))
            continue;
        /* The agent of this machine has not ended it, if it was killed. */
        if (process->pid > 0 && host->definition->reach == REACH_HERE)
            kill(-process->pid, SIGKILL);
        lost++;
        if (launcher->phase >= PHASE_LEAVING)
            set_state(launcher, process, PROCESS_ENDED);
        else if (process->definition->restart == RESTART_NEVER)
            give_up(launcher, process, "was lost with its host");
        else
            set_state(launcher, process, PROCESS_WAITING);
    }
    host_lose(host, launcher->agents, launcher->now_ms);
    if (was_up && launcher->phase < PHASE_LEAVING)
        output_say("%s: host %s is lost, with %zu processes: %s; it is tried again",
                   launcher->experiment->name, host->definition->name, lost, host->why);
}

/* ---- steps ---- */

static bool is_needed(const struct launcher *launcher, size_t index)
{
    for (size_t i = 0; i < launcher->experiment->process_count; i++) {
        const struct process *process = &launcher->processes[i];
        if (process->definition->host == index && !is_final(process))
            return true;
    }
    return false;
}

static void connect_hosts(struct launcher *launcher)
{
    for (size_t i = 0; i < launcher->experiment->host_count; i++) {
        struct host *host = &launcher->hosts[i];
        if (!host_tend(host, launcher->now_ms))
            supervision_lose(launcher, host);
        if (host->state != HOST_DOWN || !is_needed(launcher, i) || launcher->phase >= PHASE_LEAVING)
            continue;
        if (!host->was_up && host->failures >= HOST_TRIES)
            fail(launcher, EXIT_FAILURE, "host %s cannot be reached: %s", host->definition->name, host->why);
        else if (host->due_ms <= launcher->now_ms)
            host_start(host, launcher->agents, launcher->now_ms);
    }
}

static void start_due(struct launcher *launcher)
{
    for (size_t i = 0; i < launcher->experiment->process_count && launcher->phase < PHASE_LEAVING; i++) {
        if (may_start(launcher, &launcher->processes[i]))
            start(launcher, &launcher->processes[i]);
    }
}

static void look_whether_all_are_started(struct launcher *launcher)
{
    const struct experiment *experiment = launcher->experiment;
    if (launcher->phase != PHASE_STARTING)
        return;
    for (size_t i = 0; i < experiment->process_count; i++) {
        const struct process *process = &launcher->processes[i];
        if (process->state == PROCESS_WAITING || (process->state == PROCESS_STARTING && process->starts == 1))
            return;
    }
    if (experiment->processes[0].listen && launcher->port == 0)
        return;
    set_phase(launcher, PHASE_RUNNING);
    output_say("%s: all %zu processes are started", experiment->name, experiment->process_count);
    tell_started(launcher, NULL);
}

/* What came of what decides. */
static int result_of(const struct launcher *launcher)
{
    int result = 0;
    for (size_t i = 0; i < launcher->experiment->process_count; i++) {
        const struct process *process = &launcher->processes[i];
        if (!process->definition->decides || (process->state == PROCESS_ENDED && process->status == 0))
            continue;
        result = process->ended && WIFEXITED(process->status) && process->status != 0
                     ? WEXITSTATUS(process->status)
                     : EXIT_FAILURE;
    }
    return result;
}

static void look_whether_it_is_over(struct launcher *launcher)
{
    size_t deciding = 0, others = 0, given_up = 0;
    for (size_t i = 0; i < launcher->experiment->process_count; i++) {
        const struct process *process = &launcher->processes[i];
        const char *role = process->definition->role;
        if (process->definition->decides)
            deciding += !is_final(process);
        else if (strcmp(role, "participant") == 0 || strcmp(role, "member") == 0) {
            others++;
            given_up += process->state == PROCESS_GIVEN_UP;
        } else if (process->definition->listen && process->state == PROCESS_GIVEN_UP) {
            fail(launcher, EXIT_FAILURE, "nothing goes on without %s", process->definition->name);
        }
    }
    if (launcher->phase >= PHASE_LEAVING)
        return;
    if (deciding == 0) {
        launcher->result = result_of(launcher);
        tell_started(launcher, NULL);
        set_phase(launcher, PHASE_LEAVING);
        /* A coordinator would wait for the next group. */
        if (launcher->processes[0].definition->listen)
            signal_process(launcher, &launcher->processes[0], SIGTERM);
    } else if (others > 0 && given_up == others) {
        fail(launcher, EXIT_FAILURE, "all others are given up");
    }
}

static bool all_final(const struct launcher *launcher, bool deciders_only)
{
    for (size_t i = 0; i < launcher->experiment->process_count; i++) {
        const struct process *process = &launcher->processes[i];
        if (!is_final(process) && (process->definition->decides || !deciders_only))
            return false;
    }
    return true;
}

/* What the coordinator waits for never comes: it is asked to end at once. */
static void hear_wishes(struct launcher *launcher)
{
    int wish = atomic_load(&launcher->stop_signal);
    if (wish != 0 && launcher->phase <= PHASE_LEAVING && launcher->why[0] == '\0') {
        launcher->result = wish > 0 ? 128 + wish : 0;
        snprintf(launcher->why, sizeof(launcher->why), "it was stopped");
        output_say("%s: stopping; once more (Ctrl-C) kills what is left", launcher->experiment->name);
        tell_started(launcher, launcher->why);
        stop(launcher);
    }
    if (atomic_load(&launcher->hurry) && launcher->phase < PHASE_KILLING) {
        signal_all(launcher, SIGKILL, false);
        set_phase(launcher, PHASE_KILLING);
    }
}

/* How long the phase may last; -1: as long as it likes. */
static int64_t limit_of(const struct launcher *launcher)
{
    switch (launcher->phase) {
    case PHASE_LEAVING:
        return LEAVING_MS;
    case PHASE_STOPPING:
        return launcher->experiment->stop_within_ms + DECIDERS_MORE_MS;
    case PHASE_ENDING:
        return launcher->experiment->stop_within_ms;
    case PHASE_KILLING:
        return KILL_MS;
    default:
        return -1;
    }
}

/* Goes on to the next phase when what it waits for is there, or its time is over. */
static bool advance(struct launcher *launcher)
{
    int64_t limit_ms = limit_of(launcher);
    bool late = limit_ms >= 0 && launcher->now_ms - launcher->phase_ms >= limit_ms;
    switch (launcher->phase) {
    case PHASE_STOPPING:
    case PHASE_LEAVING:
        if (!late && !all_final(launcher, launcher->phase == PHASE_STOPPING))
            return false;
        signal_all(launcher, SIGTERM, false);
        set_phase(launcher, PHASE_ENDING);
        return true;
    case PHASE_ENDING:
        if (!late && !all_final(launcher, false))
            return false;
        signal_all(launcher, SIGKILL, false);
        set_phase(launcher, PHASE_KILLING);
        return true;
    case PHASE_KILLING:
        if (!late && !all_final(launcher, false))
            return false;
        set_phase(launcher, PHASE_OVER);
        return false;
    default:
        return false;
    }
}

static int64_t next_ms(const struct launcher *launcher)
{
    int64_t next = launcher->now_ms + IDLE_MS, limit_ms = limit_of(launcher);
    if (limit_ms >= 0 && launcher->phase_ms + limit_ms < next)
        next = launcher->phase_ms + limit_ms;
    for (size_t i = 0; i < launcher->experiment->host_count; i++) {
        bool down = launcher->hosts[i].state == HOST_DOWN;
        int64_t due_ms = host_due_ms(&launcher->hosts[i]);
        if (due_ms < next && (!down || (is_needed(launcher, i) && launcher->phase < PHASE_LEAVING)))
            next = due_ms;
    }
    for (size_t i = 0; i < launcher->experiment->process_count; i++) {
        const struct process *process = &launcher->processes[i];
        if (process->state == PROCESS_BACKING_OFF && process->due_ms < next &&
            launcher->hosts[process->definition->host].state == HOST_UP)
            next = process->due_ms;
    }
    return next > launcher->now_ms ? next - launcher->now_ms : 0;
}

int64_t supervision_step(struct launcher *launcher)
{
    hear_wishes(launcher);
    connect_hosts(launcher);
    start_due(launcher);
    look_whether_all_are_started(launcher);
    look_whether_it_is_over(launcher);
    while (advance(launcher))
        continue;
    return next_ms(launcher);
}
