/* The measurements of the HTTP/2 transport: muster over it against muster over C-core, against bare TCP, and beside
   bare nghttp2.

   In those of small messages the server has the first processor to itself, and all participants are raw ones (see
   raw_participants.c), the same for both transports, in one process on the other processors: the server is what
   limits a round. That of several loops has places of its own. In those of arrays the participants are muster's, over the same transport as the server. Keys of
   certificates are on P-256. */
#include <config.h>

#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "certificate.h"
#include "contender.h"
#include "figures.h"
#include "process.h"

#define MEMORY_ROUNDS      10
#define BYTES_IN_KIB       1024
#define MICROSECONDS_IN_MS 1e3
#define GROWTH             10 /* times the participants */
#define BOUND_GROWTH       1.5
#define BOUND_MEMORY       18 /* KiB */
#define BOUND_PEAK         4  /* models */

static const struct contender over_http2 = {
    .name = "http2", .server = "muster-server", .participants = "raw-muster-participants", .http2 = true};
static const struct contender over_core = {
    .name = "core", .server = "muster-server", .participants = "raw-muster-participants"};
static const struct contender bare_tcp = {
    .name = "tcp", .server = "bare-tcp-server", .participants = "raw-tcp-participants"};
static const struct contender bare_http2 = {
    .name = "nghttp2", .server = "bare-http2-server", .participants = "raw-http2-participants"};

/* Once. */
static void describe_places(void)
{
    static bool described;
    bool several = sysconf(_SC_NPROCESSORS_ONLN) > 1;
    if (described)
        return;
    described = true;
    figures_text("http2_participants", "raw, one epoll loop in one process");
    figures_text("http2_processors", several ? "server: the first; participants: the others" : "one for all");
}

/* Of small messages, with the processors divided. */
static struct role_options small_load(const struct measure_plan *plan, const struct measurement *measurement)
{
    size_t participants = plan->quick ? measurement->quick_participants : measurement->participants;
    struct role_options load = {
        .participants = participants, .instruction = PAYLOAD, .processors = 1, .tls = measurement->tls};
    process_need(participants);
    if (measurement->tls)
        certificate_make();
    describe_places();
    return load;
}

static const char *name_of(const struct measurement *measurement, const struct contender *contender,
                           const char *what)
{
    static char text[64];
    snprintf(text, sizeof(text), "%s_%s_%s", measurement->name, contender->name, what);
    return text;
}

static void print_median(const struct measurement *measurement, const struct contender *contender,
                         const char *what, double unit, size_t pairs)
{
    figures_number(name_of(measurement, contender, what), median_of(contender->values, pairs) / unit);
}

static void print_to_tcp(const struct measurement *measurement, double ratio)
{
    if (measurement->bound_tcp > 0)
        figures_at_most(key("%s_vs_tcp", measurement->name), ratio, measurement->bound_tcp);
    else
        figures_number(key("%s_vs_tcp", measurement->name), ratio);
}

/* ---- small messages ---- */

/* One round with all. On a machine that others use, too, the server's processor time says more than the time of a
   round: its ratio stands beside, and the growth of a turn's cost is of it. That is from the fewest participants
   that were measured in this run. */
void measure_http2_fanout(const struct measure_plan *plan, const struct measurement *measurement)
{
    enum { HTTP2, CORE, TCP, NGHTTP2, COUNT };
    static double least_cost; /* microseconds of a turn, with */
    static size_t least;      /* so few participants (or fewer, when it has to be quick) */
    struct contender contenders[COUNT] = {over_http2, over_core, bare_tcp, bare_http2};
    size_t pairs = pairs_of(plan, measurement);
    struct role_options load = small_load(plan, measurement);
    double turns = (double)(pairs * measurement->rounds * load.participants);
    contenders[HTTP2].loops = 1;
    run_sessions(contenders, COUNT, "rounds", measurement, &load, pairs);
    double cost = contenders[HTTP2].served / turns;
    figures_at_most(key("%s_vs_core", measurement->name),
                    ratio_of(&contenders[HTTP2], &contenders[CORE], pairs), measurement->bound);
    print_to_tcp(measurement, ratio_of(&contenders[HTTP2], &contenders[TCP], pairs));
    if (least == 0) {
        least = measurement->participants;
        least_cost = cost;
    } else if (measurement->participants == GROWTH * least) {
        figures_at_most("http2_fanout_growth", cost / least_cost, BOUND_GROWTH);
    }
    figures_number(key("%s_cpu_vs_core", measurement->name),
                   contenders[HTTP2].served / contenders[CORE].served);
    for (size_t i = 0; i < COUNT; i++) {
        print_median(measurement, &contenders[i], "turn_us", (double)load.participants, pairs);
        figures_number(name_of(measurement, &contenders[i], "cpu_us_per_turn"), contenders[i].served / turns);
        figures_number(name_of(measurement, &contenders[i], "participants_us"),
                       (contenders[i].cpu - contenders[i].served) / turns);
    }
    free_values(contenders, COUNT);
}

