/* /metrics: what Prometheus reads. */
#include <config.h>

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <muster/status.h>

#include "monitor/curves.h"
#include "monitor/metrics.h"
#include "monitor/sources.h"

struct writer {
    FILE *out;
    enum metrics_format format;
    const char *name;   /* of the family at hand */
    const char *suffix; /* of its samples */
};

const char *muster__metrics_type(enum metrics_format format)
{
    return format == METRICS_OPEN ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                  : "text/plain; version=0.0.4; charset=utf-8";
}

void muster__metrics_escape(FILE *out, const char *value)
{
    for (; *value; value++) {
        if (*value == '\n')
            fputs("\\n", out);
        else if (*value == '\\' || *value == '"')
            fprintf(out, "\\%c", *value);
        else
            putc(*value, out);
    }
}

void muster__metrics_number(FILE *out, double value)
{
    if (isnan(value))
        fputs("NaN", out);
    else if (isinf(value))
        fputs(value > 0 ? "+Inf" : "-Inf", out);
    else
        fprintf(out, "%.17g", value);
}

/* ---- families and samples ---- */

/* Begins a family. The text format names a counter as its samples, OpenMetrics without their "_total". */
static void family(struct writer *writer, const char *name, const char *type, const char *help)
{
    writer->name = name;
    writer->suffix = strcmp(type, "counter") == 0 ? "_total" : "";
    const char *suffix = writer->format == METRICS_OPEN ? "" : writer->suffix;
    fprintf(writer->out, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, suffix, help, name, suffix, type);
}

/* Begins a sample; labels are pairs of a name and a value, up to NULL. */
static void begin(struct writer *writer, const char *const *labels)
{
    fprintf(writer->out, "%s%s", writer->name, writer->suffix);
    const char *before = "{";
    for (; *labels; labels += 2) {
        fprintf(writer->out, "%s%s=\"", before, labels[0]);
        muster__metrics_escape(writer->out, labels[1]);
        fputc('"', writer->out);
        before = ",";
    }
    if (*before == ',')
        fputc('}', writer->out);
    fputc(' ', writer->out);
}

#define LABELS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void sample(struct writer *writer, const char *const *labels, double value)
{
    begin(writer, labels);
    muster__metrics_number(writer->out, value);
    fputc('\n', writer->out);
}

/* Whole numbers, of which a double would not hold all. */
static void sample_count(struct writer *writer, const char *const *labels, uint64_t value)
{
    begin(writer, labels);
    fprintf(writer->out, "%" PRIu64 "\n", value);
}

static double seconds(int64_t milliseconds)
{
    return (double)milliseconds / 1000;
}

/* ---- managers ---- */

#define EACH(look, manager)                                     \
    for (const struct manager_look *manager = (look)->managers; \
         manager && manager < (look)->managers + (look)->manager_count; manager++)

/* Statuses that never came have no sample: most never will. OK is always there. */
static void sample_statuses(struct writer *writer, const char *manager,
                            const uint64_t counts[MUSTER_STATUS_ROOM], bool with_ok)
{
    for (unsigned i = 0; i < MUSTER_STATUS_ROOM; i++) {
        if (counts[i] || (with_ok && i == MUSTER_OK))
            sample_count(writer,
                         LABELS("manager", manager, "status", muster_status_name((enum muster_status)i)),
                         counts[i]);
    }
}

