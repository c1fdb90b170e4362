/* One thread waits for the launcher, for what processes write, and for their ends, of which the thread of `children`
 * tells by a pipe. When the launcher is gone, everything here ends. */
#include <config.h>

#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/types.h>
#include <unistd.h>

#include <jansson.h>

#include "channel.h"
#include "common/child.h"
#include "common/clock.h"

/* How much may wait to be sent before the processes' output is left where it is, and how long processes have to end
 * when the launcher is gone. */
enum { QUEUE_FULL = 1 << 18, GONE_MS = 5000, ORPHANS_MS = 10000, PORT_LINES_SIZE = 64, ENDS_SIZE = 1 << 20 };

/* This program, also when its file has been replaced since. */
#define PROGRAM "/proc/self/exe"

struct process {
    bool runs;
    size_t number; /* in `children` */
    int output;    /* -1: none */
    int port;      /* -1: none */
    char port_lines[PORT_LINES_SIZE];
};

struct agent {
    struct channel *channel;
    struct children *children;
    int ends[2]; /* pairs of a number and a status come through it */
    struct process *processes;
    size_t count;
    int64_t heard_ms;
    bool gone;         /* the launcher, or it has said the end */
    int64_t within_ms; /* for the end */
};

struct end {
    size_t number;
    int status;
};

static volatile sig_atomic_t asked_to_end;
static atomic_bool ending; /* ends are of no interest any more */

static void ask_to_end(int number)
{
    (void)number;
    asked_to_end = 1;
}

static void tell(struct agent *agent, json_t *message)
{
    if (!channel_send(agent->channel, message, NULL, 0))
        agent->gone = true;
}

static void close_file(int *file)
{
    if (*file >= 0)
        close(*file);
    *file = -1;
}

/* ---- what processes write ---- */

/* Sends a piece of output; false when there is none now. */
static bool send_output(struct agent *agent, size_t id)
{
    static char piece[CHANNEL_BYTES_MAX];
    struct process *process = &agent->processes[id];
    ssize_t count = process->output >= 0 ? read(process->output, piece, sizeof(piece)) : 0;
    if (count > 0) {
        json_t *message = json_pack("{s:I}", "id", (json_int_t)id);
        if (!channel_send(agent->channel, message, piece, (size_t)count))
            agent->gone = true;
        return true;
    }
    if (count == 0 || errno != EAGAIN)
        close_file(&process->output);
    return false;
}

/* The first line is the port, and the second, if there is one, the monitor's. */
static void tell_port(struct agent *agent, size_t id)
{
    struct process *process = &agent->processes[id];
    unsigned port = 0, monitor = 0;
    int count = sscanf(process->port_lines, "%5u%5u", &port, &monitor);
    close_file(&process->port);
    if (count >= 1 && port <= UINT16_MAX && monitor <= UINT16_MAX)
        tell(agent, json_pack("{s:I, s:i, s:o}", "id", (json_int_t)id, "port", (int)port, "monitor",
                              count == 2 ? json_integer(monitor) : json_null()));
}

/* False when there is nothing to read now, or any more. */
static bool read_port(struct agent *agent, size_t id)
{
    struct process *process = &agent->processes[id];
    size_t length = strlen(process->port_lines), room = PORT_LINES_SIZE - 1 - length;
    ssize_t count = read(process->port, process->port_lines + length, room);
    if (count > 0)
        process->port_lines[length + (size_t)count] = '\0';
    /* Both lines are written at once. The process itself may have the pipe open as long as it runs. */
    bool whole = strchr(process->port_lines, '\n');
    if (whole || count == 0 || (count < 0 && errno != EAGAIN))
        tell_port(agent, id);
    return count > 0 && process->port >= 0;
}

/* ---- starts ---- */

/* An array of texts as one with NULL behind them, to be freed; the texts stay the message's. NULL when it is none, or
 * when out of memory. */
