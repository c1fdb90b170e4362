/* The processes of a measurement, seen from inside: they read commands, call what the role does and write how
   long it took. Both systems are timed by this one file. */
#include <config.h>

#include "role.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "relay.h"

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
    if (!memory)
        role_fail("out of memory");
    return memory;
}

float *role_numbers(size_t bytes)
{
    size_t count = bytes / sizeof(float);
    float *numbers = role_allocate(count, sizeof(*numbers));
    for (size_t i = 0; i < count; i++)
        numbers[i] = (float)(i % 1000) / 1000;
    return numbers;
}

uint64_t role_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* The number of kilobytes that a file of "name: value kB" lines gives `name`, in bytes. */
static uint64_t read_kilobytes(const char *path, const char *name)
{
    FILE *file = fopen(path, "r");
    size_t length = strlen(name);
    char line[256];
    unsigned long long kilobytes = 0;
    bool found = false;
    while (file && !found && fgets(line, sizeof(line), file))
        found = strncmp(line, name, length) == 0 && sscanf(line + length, ": %llu kB", &kilobytes) == 1;
    if (file)
        fclose(file);
    if (!found)
        role_fail("%s does not say %s", path, name);
    return kilobytes * 1024;
}

/* Resident memory of this process in bytes, from the kernel's own sum over all mappings. */
static uint64_t resident_memory(void)
{
    return read_kilobytes("/proc/self/smaps_rollup", "Rss");
}

/* The most resident memory since forget_peak(). */
static uint64_t peak_memory(void)
{
    return read_kilobytes("/proc/self/status", "VmHWM");
}

static void forget_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (!file || fputs("5", file) < 0 || fclose(file) != 0)
        role_fail("/proc/self/clear_refs cannot be written: no peak of memory can be read");
}