static void write_participants(struct writer *writer, const struct look *look)
{
    family(writer, "muster_participants", "gauge", "Participants that are connected or away, by state.");
    EACH(look, manager)
    {
        sample_count(writer, LABELS("manager", manager->name, "state", "joining"),
                     manager->statistics.joining);
        sample_count(writer, LABELS("manager", manager->name, "state", "open"), manager->statistics.open);
        sample_count(writer, LABELS("manager", manager->name, "state", "away"), manager->statistics.away);
    }
    family(writer, "muster_participants_silent", "gauge",
           "Open participants at work that have not been heard of for two heartbeats.");
    EACH(look, manager)
    sample_count(writer, LABELS("manager", manager->name), manager->statistics.silent);
    family(writer, "muster_participants_joined", "counter", "Participants that joined.");
    EACH(look, manager)
    sample_count(writer, LABELS("manager", manager->name), manager->statistics.joined);
    family(writer, "muster_participants_back", "counter", "Times that an away participant came back.");
    EACH(look, manager)
    sample_count(writer, LABELS("manager", manager->name), manager->statistics.back);
    family(writer, "muster_participants_left", "counter", "Participants that left, by status.");
    EACH(look, manager)
    sample_statuses(writer, manager->name, manager->statistics.left, false);
    family(writer, "muster_participants_refused", "counter", "Streams that were refused, by status.");
    EACH(look, manager)
    sample_statuses(writer, manager->name, manager->statistics.refused, false);
    family(writer, "muster_heartbeat_interval_seconds", "gauge",
           "How often participants at work send a heartbeat.");
    EACH(look, manager)
    sample(writer, LABELS("manager", manager->name), seconds(manager->statistics.heartbeat_ms));
}

static void write_histogram(struct writer *writer, const char *label, const char *value,
                            const struct muster_histogram *histogram)
{
    uint64_t below = 0;
    writer->suffix = "_bucket";
    for (size_t i = 0; i < MUSTER_HISTOGRAM_BUCKETS; i++) {
        char bound[32] = "+Inf";
        double limit = muster_histogram_bound(i);
        if (!isinf(limit))
            snprintf(bound, sizeof(bound), "%.15g", limit);
        below += histogram->buckets[i];
        sample_count(writer, LABELS(label, value, "le", bound), below);
    }
    writer->suffix = "_sum";
    sample(writer, LABELS(label, value), histogram->seconds);
    writer->suffix = "_count";
    sample_count(writer, LABELS(label, value), below);
}

static void write_turns(struct writer *writer, const struct look *look)
{
    family(writer, "muster_turns_running", "gauge", "Turns that are running.");
    EACH(look, manager)
    sample_count(writer, LABELS("manager", manager->name), manager->statistics.turns_running);
    family(writer, "muster_turns", "counter", "Turns that ended, by status.");
    EACH(look, manager)
    sample_statuses(writer, manager->name, manager->statistics.turns_ended, true);
    family(writer, "muster_turn_seconds", "histogram", "Seconds that turns took.");
    EACH(look, manager)
    write_histogram(writer, "manager", manager->name, &manager->statistics.turn_times);
    family(writer, "muster_rounds_running", "gauge", "Rounds that are running.");
    EACH(look, manager)
    sample_count(writer, LABELS("manager", manager->name), manager->statistics.rounds_running);
    family(writer, "muster_rounds", "counter", "Rounds that ended, by status.");
    EACH(look, manager)
    sample_statuses(writer, manager->name, manager->statistics.rounds_ended, true);
}

/* The oldest running round. Its number is a value and no label: that would make new series for each round. */
static void write_round(struct writer *writer, const struct look *look)
{
    family(writer, "muster_round_number", "gauge", "The number of the oldest running round.");
    EACH(look, manager)
    {
        if (manager->round_count)
            sample_count(writer, LABELS("manager", manager->name), manager->rounds->number);
    }
    family(writer, "muster_round_participants", "gauge",
           "Participants of the oldest running round, by outcome so far.");
    EACH(look, manager)
    {
        const struct proxy_round_statistics *round = manager->rounds;
        const uint64_t counts[] = {round->answered, round->failed, round->late, round->running};
        static const char *const outcomes[] = {"answered", "failed", "late", "running"};
        for (size_t i = 0; manager->round_count && i < sizeof(counts) / sizeof(*counts); i++)
            sample_count(writer, LABELS("manager", manager->name, "outcome", outcomes[i]), counts[i]);
    }
    family(writer, "muster_round_running_seconds", "gauge", "Seconds since the oldest running round began.");
    EACH(look, manager)
    {
        if (manager->round_count)
            sample(writer, LABELS("manager", manager->name), seconds(manager->rounds->running_ms));
    }
    family(writer, "muster_round_left_seconds", "gauge",
           "Seconds until the deadline of the oldest running round.");
    EACH(look, manager)
    {
        if (manager->round_count && manager->rounds->left_ms != MUSTER_NO_LIMIT)
            sample(writer, LABELS("manager", manager->name), seconds(manager->rounds->left_ms));
    }
}

