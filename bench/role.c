/* The processes of a measurement, seen from inside: they read commands, call what the role does and write how
   long it took. Both systems are timed by this one file. */
#include <config.h>

#include "role.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const char *role_name = "bench";

void role_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "bench: %s: ", role_name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    _exit(1);
}

void *role_allocate(size_t count, size_t size)
{
    void *memory = calloc(count > 0 ? count : 1, size);
    if (memory == NULL) {
        role_fail("out of memory");
    }
    return memory;
}

uint64_t role_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* Resident memory of this process in bytes, from the kernel's own sum over all mappings. */
static uint64_t resident_memory(void)
{
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    char line[256];
    unsigned long long kilobytes = 0;
    bool found = false;
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        found = sscanf(line, "Rss: %llu kB", &kilobytes) == 1;
    }
    if (file != NULL) {
        fclose(file);
    }
    if (!found) {
        role_fail("/proc/self/smaps_rollup does not say how much memory is resident");
    }
    return kilobytes * 1024;
}

/* Processor time of this process so far. */
static void print_cpu(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    long long seconds = (long long)usage.ru_utime.tv_sec + usage.ru_stime.tv_sec;
    printf("cpu %lld\n", seconds * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* Nothing is printed between two measurements: the reply to a command is one write. */
static void time_each(void (*action)(void), size_t count)
{
    uint64_t *times = role_allocate(count, sizeof *times);
    for (size_t i = 0; i < count; ++i) {
        uint64_t start = role_now();
        action();
        times[i] = role_now() - start;
    }
    printf("times");
    for (size_t i = 0; i < count; ++i) {
        printf(" %llu", (unsigned long long)times[i]);
    }
    putchar('\n');
    free(times);
}

static void serve_command(const struct role_server *server, const char *line)
{
    size_t count = 0;
    if (sscanf(line, "join %zu", &count) == 1) {
        server->join(count);
        printf("joined %llu\n", (unsigned long long)role_now());
    } else if (strcmp(line, "memory\n") == 0) {
        printf("memory %llu\n", (unsigned long long)resident_memory());
    } else if (strcmp(line, "cpu\n") == 0) {
        print_cpu();
    } else if (sscanf(line, "turns %zu", &count) == 1) {
        time_each(server->turn, count);
    } else if (sscanf(line, "rounds %zu", &count) == 1) {
        time_each(server->round, count);
    } else {
        role_fail("unknown command: %s", line);
    }
}

static void run_server(const struct role_server *server, const struct role_options *options)
{
    printf("port %u\n", server->start(options));
    fflush(stdout);
    char line[256];
    while (fgets(line, sizeof line, stdin) != NULL && strcmp(line, "end\n") != 0) {
        serve_command(server, line);
        fflush(stdout);
    }
    server->stop();
}

static void run_participants(const struct role_participants *participants, const struct role_options *options)
{
    char line[256];
    bool connected = false;
    while (fgets(line, sizeof line, stdin) != NULL && strcmp(line, "end\n") != 0) {
        if (strcmp(line, "connect\n") == 0) {
            uint64_t start = role_now();
            participants->connect(options);
            connected = true;
            printf("connected %llu\n", (unsigned long long)start);
        } else if (strcmp(line, "cpu\n") == 0) {
            print_cpu();
        } else {
            role_fail("unknown command: %s", line);
        }
        fflush(stdout);
    }
    if (connected) {
        participants->stop();
    }
}

int role_main(const char *name, const char *text)
{
    struct role_options options = {0};
    int batched = 0;
    int consumes = 0;
    role_name = name;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (sscanf(text, ROLE_OPTIONS_FORMAT, &options.port, &options.participants, &options.payload,
               &options.connecting, &options.threads, &batched, &consumes) != 7) {
        role_fail("bad options: %s", text);
    }
    options.batched = batched != 0;
    options.consumes = consumes != 0;
    (void)resident_memory(); /* so that what the first reading takes is not in a difference */
    if (strcmp(name, "muster-server") == 0) {
        run_server(&muster_server, &options);
    } else if (strcmp(name, "core-server") == 0) {
        run_server(&core_server, &options);
    } else if (strcmp(name, "muster-participants") == 0) {
        run_participants(&muster_participants, &options);
    } else if (strcmp(name, "core-participants") == 0) {
        run_participants(&core_participants, &options);
    } else {
        role_fail("unknown role");
    }
    return 0;
}
