/* /api/state: everything as JSON. One object at a time is made and written, so that thousands of participants
   take little memory. */
#include <config.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <muster/status.h>

#include "monitor/clock.h"
#include "monitor/curves.h"
#include "monitor/json.h"
#include "monitor/sources.h"
#include "monitor/state.h"

/* Of those that a round waits for, so many are named. */
#define WAITING_MAX 10

struct state_query muster__state_query(void)
{
    return (struct state_query){.order = ORDER_RANK, .limit = SIZE_MAX, .curves = true};
}

bool muster__state_order(const char *name, enum proxy_order *order)
{
    static const char *const names[] = {
        [ORDER_RANK] = "rank",   [ORDER_NAME] = "name",     [ORDER_STATE] = "state",
        [ORDER_TURN] = "turn",   [ORDER_HEARD] = "heard",   [ORDER_PROGRESS] = "progress",
        [ORDER_BYTES] = "bytes", [ORDER_FAILED] = "failed",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(names[i], name) == 0) {
            *order = (enum proxy_order)i;
            return true;
        }
    }
    return false;
}

/* ---- pieces ---- */

static const char *kind_name(enum muster_kind kind)
{
    static const char *const names[] = {
        [MUSTER_EMPTY] = "none",          [MUSTER_TRAIN] = "train",
        [MUSTER_EVALUATE] = "evaluate",   [MUSTER_APPLICATION] = "application",
        [MUSTER_FAILURE] = "failure",     [MUSTER_UNKNOWN] = "unknown",
        [MUSTER_RECONNECT] = "reconnect",
    };
    return (size_t)kind < sizeof(names) / sizeof(*names) ? names[kind] : "unknown";
}

static void set_limit(json_t *object, const char *key, int64_t milliseconds)
{
    json_object_set_new(object, key,
                        milliseconds == MUSTER_NO_LIMIT ? json_null() : json_integer(milliseconds));
}

static void set_milliseconds(json_t *object, const char *key, int64_t milliseconds)
{
    json_object_set_new(object, key, json_integer(milliseconds));
}

static json_t *statuses(const uint64_t counts[MUSTER_STATUS_ROOM])
{
    json_t *object = json_object();
    for (unsigned i = 0; i < MUSTER_STATUS_ROOM; i++) {
        if (counts[i])
            muster__json_count(object, muster_status_name((enum muster_status)i), counts[i]);
    }
    return object;
}

static json_t *traffic(const struct muster_traffic *traffic)
{
    json_t *object = json_object();
    muster__json_count(object, "messages_sent", traffic->messages_sent);
    muster__json_count(object, "messages_received", traffic->messages_received);
    muster__json_count(object, "payload_sent", traffic->payload_sent);
    muster__json_count(object, "payload_received", traffic->payload_received);
    muster__json_count(object, "bytes_sent", traffic->bytes_sent);
    muster__json_count(object, "bytes_received", traffic->bytes_received);
    return object;
}

static json_t *transfer(const struct muster_transfer *transfer)
{
    json_t *object = json_object();
    muster__json_count(object, "sent", transfer->sent);
    muster__json_count(object, "to_send", transfer->to_send);
    muster__json_count(object, "received", transfer->received);
    muster__json_count(object, "to_receive", transfer->to_receive);
    return object;
}

/* Writes an object behind `before`, and frees it. */
static void put(FILE *out, const char *before, json_t *object)
{
    /* All of it or nothing: without memory it is null, and what is written is JSON all the same. */
    char *text = muster__json_write(object);
    fputs(before, out);
    fputs(text ? text : "null", out);
    free(text);
    json_decref(object);
}

/* ---- managers ---- */

static json_t *histogram(const struct muster_histogram *histogram)
{
    json_t *buckets = json_array();
    for (size_t i = 0; i < MUSTER_HISTOGRAM_BUCKETS; i++)
        json_array_append_new(buckets, json_pack("[oI]", muster__json_real(muster_histogram_bound(i)),
                                                 (json_int_t)histogram->buckets[i]));
    json_t *object = json_object();
    muster__json_count(object, "count", histogram->count);
    json_object_set_new(object, "seconds", muster__json_real(histogram->seconds));
    json_object_set_new(object, "buckets", buckets);
    return object;
}