static void sample_directions(struct writer *writer, const char *manager, uint64_t sent, uint64_t received)
{
    sample_count(writer, LABELS("manager", manager, "direction", "sent"), sent);
    sample_count(writer, LABELS("manager", manager, "direction", "received"), received);
}

static void write_traffic(struct writer *writer, const struct look *look)
{
    family(writer, "muster_messages", "counter", "Messages, chunks of big ones included.");
    EACH(look, manager)
    sample_directions(writer, manager->name, manager->statistics.traffic.messages_sent,
                      manager->statistics.traffic.messages_received);
    family(writer, "muster_payload_bytes", "counter", "Bytes of instructions and answers, each once.");
    EACH(look, manager)
    sample_directions(writer, manager->name, manager->statistics.traffic.payload_sent,
                      manager->statistics.traffic.payload_received);
    family(writer, "muster_traffic_bytes", "counter", "Bytes of everything that was sent and received.");
    EACH(look, manager)
    sample_directions(writer, manager->name, manager->statistics.traffic.bytes_sent,
                      manager->statistics.traffic.bytes_received);
    family(writer, "muster_uploads", "gauge", "Big answers that wait for room, or arrive.");
    EACH(look, manager)
    {
        sample_count(writer, LABELS("manager", manager->name, "state", "waiting"),
                     manager->statistics.uploads_waiting);
        sample_count(writer, LABELS("manager", manager->name, "state", "granted"),
                     manager->statistics.uploads_granted);
    }
    family(writer, "muster_upload_bytes", "gauge", "Bytes of the budget for big answers that are in use.");
    EACH(look, manager)
    sample_count(writer, LABELS("manager", manager->name), manager->statistics.upload_bytes);
}

static void write_managers(struct writer *writer, const struct look *look)
{
    family(writer, "muster_up_seconds", "gauge", "Seconds since the participant manager started.");
    EACH(look, manager)
    sample(writer, LABELS("manager", manager->name), seconds(manager->statistics.up_ms));
    write_participants(writer, look);
    write_turns(writer, look);
    write_round(writer, look);
    write_traffic(writer, look);
}

/* ---- their participants ---- */

/* Names are unique among participants that are there; the rank is in case one is just taking another's. */
static const char *const *labels_of(const struct proxy_look *look, char rank[24], const char *labels[9])
{
    snprintf(rank, 24, "%" PRIu64, proxy_rank(look->proxy));
    labels[0] = "manager";
    labels[1] = look->manager->name;
    labels[2] = "participant";
    labels[3] = proxy_name(look->proxy);
    labels[4] = "rank";
    labels[5] = rank;
    labels[6] = labels[7] = labels[8] = NULL;
    return labels;
}

/* Two counters of each participant, told apart by one label. */
static void sample_both(struct writer *writer, const struct proxy_look *look, const char *label,
                        const char *first, uint64_t first_count, const char *second, uint64_t second_count)
{
    char rank[24];
    const char *labels[9];
    labels_of(look, rank, labels);
    labels[6] = label;
    labels[7] = first;
    sample_count(writer, labels, first_count);
    labels[7] = second;
    sample_count(writer, labels, second_count);
}

#define GAUGE(name, help, value)                                                  \
    do {                                                                          \
        family(writer, name, "gauge", help);                                      \
        for (const struct proxy_look *at = first; at && at < first + count; at++) \
            sample(writer, labels_of(at, rank, labels), (double)(value));         \
    } while (0)