/* One turn with one of muster's participants, as in measure_turn(). */
void measure_http2_turn(const struct measure_plan *plan, const struct measurement *measurement)
{
    struct contender contenders[] = {contender_muster, contender_muster};
    struct role_options load = {.participants = 1, .instruction = PAYLOAD};
    size_t pairs = pairs_of(plan, measurement);
    contenders[0].name = "http2";
    contenders[0].http2 = true;
    contenders[1].name = "core";
    contenders[0].consumes = contenders[1].consumes = true;
    run_sessions(contenders, 2, "turns", measurement, &load, pairs);
    figures_at_most(key("%s_vs_core", measurement->name), ratio_of(&contenders[0], &contenders[1], pairs),
                    measurement->bound);
    for (size_t i = 0; i < 2; i++)
        print_median(measurement, &contenders[i], "us", 1, pairs);
    free_values(contenders, 2);
}

/* KiB that each participant takes at the server, once it has had some turns. */
static double memory_of(struct contender *contender, const struct role_options *load)
{
    open_contender(contender, load);
    double before =
        (double)ask(contender->serving, "memory") - contender->memory * (double)load->participants;
    process_tell(contender->serving, "rounds %d", MEMORY_ROUNDS);
    (void)process_hear_one(contender->serving, "times");
    double after = (double)settled_memory(contender->serving);
    close_contender(contender);
    return (after - before) / (double)load->participants / BYTES_IN_KIB;
}

void measure_http2_memory(const struct measure_plan *plan, const struct measurement *measurement)
{
    struct contender contenders[] = {over_http2, over_core, bare_http2};
    struct role_options load = small_load(plan, measurement);
    contenders[0].loops = 1;
    for (size_t i = 0; i < 3; i++) {
        double memory = memory_of(&contenders[i], &load);
        if (i == 0)
            figures_at_most("http2_idle_memory_kib", memory, BOUND_MEMORY);
        else
            figures_number(name_of(measurement, &contenders[i], "kib"), memory);
    }
}

/* From the start signal until the server has all of them. With TLS a participant takes more processor time than a
   server over HTTP/2, and limits it: the processor time of both stands beside. */
void measure_http2_join(const struct measure_plan *plan, const struct measurement *measurement)
{
    struct contender contenders[] = {over_http2, over_core};
    struct role_options load = small_load(plan, measurement);
    size_t pairs = pairs_of(plan, measurement);
    contenders[0].loops = 1;
    for (size_t i = 0; i < 2; i++)
        contenders[i].values = allocate(pairs, sizeof(double));
    for (size_t pair = 0; pair < pairs; pair++) {
        for (size_t i = 0; i < 2; i++) {
            size_t who = in_turn(pair, i, 2);
            open_contender(&contenders[who], &load);
            contenders[who].values[pair] = contenders[who].joined_ms;
            contenders[who].served += (double)ask(contenders[who].serving, "cpu");       /* with its start, */
            contenders[who].cpu += (double)ask(contenders[who].participating[0], "cpu"); /* and with theirs */
            close_contender(&contenders[who]);
        }
    }
    figures_at_most(key(measurement->tls ? "%s_vs_core_tls" : "%s_vs_core", measurement->name),
                    ratio_of(&contenders[0], &contenders[1], pairs), measurement->bound);
    for (size_t i = 0; i < 2; i++) {
        print_median(measurement, &contenders[i], "ms", 1, pairs);
        figures_number(name_of(measurement, &contenders[i], "cpu_ms"),
                       contenders[i].served / MICROSECONDS_IN_MS / (double)pairs);
        figures_number(name_of(measurement, &contenders[i], "participants_ms"),
                       contenders[i].cpu / MICROSECONDS_IN_MS / (double)pairs);
    }
    free_values(contenders, 2);
}

/* ---- several loops ---- */