/* Processor time of this process so far. */
static void print_cpu(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    long long seconds = (long long)usage.ru_utime.tv_sec + usage.ru_stime.tv_sec;
    printf("cpu %lld\n", seconds * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void print_times(const uint64_t *times, size_t count)
{
    printf("times");
    for (size_t i = 0; i < count; i++)
        printf(" %llu", (unsigned long long)times[i]);
    putchar('\n');
}

/* Nothing is printed between two measurements: the reply to a command is one write. */
static void time_each(void (*action)(void), size_t count)
{
    uint64_t *times = role_allocate(count, sizeof(*times));
    for (size_t i = 0; i < count; i++) {
        uint64_t start = role_now();
        action();
        times[i] = role_now() - start;
    }
    print_times(times, count);
    free(times);
}

/* What only muster's server is told. */
static bool serve_turns_without_wait(const struct role_server *server, const char *line)
{
    size_t first = 0;
    size_t count = 0;
    if (server->begin && sscanf(line, "begin %zu %zu", &first, &count) == 2) {
        server->begin(first, count);
        printf("begun %zu\n", count);
    } else if (server->gather && sscanf(line, "gather %zu %zu", &first, &count) == 2) {
        server->gather(first, count);
        printf("gathered %zu\n", count);
    } else if (server->hold && strcmp(line, "hold\n") == 0) {
        server->hold();
        puts("hold 0");
    } else if (server->let_go && strcmp(line, "let_go\n") == 0) {
        server->let_go();
        puts("let_go 0");
    } else {
        return false;
    }
    return true;
}

/* What only a server with a monitor is told. */
static bool serve_monitor(const struct role_server *server, const char *line)
{
    size_t count = 0;
    if (server->scrape && sscanf(line, "scrapes %zu", &count) == 1) {
        time_each(server->scrape, count);
    } else if (server->watch && sscanf(line, "watch %zu", &count) == 1) {
        server->watch(count > 0);
        puts("watch 0");
    } else {
        return false;
    }
    return true;
}

static void serve_command(const struct role_server *server, const char *line)
{
    size_t count = 0;
    if (sscanf(line, "join %zu", &count) == 1) {
        server->join(count);
        printf("joined %llu\n", (unsigned long long)role_now());
    } else if (strcmp(line, "memory\n") == 0) {
        printf("memory %llu\n", (unsigned long long)resident_memory());
    } else if (strcmp(line, "forget\n") == 0) {
        forget_peak();
        puts("forget 0");
    } else if (strcmp(line, "peak\n") == 0) {
        printf("peak %llu\n", (unsigned long long)peak_memory());
    } else if (strcmp(line, "cpu\n") == 0) {
        print_cpu();
    } else if (sscanf(line, "turns %zu", &count) == 1) {
        time_each(server->turn, count);
    } else if (sscanf(line, "rounds %zu", &count) == 1) {
        time_each(server->round, count);
    } else if (!serve_turns_without_wait(server, line) && !serve_monitor(server, line)) {
        role_fail("unknown command: %s", line);
    }
}

static void run_server(const struct role_server *server, const struct role_options *options)
{
    printf("port %u\n", server->start(options));
    fflush(stdout);
    char line[256];
    while (fgets(line, sizeof(line), stdin) && strcmp(line, "end\n") != 0) {
        serve_command(server, line);
        fflush(stdout);
    }
    server->stop();
}

static void run_participants(const struct role_participants *participants, const struct role_options *options)
{
    char line[256];
    size_t count = 0;
    bool connected = false;
    while (fgets(line, sizeof(line), stdin) && strcmp(line, "end\n") != 0) {
        if (strcmp(line, "connect\n") == 0) {
            uint64_t start = role_now();
            participants->connect(options);
            connected = true;
            printf("connected %llu\n", (unsigned long long)start);
        } else if (participants->answered && sscanf(line, "answered %zu", &count) == 1) {
            participants->answered(count);
            printf("answered %zu\n", count);
        } else if (participants->link && strcmp(line, "link\n") == 0) {
            participants->link();
            puts("link 0");
        } else if (strcmp(line, "memory\n") == 0) {
            printf("memory %llu\n", (unsigned long long)resident_memory());
        } else if (strcmp(line, "cpu\n") == 0) {
            print_cpu();
        } else {
            role_fail("unknown command: %s", line);
        }
        fflush(stdout);
    }
    if (connected)
        participants->stop();
}

static void run_relay(const struct role_options *options)
{
    struct relay_options relay_options = {options->port, options->delay_ms, options->delay_ms};
    struct relay *relay = relay_start(&relay_options);
    char line[256];
    if (!relay)
        role_fail("cannot start: %s", strerror(errno));
    printf("port %u\n", relay_port(relay));
    fflush(stdout);
    if (fgets(line, sizeof(line), stdin) && strcmp(line, "end\n") != 0)
        role_fail("unknown command: %s", line);
    relay_stop(relay);
}

static void run_fold(const struct role_options *options)
{
    char line[256];
    size_t pairs = 0;
    while (fgets(line, sizeof(line), stdin) && strcmp(line, "end\n") != 0) {
        if (sscanf(line, "fold %zu", &pairs) != 1)
            role_fail("unknown command: %s", line);
        uint64_t *times = role_allocate(2 * pairs, sizeof(*times));
        fold_measure(options->answer, pairs, times);
        print_times(times, 2 * pairs);
        fflush(stdout);
        free(times);
    }
}

static void run_strategies(const struct role_options *options)
{
    char line[256], name[64];
    size_t pairs = 0;
    while (fgets(line, sizeof(line), stdin) && strcmp(line, "end\n") != 0) {
        if (sscanf(line, "%63s %zu", name, &pairs) != 2)
            role_fail("unknown command: %s", line);
        uint64_t *times = role_allocate(2 * pairs, sizeof(*times));
        strategies_measure(name, options, pairs, times);
        print_times(times, 2 * pairs);
        fflush(stdout);
        free(times);
    }
}

#ifdef BENCH_VERTICAL
static void run_vertical(const struct role_options *options)
{
    char line[256];
    size_t pairs = 0;
    (void)options;
    if (!fgets(line, sizeof(line), stdin) || sscanf(line, "vertical %zu", &pairs) != 1)
        role_fail("unknown command: %s", line);
    uint64_t *times = role_allocate(2 * pairs, sizeof(*times));
    vertical_measure(pairs, times);
    print_times(times, 2 * pairs);
    fflush(stdout);
    free(times);
    if (fgets(line, sizeof(line), stdin) && strcmp(line, "end\n") != 0)
        role_fail("unknown command: %s", line);
}
#endif

#ifdef BENCH_MPI
static void run_reduce(const struct role_options *options)
{
    char line[256];
    uint64_t *times = role_allocate(options->rounds, sizeof(*times));
    if (reduce_measure(role_name, options, times)) {
        print_times(times, options->rounds);
        fflush(stdout);
        if (fgets(line, sizeof(line), stdin) && strcmp(line, "end\n") != 0)
            role_fail("unknown command: %s", line);
    }
    reduce_end();
    free(times);
}
#endif

#define OPTIONS_FORMAT                                                                                       \
    "port=%hu,participants=%zu,instruction=%zu,answer=%zu,arrays=%d,folds=%d,median=%d,budget=%zu,delay=%u," \
    "connecting=%zu,threads=%zu,rounds=%zu,members=%zu,loops=%zu,processors=%zu,batched=%d,consumes=%d,"     \
    "http2=%d,tls=%d,together=%d"
#define OPTIONS_COUNT 20

void role_write_options(const struct role_options *options, char *text)
{
    snprintf(text, ROLE_OPTIONS_MAX, OPTIONS_FORMAT, options->port, options->participants,
             options->instruction, options->answer, (int)options->arrays, (int)options->folds,
             (int)options->median, options->budget, options->delay_ms, options->connecting, options->threads,
             options->rounds, options->members, options->loops, options->processors, (int)options->batched,
             (int)options->consumes, (int)options->http2, (int)options->tls, (int)options->together);
}

static struct role_options read_options(const char *text)
{
    struct role_options options = {0};
    int arrays = 0;
    int folds = 0;
    int median = 0;
    int batched = 0;
    int consumes = 0;
    int http2 = 0;
    int tls = 0;
    int together = 0;
    if (sscanf(text, OPTIONS_FORMAT, &options.port, &options.participants, &options.instruction,
               &options.answer, &arrays, &folds, &median, &options.budget, &options.delay_ms,
               &options.connecting, &options.threads, &options.rounds, &options.members, &options.loops,
               &options.processors, &batched, &consumes, &http2, &tls, &together) != OPTIONS_COUNT)
        role_fail("bad options: %s", text);
    options.arrays = arrays != 0;
    options.folds = folds != 0;
    options.median = median != 0;
    options.batched = batched != 0;
    options.consumes = consumes != 0;
    options.http2 = http2 != 0;
    options.tls = tls != 0;
    options.together = together != 0;
    return options;
}

/* Should memory run out, it is bench that ends, and not what else the machine does. */
static void offer_to_end(void)
{
    FILE *file = fopen("/proc/self/oom_score_adj", "w");
    if (file) {
        fputs("1000", file);
        fclose(file);
    }
}

/* Keeps this process to its processors: threads that it starts later are there, too. A machine with too few
   is shared by all. */
static void settle(const struct role_options *options, bool serves)
{
    cpu_set_t allowed, chosen;
    size_t seen = 0;
    CPU_ZERO(&chosen);
    if (options->processors == 0 || sched_getaffinity(0, sizeof(allowed), &allowed) != 0 ||
        (size_t)CPU_COUNT(&allowed) <= options->processors)
        return;
    for (size_t i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &allowed) && (seen++ < options->processors) == (serves || options->together))
            CPU_SET(i, &chosen);
    }
    if (sched_setaffinity(0, sizeof(chosen), &chosen) != 0)
        role_fail("cannot choose processors");
}