static void write_proxies(struct writer *writer, struct look *look, size_t most)
{
    char rank[24];
    const char *labels[9];
    muster__look_sort(look, ORDER_STATE, false);
    const struct proxy_look *first = look->proxies;
    size_t count = look->proxy_count < most ? look->proxy_count : most;
    family(writer, "muster_participant_series_left_out", "gauge",
           "Participants that have no series of their own: there are too many.");
    fprintf(writer->out, "%s %zu\n", writer->name, look->proxy_count - count);
    GAUGE("muster_participant_open", "1: the participant can be given instructions.",
          at->statistics.state == PROXY_OPEN);
    GAUGE("muster_participant_silent", "1: it is at work, and has not been heard of for two heartbeats.",
          at->statistics.silent);
    GAUGE("muster_participant_state_seconds",
          "Seconds since the participant came into the state that it is in.",
          seconds(at->statistics.state_ms));
    GAUGE("muster_participant_heard_seconds", "Seconds since its last message.",
          seconds(at->statistics.heard_ms));
    GAUGE("muster_participant_turn_seconds", "Seconds since its running turn began; 0: it has none.",
          seconds(at->statistics.turn_ms));
    GAUGE("muster_participant_progress_ratio", "The latest progress report of its running turn.",
          at->statistics.progress);
    family(writer, "muster_participant_turns", "counter", "Its turns that ended, by outcome.");
    for (const struct proxy_look *at = first; at && at < first + count; at++)
        sample_both(writer, at, "outcome", "ok", at->statistics.turns_ended[MUSTER_OK], "failed",
                    muster__failed_turns(at->statistics.turns_ended));
    family(writer, "muster_participant_bytes", "counter", "Bytes of everything that was sent and received.");
    for (const struct proxy_look *at = first; at && at < first + count; at++)
        sample_both(writer, at, "direction", "sent", at->statistics.traffic.bytes_sent, "received",
                    at->statistics.traffic.bytes_received);
}

/* ---- participants of this process ---- */

#define EACH_OWN(look, own)                                         \
    for (const struct participant_look *own = (look)->participants; \
         own && own < (look)->participants + (look)->participant_count; own++)

static void write_own(struct writer *writer, const struct look *look)
{
    family(writer, "muster_own_open", "gauge", "1: the participant of this process is admitted.");
    EACH_OWN(look, own)
    sample_count(writer, LABELS("participant", own->name), own->statistics.state == PARTICIPANT_OPEN);
    family(writer, "muster_own_working_seconds", "gauge",
           "Seconds since its instruction came; 0: it has none.");
    EACH_OWN(look, own)
    sample(writer, LABELS("participant", own->name), seconds(own->statistics.turn_ms));
    family(writer, "muster_own_attempts", "counter", "Attempts to connect.");
    EACH_OWN(look, own)
    sample_count(writer, LABELS("participant", own->name), own->statistics.attempts);
    family(writer, "muster_own_instructions", "counter", "Instructions, by what became of them.");
    EACH_OWN(look, own)
    {
        sample_count(writer, LABELS("participant", own->name, "outcome", "consumed"),
                     own->statistics.consumed);
        sample_count(writer, LABELS("participant", own->name, "outcome", "answered"),
                     own->statistics.answered);
        sample_count(writer, LABELS("participant", own->name, "outcome", "cancelled"),
                     own->statistics.cancelled);
    }
    family(writer, "muster_own_bytes", "counter", "Bytes of everything that it sent and received.");
    EACH_OWN(look, own)
    {
        sample_count(writer, LABELS("participant", own->name, "direction", "sent"),
                     own->statistics.traffic.bytes_sent);
        sample_count(writer, LABELS("participant", own->name, "direction", "received"),
                     own->statistics.traffic.bytes_received);
    }
}

/* ---- groups ---- */

#define EACH_GROUP(look, group)                           \
    for (const struct group_look *group = (look)->groups; \
         group && group < (look)->groups + (look)->group_count; group++)

/* What stands before the labels of a sample's own. */
struct group_labels {
    char rank[16];
    char peer[16];
    const char *labels[11];
};

static const char *const *group_labels(struct group_labels *own, const struct group_look *group,
                                       const char *label, const char *value)
{
    snprintf(own->rank, sizeof(own->rank), "%" PRIu32, group->statistics.rank);
    const char *labels[11] = {"group", group->name, "rank", own->rank, label, value};
    memcpy(own->labels, labels, sizeof(labels));
    return own->labels;
}