/* The names of some that the round waits for, those that trouble it most first: the look is sorted by state. */
static json_t *waiting(const struct look *look, const struct manager_look *manager, uint64_t round)
{
    json_t *names = json_array();
    for (size_t i = 0; i < look->proxy_count && json_array_size(names) < WAITING_MAX; i++) {
        const struct proxy_look *proxy = &look->proxies[i];
        if (proxy->manager != manager || proxy->statistics.round != round)
            continue;
        json_t *object = json_object();
        muster__json_text(object, "name", proxy_name(proxy->proxy));
        muster__json_text(object, "state", proxy_state_name(proxy->statistics.state));
        json_object_set_new(object, "silent", json_boolean(proxy->statistics.silent));
        set_milliseconds(object, "heard_ms", proxy->statistics.heard_ms);
        json_object_set_new(object, "progress", muster__json_real(proxy->statistics.progress));
        json_array_append_new(names, object);
    }
    return names;
}

static json_t *round_object(const struct look *look, const struct manager_look *manager,
                            const struct proxy_round_statistics *round)
{
    json_t *object = json_object();
    muster__json_count(object, "number", round->number);
    muster__json_text(object, "kind", kind_name(round->kind));
    muster__json_count(object, "count", round->count);
    muster__json_count(object, "enough", round->enough);
    muster__json_count(object, "at_least", round->at_least);
    muster__json_count(object, "answered", round->answered);
    muster__json_count(object, "failed", round->failed);
    muster__json_count(object, "late", round->late);
    muster__json_count(object, "running", round->running);
    set_milliseconds(object, "running_ms", round->running_ms);
    set_limit(object, "left_ms", round->left_ms);
    muster__json_count(object, "bytes_sent", round->bytes_sent);
    muster__json_count(object, "bytes_received", round->bytes_received);
    json_object_set_new(object, "waiting", waiting(look, manager, round->number));
    return object;
}

static json_t *manager_object(const struct look *look, const struct manager_look *manager)
{
    const struct participant_manager_statistics *statistics = &manager->statistics;
    json_t *object = json_object(), *rounds = json_array();
    muster__json_text(object, "name", manager->name);
    set_milliseconds(object, "up_ms", statistics->up_ms);
    muster__json_count(object, "joining", statistics->joining);
    muster__json_count(object, "open", statistics->open);
    muster__json_count(object, "silent", statistics->silent);
    muster__json_count(object, "away", statistics->away);
    muster__json_count(object, "joined", statistics->joined);
    muster__json_count(object, "back", statistics->back);
    json_object_set_new(object, "left", statuses(statistics->left));
    json_object_set_new(object, "refused", statuses(statistics->refused));
    muster__json_count(object, "turns_running", statistics->turns_running);
    json_object_set_new(object, "turns_ended", statuses(statistics->turns_ended));
    json_object_set_new(object, "turn_times", histogram(&statistics->turn_times));
    muster__json_count(object, "rounds_running", statistics->rounds_running);
    json_object_set_new(object, "rounds_ended", statuses(statistics->rounds_ended));
    for (size_t i = 0; i < manager->round_count; i++)
        json_array_append_new(rounds, round_object(look, manager, &manager->rounds[i]));
    json_object_set_new(object, "rounds", rounds);
    json_object_set_new(object, "traffic", traffic(&statistics->traffic));
    muster__json_count(object, "uploads_waiting", statistics->uploads_waiting);
    muster__json_count(object, "uploads_granted", statistics->uploads_granted);
    muster__json_count(object, "upload_bytes", statistics->upload_bytes);
    muster__json_count(object, "upload_budget", statistics->upload_budget);
    set_milliseconds(object, "heartbeat_ms", statistics->heartbeat_ms);
    return object;
}

/* ---- participants ---- */

static void set_number(json_t *numbers, const char *name, json_t *number)
{
    char shown[MUSTER_REPORT_NAME_MAX + 1];
    json_object_set_new(numbers, muster_text_harmless(name, shown, sizeof(shown)), number);
}

/* What its latest report says beside the progress. */
static json_t *numbers_of(struct proxy *proxy)
{
    struct muster_message report;
    json_t *numbers = json_object();
    proxy_report(proxy, &report);
    for (size_t i = 0; i < report.scalar_count; i++)
        set_number(numbers, report.scalars[i].name, muster__json_real(report.scalars[i].value));
    for (size_t i = 0; i < report.value_count; i++)
        set_number(numbers, report.values[i].name,
                   json_integer(muster_message_integer(&report, report.values[i].name, 0)));
    muster_message_clear(&report);
    return numbers;
}