static const char **texts_of(const json_t *array, size_t more)
{
    size_t count = json_array_size(array), i;
    const char **texts = json_is_array(array) ? calloc(count + more + 1, sizeof(*texts)) : NULL;
    for (i = 0; texts && i < count; i++) {
        texts[i] = json_string_value(json_array_get(array, i));
        if (!texts[i])
            break;
    }
    if (texts && i == count)
        return texts;
    free(texts);
    return NULL;
}

/* The agent's own environment, and what the message adds. */
static const char **environment_of(const json_t *array)
{
    size_t own = 0, count = json_array_size(array);
    while (environ[own])
        own++;
    const char **texts = calloc(own + count + 1, sizeof(*texts)), **more = texts_of(array, 0);
    size_t used = 0;
    for (size_t i = 0; texts && more && i < own; i++) {
        size_t length = strcspn(environ[i], "="), j = 0;
        while (j < count && (strncmp(more[j], environ[i], length) != 0 || more[j][length] != '='))
            j++;
        if (j == count)
            texts[used++] = environ[i];
    }
    if (texts && more)
        memcpy(texts + used, more, count * sizeof(*more));
    if (!more) {
        free(texts);
        texts = NULL;
    }
    free(more);
    return texts;
}

static struct process *process_of(struct agent *agent, const json_t *id)
{
    json_int_t number = json_integer_value(id);
    if (!json_is_integer(id) || number < 0 || number >= AGENT_IDS_MAX)
        return NULL;
    if ((size_t)number >= agent->count) {
        size_t count = (size_t)number + 1;
        struct process *processes = reallocarray(agent->processes, count, sizeof(*processes));
        if (!processes)
            return NULL;
        for (size_t i = agent->count; i < count; i++)
            processes[i] = (struct process){.output = -1, .port = -1};
        agent->processes = processes;
        agent->count = count;
    }
    return &agent->processes[number];
}

static bool open_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    return true;
}

/* Starts it, and *error says why not. */
static bool run(struct agent *agent, struct process *process, struct child_command *command, bool serves,
                size_t arguments, const char **texts, struct muster_error *error)
{
    int output[2] = {-1, -1}, port[2] = {-1, -1};
    char option[48];
    bool opened = open_pipe(output) && (!serves || open_pipe(port));
    if (opened && serves) {
        snprintf(option, sizeof(option), "--port-file=/dev/fd/%d", port[1]);
        texts[arguments] = option;
    }
    command->output = output[1];
    command->keep = port[1];
    if (!opened)
        snprintf(error->text, sizeof(error->text), "no pipe: %s", strerror(errno));
    bool started = opened && children_start(agent->children, command, &process->number, error) == MUSTER_OK;
    close_file(&output[1]);
    close_file(&port[1]);
    process->runs = started;
    process->port_lines[0] = '\0';
    process->output = output[0];
    process->port = port[0];
    if (!started) {
        close_file(&process->output);
        close_file(&process->port);
    }
    return started;
}

static void start(struct agent *agent, const json_t *wish)
{
    struct process *process = process_of(agent, json_object_get(wish, "id"));
    json_int_t id = json_integer_value(json_object_get(wish, "id"));
    const json_t *arguments = json_object_get(wish, "arguments");
    if (!process || process->runs || json_array_size(arguments) == 0)
        return;
    struct muster_error error = {.text = "out of memory, or what the launcher says is no command"};
    struct child_command command = CHILD_COMMAND_INIT;
    const char **texts = texts_of(arguments, 1);
    const char **environment = environment_of(json_object_get(wish, "environment"));
    bool started = false;
    if (texts && environment) {
        command.program = strcmp(texts[0], "muster") == 0 ? PROGRAM : texts[0];
        command.arguments = texts;
        command.environment = environment;
        command.directory = json_string_value(json_object_get(wish, "directory"));
        started = run(agent, process, &command, json_is_true(json_object_get(wish, "serves")),
                      json_array_size(arguments), texts, &error);
    }
    free(texts);
    free(environment);
    if (started)
        tell(agent, json_pack("{s:I, s:i}", "id", id, "started",
                              (int)children_pid(agent->children, process->number)));
    else
        tell(agent, json_pack("{s:I, s:s}", "id", id, "failed", error.text));
}