#define GROUP_GAUGE(name, help, value)                                       \
    do {                                                                     \
        family(writer, name, "gauge", help);                                 \
        EACH_GROUP(look, at)                                                 \
        sample(writer, group_labels(&own, at, NULL, NULL), (double)(value)); \
    } while (0)

static void write_group_directions(struct writer *writer, const struct group_look *group, uint64_t sent,
                                   uint64_t received)
{
    struct group_labels own;
    sample_count(writer, group_labels(&own, group, "direction", "sent"), sent);
    sample_count(writer, group_labels(&own, group, "direction", "received"), received);
}

static void write_groups(struct writer *writer, const struct look *look)
{
    struct group_labels own;
    family(writer, "muster_group_members", "gauge", "Members of the group, by state.");
    EACH_GROUP(look, group)
    {
        const struct muster_group_statistics *statistics = &group->statistics;
        sample_count(writer, group_labels(&own, group, "state", "present"), statistics->present);
        sample_count(writer, group_labels(&own, group, "state", "lost"), statistics->lost);
        sample_count(writer, group_labels(&own, group, "state", "finished"), statistics->finished);
    }
    GROUP_GAUGE("muster_group_epoch", "The number of the roster.", at->statistics.epoch);
    GROUP_GAUGE("muster_group_links", "Links of this member that are open or away.", at->statistics.links);
    GROUP_GAUGE("muster_group_waiting", "Whom calls of this member wait for, counted once for each call.",
                at->statistics.waits);
    GROUP_GAUGE("muster_group_waiting_seconds",
                "Seconds since the oldest of those calls began; 0: none waits.",
                seconds(at->statistics.waiting_ms));
    GROUP_GAUGE("muster_group_eager_bytes", "Bytes of messages that came and were not received yet.",
                at->statistics.eager_bytes);
    GROUP_GAUGE("muster_group_eager_budget_bytes", "The most of them.", at->statistics.eager_budget);
    family(writer, "muster_group_collectives", "counter", "Collective operations that were begun.");
    EACH_GROUP(look, group)
    sample_count(writer, group_labels(&own, group, NULL, NULL), group->statistics.collectives);
    family(writer, "muster_group_payload_bytes", "counter", "Bytes of messages with all peers, each once.");
    EACH_GROUP(look, group)
    write_group_directions(writer, group, group->statistics.traffic.payload_sent,
                           group->statistics.traffic.payload_received);
    family(writer, "muster_group_traffic_bytes", "counter",
           "Bytes of everything that all peers sent and got.");
    EACH_GROUP(look, group)
    write_group_directions(writer, group, group->statistics.traffic.bytes_sent,
                           group->statistics.traffic.bytes_received);
}

/* ---- their peers ---- */

struct peer_series {
    const struct group_look *group;
    const struct muster_group_peer *peer;
};

static bool is_in_trouble(const struct muster_group_peer *peer)
{
    return peer->state == MUSTER_MEMBER_LOST || peer->link == MUSTER_LINK_AWAY ||
           peer->waits != MUSTER_CALL_NONE;
}

/* Those with which there was no contact have no series. */
static bool was_met(const struct muster_group_peer *peer)
{
    return is_in_trouble(peer) || peer->link != MUSTER_LINK_NONE || peer->traffic.bytes_sent ||
           peer->traffic.bytes_received;
}

/* Chooses `most`, those in trouble first; returns how many there are in all. */
static size_t choose_peers(const struct look *look, struct peer_series *chosen, size_t most)
{
    size_t count = 0;
    for (int pass = 0; pass < 2; pass++) {
        EACH_GROUP(look, group)
        {
            for (uint32_t i = 0; group->peers && i < group->statistics.members; i++) {
                const struct muster_group_peer *peer = &group->peers[i];
                if (i == group->statistics.rank || !was_met(peer) || is_in_trouble(peer) == (pass > 0))
                    continue;
                if (count < most)
                    chosen[count] = (struct peer_series){group, peer};
                count++;
            }
        }
    }
    return count;
}