static json_t *proxy_object(const struct proxy_look *look)
{
    const struct proxy_statistics *statistics = &look->statistics;
    json_t *object = json_object();
    muster__json_text(object, "manager", look->manager->name);
    muster__json_text(object, "name", proxy_name(look->proxy));
    muster__json_count(object, "rank", proxy_rank(look->proxy));
    muster__json_text(object, "peer", proxy_peer(look->proxy));
    muster__json_text(object, "state", proxy_state_name(statistics->state));
    set_milliseconds(object, "state_ms", statistics->state_ms);
    json_object_set_new(object, "silent", json_boolean(statistics->silent));
    set_milliseconds(object, "heard_ms", statistics->heard_ms);
    muster__json_count(object, "connections", statistics->connections);
    muster__json_text(object, "kind", kind_name(statistics->kind));
    if (statistics->kind != MUSTER_EMPTY) {
        muster__json_count(object, "turn", statistics->turn);
        muster__json_count(object, "round", statistics->round);
        set_milliseconds(object, "turn_ms", statistics->turn_ms);
        set_limit(object, "left_ms", statistics->left_ms);
        json_object_set_new(object, "progress", muster__json_real(statistics->progress));
        json_object_set_new(object, "numbers", numbers_of(look->proxy));
        json_object_set_new(object, "transfer", transfer(&statistics->transfer));
    }
    json_object_set_new(object, "turns_ended", statuses(statistics->turns_ended));
    muster__json_count(object, "failed", muster__failed_turns(statistics->turns_ended));
    json_object_set_new(object, "traffic", traffic(&statistics->traffic));
    return object;
}

static bool matches(const struct proxy_look *look, const char *filter)
{
    const char *state = look->statistics.silent ? "silent" : proxy_state_name(look->statistics.state);
    return !filter || strcasestr(proxy_name(look->proxy), filter) ||
           strcasestr(proxy_peer(look->proxy), filter) || strcasecmp(state, filter) == 0;
}

static void write_proxies(FILE *out, const struct state_query *query, const struct look *look)
{
    size_t matching = 0, written = 0;
    fputs(",\"participants\":{\"rows\":[", out);
    for (size_t i = 0; i < look->proxy_count; i++) {
        if (!matches(&look->proxies[i], query->filter) || matching++ < query->offset ||
            written == query->limit)
            continue;
        put(out, written++ ? "," : "", proxy_object(&look->proxies[i]));
    }
    fprintf(out, "],\"total\":%zu,\"matching\":%zu,\"offset\":%zu}", look->proxy_count, matching,
            query->offset);
}

static json_t *own_object(const struct participant_look *own)
{
    const struct participant_statistics *statistics = &own->statistics;
    json_t *object = json_object();
    muster__json_text(object, "name", own->name);
    muster__json_count(object, "rank", own->rank);
    muster__json_text(object, "state", participant_state_name(statistics->state));
    set_milliseconds(object, "state_ms", statistics->state_ms);
    muster__json_count(object, "connections", statistics->connections);
    muster__json_count(object, "attempts", statistics->attempts);
    json_object_set_new(object, "working", json_boolean(statistics->working));
    set_milliseconds(object, "turn_ms", statistics->turn_ms);
    muster__json_count(object, "consumed", statistics->consumed);
    muster__json_count(object, "answered", statistics->answered);
    muster__json_count(object, "cancelled", statistics->cancelled);
    json_object_set_new(object, "transfer", transfer(&statistics->transfer));
    set_milliseconds(object, "heartbeat_ms", statistics->heartbeat_ms);
    json_object_set_new(object, "traffic", traffic(&statistics->traffic));
    return object;
}

/* ---- groups ---- */

static json_t *member_object(const struct muster_group_peer *peer)
{
    json_t *object = json_object();
    muster__json_count(object, "rank", peer->rank);
    muster__json_text(object, "name", peer->name);
    muster__json_text(object, "address", peer->address);
    muster__json_text(object, "state", muster_member_state_name(peer->state));
    return object;
}