/* Whether there are as many processors again, for the participants. */
static bool has_others(size_t loops)
{
    return sysconf(_SC_NPROCESSORS_ONLN) >= (long)(2 * loops);
}

/* Rounds over several loops and over one, which has one processor: times of one over times of several. Where the
   server can have as many processors as it has loops, and leave as many, participants have the others. Where it
   cannot, they share the server's, one or several: a round is the same work for all of them, and what is measured is
   what loops lose by sharing. Participants are in as many processes as there are loops, either way. */
void measure_http2_loops(const struct measure_plan *plan, const struct measurement *measurement)
{
    struct contender contenders[] = {over_http2, over_http2};
    size_t pairs = pairs_of(plan, measurement), loops = measurement->processes;
    struct role_options load = small_load(plan, measurement);
    load.together = !has_others(loops);
    if (sysconf(_SC_NPROCESSORS_ONLN) < (long)loops && !plan->quick) {
        fprintf(stderr, "bench:   left out: fewer than %zu processors\n", loops);
        return;
    }
    contenders[0].name = "one";
    contenders[1].name = "several";
    for (size_t i = 0; i < 2; i++) {
        contenders[i].loops = contenders[i].processors = i == 0 ? 1 : loops;
        contenders[i].processes = loops;
    }
    run_sessions(contenders, 2, "rounds", measurement, &load, pairs);
    figures_at_least(key("%s_vs_one", measurement->name), ratio_of(&contenders[0], &contenders[1], pairs),
                     measurement->bound);
    figures_text(key("%s_processors", measurement->name),
                 load.together ? "a loop has one, which its participants share"
                               : "a loop has one; participants: those that no loop has");
    double turns = (double)(pairs * measurement->rounds * load.participants);
    for (size_t i = 0; i < 2; i++) {
        print_median(measurement, &contenders[i], "turn_us", (double)load.participants, pairs);
        figures_number(name_of(measurement, &contenders[i], "cpu_us_per_turn"), contenders[i].served / turns);
        figures_number(name_of(measurement, &contenders[i], "participants_us"),
                       (contenders[i].cpu - contenders[i].served) / turns);
    }
    free_values(contenders, 2);
}

/* ---- arrays ---- */

/* As measure_bulk(), with muster at both ends of either transport; beside TCP, this is what counts. */
void measure_http2_bulk(const struct measure_plan *plan, const struct measurement *measurement)
{
    enum { HTTP2, CORE, TCP, COUNT };
    struct contender contenders[COUNT] = {
        contender_muster,
        contender_muster,
        {.name = "tcp", .server = "tcp-server", .participants = "tcp-participants"},
    };
    struct role_options load = load_of(plan, measurement);
    size_t pairs = pairs_of(plan, measurement), count = measurement->beside_tcp ? COUNT : COUNT - 1;
    bool alone = load.participants == 1;
    load.tls = measurement->tls;
    if (load.tls)
        certificate_make();
    contenders[HTTP2].name = "http2";
    contenders[HTTP2].http2 = true;
    contenders[CORE].name = "core";
    for (size_t i = 0; i < count; i++) {
        contenders[i].consumes = alone;
        contenders[i].processes = measurement->processes;
    }
    run_sessions(contenders, count, alone ? "turns" : "rounds", measurement, &load, pairs);
    double to_core = ratio_of(&contenders[HTTP2], &contenders[CORE], pairs);
    if (measurement->beside_tcp) {
        figures_number(key("%s_vs_core", measurement->name), to_core);
        print_to_tcp(measurement, ratio_of(&contenders[HTTP2], &contenders[TCP], pairs));
    } else {
        figures_at_most(key(load.tls ? "%s_vs_core_tls" : "%s_vs_core", measurement->name), to_core,
                        measurement->bound);
    }
    for (size_t i = 0; i < count; i++)
        print_median(measurement, &contenders[i], "ms", MICROSECONDS_IN_MS, pairs);
    free_values(contenders, count);
}

void measure_http2_peak(const struct measure_plan *plan, const struct measurement *measurement)
{
    struct contender contender = contender_muster;
    struct role_options load = load_of(plan, measurement);
    size_t pairs = pairs_of(plan, measurement);
    double *values = allocate(pairs, sizeof(*values));
    contender.http2 = true;
    contender.processes = measurement->processes;
    for (size_t i = 0; i < pairs; i++)
        values[i] = peak_of(&contender, &load, measurement->rounds);
    figures_at_most("http2_fedavg_peak_models", median_of(values, pairs), BOUND_PEAK);
    free(values);
}