/* ---- ends ---- */

/* On the thread of `children`. */
static void on_end(void *context, size_t number, int status)
{
    struct agent *agent = context;
    const struct end end = {number, status};
    ssize_t written = 0;
    if (!atomic_load(&ending))
        written = write(agent->ends[1], &end, sizeof(end)); /* in one piece; waits while the pipe is full */
    (void)written;
}

/* What a process wrote comes before its end; all who had its output open were killed, but for those that hide, who may
 * write without end: what is in the pipe now is all that counts. */
static void send_rest(struct agent *agent, size_t id)
{
    struct process *process = &agent->processes[id];
    int left = 0;
    if (process->output < 0 || ioctl(process->output, FIONREAD, &left) != 0)
        return;
    for (int sent = 0; !agent->gone && sent < left; sent += CHANNEL_BYTES_MAX) {
        if (!send_output(agent, id))
            return;
    }
}

static void read_end(struct agent *agent)
{
    struct end end;
    if (read(agent->ends[0], &end, sizeof(end)) != sizeof(end))
        return;
    for (size_t id = 0; id < agent->count; id++) {
        struct process *process = &agent->processes[id];
        if (!process->runs || process->number != end.number)
            continue;
        send_rest(agent, id);
        close_file(&process->output);
        while (process->port >= 0 && read_port(agent, id))
            continue;
        close_file(&process->port);
        process->runs = false;
        tell(agent, json_pack("{s:I, s:i}", "id", (json_int_t)id, "ended", end.status));
    }
}

/* ---- the launcher ---- */

static void obey(struct agent *agent, const json_t *message)
{
    const json_t *wish;
    if ((wish = json_object_get(message, "start"))) {
        start(agent, wish);
    } else if ((wish = json_object_get(message, "signal"))) {
        const struct process *process = process_of(agent, json_object_get(message, "id"));
        json_int_t number = json_integer_value(wish);
        if (process && process->runs && number > 0 && number < NSIG) {
            children_signal(agent->children, process->number, (int)number);
            children_signal(agent->children, process->number, SIGCONT);
        }
    } else if ((wish = json_object_get(message, "ping"))) {
        tell(agent, json_pack("{s:I}", "pong", json_integer_value(wish)));
    } else if ((wish = json_object_get(message, "end"))) {
        agent->within_ms = json_integer_value(wish);
        agent->gone = true;
    }
}

static void listen_to_launcher(struct agent *agent)
{
    const char *bytes;
    size_t count;
    json_t *message;
    bool open = channel_read(agent->channel);
    while (!agent->gone && (message = channel_next(agent->channel, &bytes, &count))) {
        agent->heard_ms = clock_ms();
        obey(agent, message);
        json_decref(message);
    }
    agent->gone = agent->gone || !open || channel_is_broken(agent->channel);
}

static void greet(struct agent *agent)
{
    char host[256] = "";
    const char *connection = getenv("SSH_CONNECTION"); /* CLIENT PORT SERVER PORT */
    int length = connection ? (int)strcspn(connection, " ") : 0;
    gethostname(host, sizeof(host) - 1);
    tell(agent, json_pack("{s:s, s:s, s:o}", "hello", PACKAGE_VERSION, "host", host, "seen",
                          length > 0 ? json_stringn(connection, (size_t)length) : json_null()));
}

/* ---- the loop ---- */

static bool is_full(const struct agent *agent)
{
    return channel_queued(agent->channel) > QUEUE_FULL;
}