static json_t *view_object(const struct group_look *look)
{
    const struct muster_group_statistics *statistics = &look->statistics;
    json_t *object = json_object();
    muster__json_count(object, "rank", statistics->rank);
    muster__json_count(object, "epoch", look->epoch);
    muster__json_count(object, "links", statistics->links);
    muster__json_count(object, "collectives", statistics->collectives);
    json_object_set_new(object, "version",
                        statistics->published ? json_integer((json_int_t)statistics->version) : json_null());
    muster__json_count(object, "eager_bytes", statistics->eager_bytes);
    muster__json_count(object, "eager_budget", statistics->eager_budget);
    json_object_set_new(object, "traffic", traffic(&statistics->traffic));
    return object;
}

static json_t *wait_object(const struct muster_group_wait *wait)
{
    json_t *object = json_object();
    bool direct = wait->call == MUSTER_CALL_SEND || wait->call == MUSTER_CALL_RECEIVE;
    muster__json_text(object, "call", muster_group_call_name(wait->call));
    json_object_set_new(object, "rank",
                        wait->rank == MUSTER_ANY_RANK ? json_null() : json_integer(wait->rank));
    if (direct && wait->tag != MUSTER_ANY_TAG)
        muster__json_count(object, "tag", wait->tag);
    if (wait->call == MUSTER_CALL_FETCH)
        muster__json_count(object, "version", wait->tag);
    set_milliseconds(object, "waiting_ms", wait->waiting_ms);
    set_limit(object, "left_ms", wait->left_ms);
    return object;
}

/* Whether there is anything between the two. */
static bool is_edge(const struct muster_group_peer *peer)
{
    return peer->link != MUSTER_LINK_NONE || peer->waits != MUSTER_CALL_NONE || peer->offers ||
           peer->fetches || peer->traffic.bytes_sent || peer->traffic.bytes_received;
}

static json_t *edge_object(const struct muster_group_peer *peer)
{
    json_t *object = json_object();
    muster__json_count(object, "rank", peer->rank);
    muster__json_text(object, "link", muster_link_state_name(peer->link));
    json_object_set_new(object, "dialled", json_boolean(peer->dialled));
    set_limit(object, "heard_ms", peer->heard_ms);
    json_object_set_new(object, "traffic", traffic(&peer->traffic));
    muster__json_count(object, "offers", peer->offers);
    muster__json_count(object, "fetches", peer->fetches);
    json_object_set_new(object, "version",
                        peer->fetched ? json_integer((json_int_t)peer->version) : json_null());
    return object;
}

/* Writes an object behind `before`, but for its end. */
static void put_open(FILE *out, const char *before, json_t *object)
{
    char *text = muster__json_write(object);
    size_t size = text ? strlen(text) : 0;
    /* Without memory it has no fields. */
    fprintf(out, "%s%.*s", before, size > 2 ? (int)size - 1 : 1, size > 2 ? text : "{");
    fputs(size > 2 ? "," : "", out);
    free(text);
    json_decref(object);
}

static void write_view(FILE *out, const char *before, const struct group_look *look)
{
    size_t written = 0;
    put_open(out, before, view_object(look));
    fputs("\"edges\":[", out);
    for (uint32_t i = 0; look->peers && i < look->statistics.members; i++) {
        if (is_edge(&look->peers[i]))
            put(out, written++ ? "," : "", edge_object(&look->peers[i]));
    }
    fputs("],\"waits\":[", out);
    for (size_t i = 0; i < look->wait_count; i++)
        put(out, i ? "," : "", wait_object(&look->waits[i]));
    fputs("]}", out);
}

/* The members of one group that are in this process have one name: who knows the newest of the others tells. */
static const struct group_look *newest_of(const struct look *look, const char *name)
{
    const struct group_look *newest = NULL;
    for (const struct group_look *at = look->groups; at && at < look->groups + look->group_count; at++) {
        if (strcmp(at->name, name) == 0 && at->peers && (!newest || at->epoch > newest->epoch))
            newest = at;
    }
    return newest;
}

static json_t *group_object(const struct group_look *look)
{
    const struct muster_group_statistics *statistics = &look->statistics;
    json_t *object = json_object();
    muster__json_text(object, "name", look->name);
    muster__json_count(object, "epoch", look->epoch);
    muster__json_count(object, "present", statistics->present);
    muster__json_count(object, "lost", statistics->lost);
    muster__json_count(object, "finished", statistics->finished);
    return object;
}

