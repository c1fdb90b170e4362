/* bench: measures muster against bare C-core programs of the same shape, in one run, and prints the
   ratios. */
#include <config.h>

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <grpc/grpc.h>
#include <muster/muster.h>

#include "figures.h"
#include "measure.h"
#include "process.h"

#define WAIT_SECONDS  60
#define ONLY_MAX      32
#define BYTES_IN_GIB  (1024.0 * 1024 * 1024)
#define OPTION_QUICK  'q'
#define OPTION_ONLY   'o'
#define OPTION_REPEAT 'r'
#define OPTION_JSON   'j'
#define OPTION_WAIT   'w'
#define OPTION_SELF   's'

struct settings {
    struct measure_plan plan;
    const char *json;
    int wait_seconds;
    const char *only[ONLY_MAX];
    size_t only_count;
};

static const struct measurement *find_measurement(const char *name)
{
    for (const struct measurement *measurement = measurements; measurement->name; measurement++) {
        if (strcmp(measurement->name, name) == 0)
            return measurement;
    }
    return NULL;
}

static long parse_count(const char *text, struct argp_state *state)
{
    char *end = NULL;
    long count = strtol(text, &end, 10);
    if (end == text || *end != '\0' || count < 1 || count > 100000)
        argp_error(state, "'%s' is not a number from 1 to 100000", text);
    return count;
}

static error_t parse_option(int option, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    switch (option) {
    case OPTION_QUICK:
        settings->plan.quick = true;
        return 0;
    case OPTION_SELF:
        settings->plan.self = true;
        return 0;
    case OPTION_REPEAT:
        settings->plan.repeat = (size_t)parse_count(argument, state);
        return 0;
    case OPTION_WAIT:
        settings->wait_seconds = (int)parse_count(argument, state);
        return 0;
    case OPTION_JSON:
        settings->json = argument;
        return 0;
    case OPTION_ONLY:
        if (!find_measurement(argument) || settings->only_count == ONLY_MAX)
            argp_error(state, "no measurement is called '%s'", argument);
        settings->only[settings->only_count++] = argument;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The measurements, below the options. To be freed by argp. */
static char *list_measurements(int part, const char *text, void *input)
{
    char *list = NULL;
    size_t size = 0;
    (void)input;
    if (part != ARGP_KEY_HELP_POST_DOC)
        return (char *)text;
    FILE *stream = open_memstream(&list, &size);
    if (!stream)
        return (char *)text;
    fputs("Measurements, and the figures that they are about:\n", stream);
    for (const struct measurement *measurement = measurements; measurement->name; measurement++)
        fprintf(stream, "  %-20s %s\n", measurement->name, measurement->figures);
    fclose(stream);
    return list;
}

static const struct argp_option options[] = {
    {"json", OPTION_JSON, "FILE", 0, "Write all figures to FILE as one JSON object", 0},
    {"only", OPTION_ONLY, "NAME", 0, "Only this measurement; may be repeated", 0},
    {"quick", OPTION_QUICK, NULL, 0,
     "Few participants, repetitions and bytes: a test of the benchmark, not a measurement", 0},
    {"repeat", OPTION_REPEAT, "COUNT", 0, "Number of pairs of blocks for each ratio", 0},
    {"self", OPTION_SELF, NULL, 0, "Measure bare C-core in muster's place: each difference from 1 is noise",
     0},
    {"wait", OPTION_WAIT, "SECONDS", 0, "Give up if a process prints nothing for this time (60)", 0},
    {0},
};

static const struct argp argument_parser = {
    options,
    parse_option,
    NULL,
    "Measures muster, and in turn programs that do the same with C-core alone. Prints the ratios of times "
    "and "
    "of memory: below 1, muster is better. If a ratio has a bound, it is printed beside it.\v",
    NULL,
    list_measurements,
    NULL};

/* The first value of `name` in a file of "name : value" lines. */
static void read_fact(const char *path, const char *name, char *value, size_t size)
{
    FILE *file = fopen(path, "r");
    char line[256];
    value[0] = '\0';
    while (file && value[0] == '\0' && fgets(line, sizeof(line), file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, name, strlen(name)) == 0 && colon) {
            snprintf(value, size, "%s", colon + 1 + strspn(colon + 1, " \t"));
            value[strcspn(value, "\n")] = '\0';
        }
    }
    if (file)
        fclose(file);
}

static void describe_machine(const struct measure_plan *plan)
{
    struct utsname system;
    char processor[128];
    double load[1];
    read_fact("/proc/cpuinfo", "model name", processor, sizeof(processor));
    figures_text("machine_processor", processor);
    figures_number("machine_processors", (double)sysconf(_SC_NPROCESSORS_ONLN));
    figures_number("machine_memory_gib",
                   (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / BYTES_IN_GIB);
    if (getloadavg(load, 1) == 1)
        figures_number("machine_load", load[0]);
    if (uname(&system) == 0)
        figures_text("machine_system", system.release);
    figures_text("grpc_version", grpc_version_string());
    figures_text("muster_version", muster_version());
    figures_text("compiler", __VERSION__);
    figures_number("quick", plan->quick);
    figures_number("self", plan->self);
}

static bool is_wanted(const struct settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->only_count; i++) {
        if (strcmp(settings->only[i], name) == 0)
            return true;
    }
    return settings->only_count == 0;
}

int main(int argc, char **argv)
{
    struct settings settings = {.wait_seconds = WAIT_SECONDS};
    if (argc == 4 && strcmp(argv[1], "--role") == 0)
        return role_main(argv[2], argv[3]);
    argp_parse(&argument_parser, argc, argv, 0, NULL, &settings);
    process_prepare(settings.wait_seconds);
    for (const struct measurement *measurement = measurements; measurement->name; measurement++) {
        if (is_wanted(&settings, measurement->name)) {
            fprintf(stderr, "bench: %s\n", measurement->name);
            measurement->run(&settings.plan, measurement);
        }
    }
    describe_machine(&settings.plan);
    figures_print();
    if (settings.json && !figures_write(settings.json))
        fail("cannot write %s: %s", settings.json, strerror(errno));
    return 0;
}