static size_t fill(const struct agent *agent, struct pollfd *waits, size_t *ids)
{
    size_t count = 3;
    bool full = is_full(agent);
    waits[0] = (struct pollfd){.fd = channel_in(agent->channel), .events = POLLIN};
    waits[1] = (struct pollfd){.fd = channel_out(agent->channel), .events = POLLOUT};
    waits[2] = (struct pollfd){.fd = full ? -1 : agent->ends[0], .events = POLLIN};
    for (size_t i = 0; i < agent->count && !full; i++) {
        const int files[] = {agent->processes[i].output, agent->processes[i].port};
        for (size_t j = 0; j < 2; j++) {
            if (files[j] < 0)
                continue;
            ids[count] = i;
            waits[count++] = (struct pollfd){.fd = files[j], .events = POLLIN};
        }
    }
    return count;
}

static bool serve_once(struct agent *agent)
{
    struct pollfd *waits = calloc(2 * agent->count + 3, sizeof(*waits));
    size_t *ids = calloc(2 * agent->count + 3, sizeof(*ids));
    if (waits && ids) {
        size_t count = fill(agent, waits, ids);
        int ready = poll(waits, count, AGENT_PING_MS);
        for (size_t i = 3; ready > 0 && i < count && !is_full(agent); i++) {
            const struct process *process = &agent->processes[ids[i]];
            if (waits[i].revents != 0 && waits[i].fd == process->output)
                send_output(agent, ids[i]);
            else if (waits[i].revents != 0 && waits[i].fd == process->port)
                read_port(agent, ids[i]);
        }
        if (ready > 0 && waits[2].revents != 0)
            read_end(agent);
        if (ready > 0 && waits[1].revents != 0 && !channel_flush(agent->channel))
            agent->gone = true;
        if (ready > 0 && waits[0].revents != 0)
            listen_to_launcher(agent);
    }
    bool made = waits && ids;
    free(waits);
    free(ids);
    return made;
}

/* The pipe for ends has room for one of each process, where the system allows it: who tells of them does not wait. */
static bool open_ends(struct agent *agent)
{
    bool opened = pipe2(agent->ends, O_CLOEXEC) == 0;
    if (opened)
        fcntl(agent->ends[1], F_SETPIPE_SZ, ENDS_SIZE);
    return opened;
}

static bool begin(struct agent *agent)
{
    struct sigaction asking = {.sa_handler = ask_to_end}, ignored = {.sa_handler = SIG_IGN};
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    children_adopt();
    agent->children = children_new(on_end, agent); /* children begin with the signals as they are now */
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
        sigaction(numbers[i], &asking, NULL);
    sigaction(SIGPIPE, &ignored, NULL);
    /* Nothing but the channel writes there. */
    int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3), out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (in < 0 || out < 0 || nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 ||
        dup2(nothing, STDOUT_FILENO) < 0)
        return false;
    agent->channel = channel_new(in, out);
    return agent->children && agent->channel && open_ends(agent);
}

/* What still runs has `within_ms`; then it is killed, and what it left behind. */
static void end(struct agent *agent)
{
    atomic_store(&ending, true);
    children_end(agent->children, agent->within_ms);
    children_free(agent->children);
    children_kill_orphans(ORPHANS_MS);
    channel_free(agent->channel);
    free(agent->processes);
}

int agent_command(int count, char **arguments)
{
    struct agent agent = {.within_ms = GONE_MS};
    (void)arguments;
    if (count > 1) {
        fprintf(stderr, "muster agent: it has no options: a launcher starts it, and talks to it\n");
        return 2;
    }
    if (!begin(&agent)) {
        fprintf(stderr, "muster agent: out of memory, threads or descriptors\n");
        return EXIT_FAILURE;
    }
    agent.heard_ms = clock_ms();
    greet(&agent);
    while (!agent.gone && !asked_to_end) {
        if (!serve_once(&agent))
            break;
        children_collect();
        agent.gone = agent.gone || clock_ms() - agent.heard_ms > AGENT_SILENCE_MS;
    }
    end(&agent);
    return EXIT_SUCCESS;
}