static void write_group(FILE *out, const char *before, const struct look *look,
                        const struct group_look *newest)
{
    size_t written = 0;
    put_open(out, before, group_object(newest));
    fputs("\"members\":[", out);
    for (uint32_t i = 0; i < newest->statistics.members; i++)
        put(out, i ? "," : "", member_object(&newest->peers[i]));
    fputs("],\"views\":[", out);
    for (size_t i = 0; i < look->group_count; i++) {
        if (strcmp(look->groups[i].name, newest->name) == 0)
            write_view(out, written++ ? "," : "", &look->groups[i]);
    }
    fputs("]}", out);
}

static void write_groups(FILE *out, const struct look *look)
{
    size_t written = 0;
    fputs(",\"groups\":[", out);
    for (size_t i = 0; i < look->group_count; i++) {
        const struct group_look *newest = newest_of(look, look->groups[i].name);
        bool first = newest;
        for (size_t j = 0; j < i; j++)
            first = first && strcmp(look->groups[j].name, newest->name) != 0;
        if (first)
            write_group(out, written++ ? "," : "", look, newest);
    }
    fputc(']', out);
}

/* ---- curves, settings ---- */

static void write_number(FILE *out, const char *before, double value)
{
    if (isfinite(value))
        fprintf(out, "%s%.17g", before, value);
    else
        fprintf(out, "%snull", before);
}

static void write_points(FILE *out, const struct curve *curve, size_t values)
{
    const struct point *point;
    for (size_t i = 0; (point = muster__curve_point(curve, i)); i++) {
        write_number(out, i ? ",[" : "[", point->x);
        for (size_t j = 0; j < values; j++)
            write_number(out, ",", point->values[j]);
        fputc(']', out);
    }
}

/* A curve as it is now, with `points` for its points: whoever adds one waits for no more than the copy. */
static struct curve copy_curve(struct curves *curves, const struct curve *curve,
                               struct point points[CURVE_POINTS_MAX])
{
    pthread_mutex_lock(&curves->lock);
    struct curve copy = *curve;
    if (copy.count)
        memcpy(points, copy.points, copy.count * sizeof(*points));
    pthread_mutex_unlock(&curves->lock);
    copy.points = points;
    return copy;
}

static void write_settings(FILE *out, struct curves *curves)
{
    pthread_mutex_lock(&curves->lock);
    for (size_t i = 0; i < curves->setting_count; i++) {
        put(out, i ? ",[" : "[", json_string(curves->settings[i].name));
        put(out, ",", json_string(curves->settings[i].text));
        fputc(']', out);
    }
    pthread_mutex_unlock(&curves->lock);
}

static void write_curves(FILE *out, struct curves *curves, bool whole)
{
    struct point points[CURVE_POINTS_MAX];
    pthread_mutex_lock(&curves->lock);
    uint64_t version = curves->version;
    size_t count = curves->count; /* of which none goes */
    pthread_mutex_unlock(&curves->lock);
    fprintf(out, ",\"curves_version\":%llu", (unsigned long long)version);
    if (!whole)
        return;
    fputs(",\"curves\":[", out);
    for (size_t i = 0; i < count; i++) {
        struct curve curve = copy_curve(curves, &curves->curves[i], points);
        put(out, i ? ",{\"name\":" : "{\"name\":", json_string(curve.name));
        fputs(",\"points\":[", out);
        write_points(out, &curve, 1);
        fputs("]}", out);
    }
    fputs("],\"history\":[", out);
    struct curve history = copy_curve(curves, &curves->history, points);
    write_points(out, &history, POINT_VALUES_MAX);
    fputs("],\"settings\":[", out);
    write_settings(out, curves);
    fputc(']', out);
}

void muster__state_write(FILE *out, const struct state_query *query, struct look *look, struct curves *curves,
                         uint64_t epoch)
{
    fprintf(out, "{\"version\":\"%s\",\"epoch\":%llu,\"time_ms\":%lld,\"managers\":[", muster_version(),
            (unsigned long long)epoch, (long long)muster__time_of_day());
    muster__look_sort(look, ORDER_STATE, false);
    for (size_t i = 0; i < look->manager_count; i++)
        put(out, i ? "," : "", manager_object(look, &look->managers[i]));
    fputs("],\"own\":[", out);
    for (size_t i = 0; i < look->participant_count; i++)
        put(out, i ? "," : "", own_object(&look->participants[i]));
    fputs("]", out);
    write_groups(out, look);
    if (query->order != ORDER_STATE || query->descending)
        muster__look_sort(look, query->order, query->descending);
    write_proxies(out, query, look);
    write_curves(out, curves, query->curves);
    fputs("}\n", out);
}