static const struct {
    const char *name;
    const struct role_server *server;             /* or */
    const struct role_participants *participants; /* or */
    void (*run)(const struct role_options *options);
} roles[] = {
    {"muster-server", &muster_server, NULL, NULL},
    {"muster-each-server", &muster_each_server, NULL, NULL},
#ifdef BENCH_MONITORED
    {"muster-monitored-server", &muster_monitored_server, NULL, NULL},
#endif
    {"muster-participants", NULL, &muster_participants, NULL},
    {"core-server", &core_server, NULL, NULL},
    {"core-participants", NULL, &core_participants, NULL},
    {"tcp-server", &tcp_server, NULL, NULL},
    {"tcp-participants", NULL, &tcp_participants, NULL},
#ifdef BENCH_HTTP2
    {"bare-tcp-server", &bare_tcp_server, NULL, NULL},
    {"bare-http2-server", &bare_http2_server, NULL, NULL},
    {"raw-tcp-participants", NULL, &raw_tcp_participants, NULL},
    {"raw-http2-participants", NULL, &raw_http2_participants, NULL},
    {"raw-muster-participants", NULL, &raw_muster_participants, NULL},
#endif
    {"group-coordinator", &group_coordinator, NULL, NULL},
    {"group-members", NULL, &group_members, NULL},
    {"relay", NULL, NULL, run_relay},
    {"fold", NULL, NULL, run_fold},
    {"strategies", NULL, NULL, run_strategies},
#ifdef BENCH_VERTICAL
    {"vertical", NULL, NULL, run_vertical},
#endif
#ifdef BENCH_MPI
    {"reduce-by-mpi", NULL, NULL, run_reduce},
    {"reduce-over-mpi", NULL, NULL, run_reduce},
    {"reduce-over-grpc", NULL, NULL, run_reduce},
#endif
};

int role_main(const char *name, const char *text)
{
    role_name = name;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    offer_to_end();
    struct role_options options = read_options(text);
    (void)resident_memory(); /* so that what the first reading takes is not in a difference */
    for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++) {
        if (strcmp(name, roles[i].name) != 0)
            continue;
        settle(&options, roles[i].server != NULL);
        if (roles[i].server)
            run_server(roles[i].server, &options);
        else if (roles[i].participants)
            run_participants(roles[i].participants, &options);
        else
            roles[i].run(&options);
        return 0;
    }
    role_fail("unknown role");
}