static const char *const *peer_labels(struct group_labels *own, const struct peer_series *series,
                                      const char *direction)
{
    const char *labels[11] = {"group", series->group->name, "rank",      own->rank, "peer", own->peer,
                              "name",  series->peer->name,  "direction", direction};
    labels[8] = direction ? labels[8] : NULL;
    snprintf(own->rank, sizeof(own->rank), "%" PRIu32, series->group->statistics.rank);
    snprintf(own->peer, sizeof(own->peer), "%" PRIu32, series->peer->rank);
    memcpy(own->labels, labels, sizeof(labels));
    return own->labels;
}

static void write_peers(struct writer *writer, const struct look *look, size_t most)
{
    struct group_labels own;
    size_t count = choose_peers(look, NULL, 0), shown = count < most ? count : most;
    struct peer_series *chosen = calloc(shown + 1, sizeof(*chosen));
    shown = chosen ? shown : 0;
    choose_peers(look, chosen, shown);
    family(writer, "muster_group_peer_series_left_out", "gauge",
           "Peers that have no series of their own: there are too many.");
    fprintf(writer->out, "%s %zu\n", writer->name, count - shown);
    family(writer, "muster_group_peer_open", "gauge", "1: there is an open link to this peer.");
    for (size_t i = 0; i < shown; i++)
        sample_count(writer, peer_labels(&own, &chosen[i], NULL), chosen[i].peer->link == MUSTER_LINK_OPEN);
    family(writer, "muster_group_peer_waiting_seconds", "gauge",
           "Seconds since the oldest call that waits for this peer began; 0: none does.");
    for (size_t i = 0; i < shown; i++)
        sample(writer, peer_labels(&own, &chosen[i], NULL), seconds(chosen[i].peer->waiting_ms));
    family(writer, "muster_group_peer_bytes", "counter", "Bytes of everything that this peer got and sent.");
    for (size_t i = 0; i < shown; i++) {
        sample_count(writer, peer_labels(&own, &chosen[i], "sent"), chosen[i].peer->traffic.bytes_sent);
        sample_count(writer, peer_labels(&own, &chosen[i], "received"),
                     chosen[i].peer->traffic.bytes_received);
    }
    free(chosen);
}

/* ---- what a program records ---- */

/* The writer writes to memory, so that nobody waits for the lock. */
static void write_recorded(struct writer *writer, struct curves *curves)
{
    pthread_mutex_lock(&curves->lock);
    family(writer, "muster_scalar", "gauge", "The last value of a recorded scalar.");
    for (size_t i = 0; i < curves->count; i++)
        sample(writer, LABELS("name", curves->curves[i].name), curves->curves[i].last.values[0]);
    family(writer, "muster_scalar_step", "gauge", "The step of that value.");
    for (size_t i = 0; i < curves->count; i++)
        sample(writer, LABELS("name", curves->curves[i].name), curves->curves[i].last.x);
    family(writer, "muster_histogram", "histogram", "Seconds that things took, of a recorded histogram.");
    for (size_t i = 0; i < curves->histogram_count; i++)
        write_histogram(writer, "name", curves->histograms[i].name, &curves->histograms[i].histogram);
    pthread_mutex_unlock(&curves->lock);
}

void muster__metrics_write(FILE *out, enum metrics_format format, struct look *look, struct curves *curves,
                           size_t most)
{
    struct writer writer = {.out = out, .format = format};
    family(&writer, "muster_build_info", "gauge", "1, with the version of the library.");
    sample_count(&writer, LABELS("version", muster_version()), 1);
    if (look->manager_count)
        write_managers(&writer, look);
    if (look->proxy_count)
        write_proxies(&writer, look, most);
    if (look->participant_count)
        write_own(&writer, look);
    if (look->group_count)
        write_groups(&writer, look);
    if (look->group_count && most)
        write_peers(&writer, look, most);
    write_recorded(&writer, curves);
    if (format == METRICS_OPEN)
        fputs("# EOF\n", out);
}
