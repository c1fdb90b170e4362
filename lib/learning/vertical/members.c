/* The members as the master sees them: who they are, what was asked of them and answered, and their coming
 * back. */
#include <config.h>

#include "learning/vertical/members.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/participant_manager.h>
#include <muster/proxy.h>

#include "learning/vertical/note.h"
#include "status.h"

static enum muster_status no_memory(struct muster_error *error)
{
    return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for the members");
}

/* ---- who they are ---- */

static enum muster_status make_peers(struct muster__vertical_members *members, size_t count,
                                     struct muster_error *error)
{
    muster__vertical_members_clear(members);
    members->peers = calloc(count, sizeof(*members->peers));
    if (!members->peers)
        return no_memory(error);
    members->count = count;
    return MUSTER_OK;
}

void muster__vertical_members_clear(struct muster__vertical_members *members)
{
    for (size_t i = 0; i < members->count; i++) {
        proxy_release(members->peers[i].proxy);
        free(members->peers[i].name);
        free(members->peers[i].scores);
    }
    free(members->peers);
    members->peers = NULL;
    members->count = 0;
}

static int by_name(const void *one, const void *other)
{
    return strcmp(proxy_name(*(struct proxy *const *)one), proxy_name(*(struct proxy *const *)other));
}

enum muster_status muster__vertical_members_take(struct muster__vertical_members *members, size_t count,
                                                 int64_t timeout_ms, struct muster_error *error)
{
    struct proxy **proxies;
    size_t found;
    enum muster_status status =
        participant_manager_get_participants(members->manager, count, timeout_ms, &proxies, &found, error);
    if (status != MUSTER_OK)
        return status;
    if (found > count)
        status = muster__error(error, MUSTER_INVALID,
                               "%zu participants are there, and %zu members are wanted", found, count);
    else
        status = make_peers(members, count, error);
    if (status == MUSTER_OK)
        qsort(proxies, count, sizeof(*proxies), by_name);
    for (size_t i = 0; i < count && status == MUSTER_OK; i++) {
        members->peers[i].proxy = proxy_retain(proxies[i]);
        members->peers[i].name = strdup(proxy_name(proxies[i]));
        if (!members->peers[i].name)
            status = no_memory(error);
    }
    proxy_release_all(proxies, found);
    return status;
}

enum muster_status muster__vertical_members_name(struct muster__vertical_members *members, const char *names,
                                                 struct muster_error *error)
{
    size_t count = 0;
    for (const char *line = names; *line; line = strchr(line, '\n') + 1)
        count++;
    enum muster_status status = make_peers(members, count, error);
    for (size_t i = 0; i < members->count && status == MUSTER_OK; i++) {
        size_t size = strcspn(names, "\n");
        members->peers[i].name = strndup(names, size);
        if (!members->peers[i].name)
            status = no_memory(error);
        names += size + 1;
    }
    return status;
}

char *muster__vertical_members_names(const struct muster__vertical_members *members)
{
    size_t size = 1;
    for (size_t i = 0; i < members->count; i++)
        size += strlen(members->peers[i].name) + 1;
    char *names = calloc(size, 1), *end = names;
    for (size_t i = 0; i < members->count && names; i++)
        end += sprintf(end, "%s\n", members->peers[i].name);
    return names;
}

/* ---- coming back ---- */

static void warn(const struct muster__vertical_members *members, const struct muster__vertical_peer *peer,
                 const char *what, const char *why)
{
    struct muster_error warning;
    if (!members->on_warning)
        return;
    muster__error(&warning, MUSTER_GONE, "member %s is %s%s", peer->name, what, why);
    members->on_warning(members->context, warning.text);
}

/* Takes the proxies that members have now; returns how many members have none. Strangers have no business
 * here. */
static size_t take_proxies(struct muster__vertical_members *members, struct proxy **proxies, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct muster__vertical_peer *peer = members->peers, *end = peer + members->count;
        while (peer < end && strcmp(peer->name, proxy_name(proxies[i])) != 0)
            peer++;
        if (peer == end)
            proxy_close(proxies[i]);
        else if (peer->proxy != proxies[i]) {
            proxy_release(peer->proxy);
            peer->proxy = proxy_retain(proxies[i]);
            peer->begun = false;
            warn(members, peer, "back", "");
        }
    }
    size_t missing = 0;
    for (size_t i = 0; i < members->count; i++)
        missing += !members->peers[i].proxy;
    return missing;
}

/* Who is not there. */
static const char *missing_name(const struct muster__vertical_members *members)
{
    size_t i = 0;
    while (i + 1 < members->count && members->peers[i].proxy)
        i++;
    return members->peers[i].name;
}

enum muster_status muster__vertical_members_wait(struct muster__vertical_members *members, int64_t timeout_ms,
                                                 struct muster_error *error)
{
    double end = timeout_ms == MUSTER_NO_LIMIT ? INFINITY : muster__vertical_now() + (double)timeout_ms;
    double left;
    do {
        struct proxy **proxies;
        size_t count;
        left = end - muster__vertical_now();
        enum muster_status status =
            participant_manager_get_participants(members->manager, members->count,
                                                 timeout_ms == MUSTER_NO_LIMIT ? timeout_ms
                                                 : left > 0                    ? (int64_t)left
                                                                               : 0,
                                                 &proxies, &count, error);
        if (status == MUSTER_TIMEOUT)
            break;
        if (status != MUSTER_OK)
            return status;
        size_t missing = take_proxies(members, proxies, count);
        proxy_release_all(proxies, count);
        if (missing == 0)
            return MUSTER_OK;
    } while (left > 0); /* strangers may come for ever */
    return muster__error(error, MUSTER_TIMEOUT, "member %s is not there: it was waited for %g s",
                         missing_name(members), (double)timeout_ms / 1000);
}

static void lose(struct muster__vertical_members *members, struct muster__vertical_peer *peer,
                 const char *why)
{
    proxy_release(peer->proxy);
    peer->proxy = NULL;
    peer->begun = false;
    warn(members, peer, "lost: ", why);
}

/* ---- asking ---- */

/* One round. */
struct asking {
    struct muster__vertical_members *members;
    struct muster__vertical_peer **peers; /* that were asked, as the proxies are */
    struct muster__vertical_expected expected;
    size_t sent; /* bytes of arrays */
    bool clears; /* `asked` of those that answer */
    double began;
};

static double *room(struct muster__vertical_peer *peer, size_t count)
{
    if (count > peer->scores_room) {
        free(peer->scores);
        peer->scores = calloc(count, sizeof(*peer->scores));
        peer->scores_room = peer->scores ? count : 0;
    }
    return peer->scores;
}

static enum muster_status take_scores(struct muster__vertical_peer *peer, size_t rows, size_t outputs,
                                      const struct muster_message *answer, struct muster_error *reason)
{
    const double *scores = muster__vertical_matrix(answer, rows, outputs, reason);
    if (!scores)
        return reason->status == MUSTER_INVALID
                   ? muster__error(reason, MUSTER_INVALID,
                                   "its scores are not finite: is the learning rate too high?")
                   : MUSTER_PROTOCOL;
    double *own = room(peer, rows * outputs);
    if (!own)
        return muster__error(reason, MUSTER_OUT_OF_MEMORY, "no memory for its scores");
    memcpy(own, scores, rows * outputs * sizeof(*own));
    peer->report.received_bytes += rows * outputs * sizeof(*own);
    return MUSTER_OK;
}

enum muster_status muster__vertical_peer_hear(struct muster__vertical_peer *peer,
                                              const struct muster__vertical_expected *expected,
                                              const struct muster_message *answer,
                                              struct muster_error *reason)
{
    int64_t step = muster_message_integer(answer, MUSTER__VERTICAL_STEP, -1);
    int64_t durable = muster_message_integer(answer, MUSTER__VERTICAL_DURABLE, -1);
    uint64_t right = expected->step != 0 ? expected->step : peer->step;
    if (step < 0 || durable < -1 || durable > step)
        return muster__error(reason, MUSTER_PROTOCOL, "its answer does not say where it is");
    if (!expected->any_step && (uint64_t)step != right)
        return muster__error(reason, MUSTER_PROTOCOL,
                             "it answers step %" PRId64 ", and %" PRIu64 " was asked", step, right);
    if (expected->rows != 0) {
        enum muster_status status = take_scores(peer, expected->rows, expected->outputs, answer, reason);
        if (status != MUSTER_OK)
            return status;
    }
    peer->step = (uint64_t)step;
    peer->durable = durable;
    peer->begun = true;
    peer->report.turns++;
    peer->task_ms = muster_message_scalar(answer, MUSTER__VERTICAL_TASK_MS, 0);
    return MUSTER_OK;
}

static enum muster_status on_answer(void *context, size_t index, struct proxy *proxy,
                                    const struct muster_message *answer, struct muster_error *reason)
{
    (void)proxy;
    const struct asking *asking = context;
    struct muster__vertical_peer *peer = asking->peers[index];
    double took = muster__vertical_now() - asking->began;
    enum muster_status status = muster__vertical_peer_hear(peer, &asking->expected, answer, reason);
    if (status != MUSTER_OK)
        return status;
    peer->report.turn_ms += took;
    peer->report.task_ms += fmin(fmax(peer->task_ms, 0), took);
    peer->asked = peer->asked && !asking->clears;
    peer->report.sent_bytes += asking->sent;
    return MUSTER_OK;
}

/* What the round came to: of several failures, one for which nobody can be waited for. */
static enum muster_status judge(const struct asking *asking, const struct proxy_round_result *result,
                                struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    for (size_t i = 0; i < result->count; i++) {
        const struct proxy_round_entry *entry = &result->entries[i];
        struct muster__vertical_peer *peer = asking->peers[i];
        if (entry->status == MUSTER_OK)
            continue;
        if (status == MUSTER_OK || muster__vertical_is_lost(status))
            status = muster__error(error, entry->status, "member %s: %s", peer->name, entry->text);
        if (muster__vertical_is_lost(entry->status))
            lose(asking->members, peer, entry->text);
    }
    return status;
}

/* instructions[i] goes to asking->peers[i]; or the first to all. */
static enum muster_status run(struct asking *asking, size_t count,
                              const struct muster_message *const *instructions, bool different,
                              struct muster_error *error)
{
    struct proxy_round_options options;
    struct proxy_round_result result = {0};
    struct proxy **proxies = calloc(count, sizeof(*proxies));
    if (!proxies)
        return no_memory(error);
    for (size_t i = 0; i < count; i++)
        proxies[i] = asking->peers[i]->proxy;
    proxy_round_options_init(&options);
    options.deadline_ms = asking->members->timeout_ms;
    asking->began = muster__vertical_now();
    enum muster_status status =
        different
            ? proxy_run_each(proxies, instructions, count, &options, on_answer, asking, &result, error)
            : proxy_run_all(proxies, count, instructions[0], &options, on_answer, asking, &result, error);
    if (result.count == count && status != MUSTER_STOPPED)
        status = judge(asking, &result, error);
    proxy_round_result_clear(&result);
    free(proxies);
    return status;
}

enum muster_status muster__vertical_members_ask(struct muster__vertical_members *members,
                                                struct muster__vertical_peer *only,
                                                const struct muster_message *instruction, uint64_t step,
                                                size_t rows, struct muster_error *error)
{
    size_t count = 0;
    struct muster__vertical_peer **peers = calloc(members->count, sizeof(struct muster__vertical_peer *));
    if (!peers)
        return no_memory(error);
    for (size_t i = 0; i < members->count; i++) {
        if (only ? only == &members->peers[i] : members->peers[i].asked)
            peers[count++] = &members->peers[i];
    }
    struct asking asking = {.members = members,
                            .peers = peers,
                            .expected = {.step = step, .rows = rows, .outputs = members->outputs},
                            .clears = !only};
    if (instruction->array_count > 0)
        asking.sent = muster_array_count(instruction->arrays) * sizeof(double);
    enum muster_status status = count > 0 ? run(&asking, count, &instruction, false, error) : MUSTER_OK;
    free(peers);
    return status;
}

/* ---- beginning ---- */

enum muster_status muster__vertical_members_begin(struct muster__vertical_members *members,
                                                  const struct muster__vertical_settings *settings,
                                                  uint64_t step, struct muster_error *error)
{
    size_t count = 0;
    enum muster_status status = MUSTER_OK;
    struct muster__vertical_note *notes = calloc(members->count, sizeof(*notes));
    const struct muster_message **instructions =
        calloc(members->count, sizeof(const struct muster_message *));
    struct muster__vertical_peer **peers = calloc(members->count, sizeof(struct muster__vertical_peer *));
    if (!notes || !instructions || !peers)
        status = no_memory(error);
    for (size_t i = 0; i < members->count && status == MUSTER_OK; i++) {
        if (members->peers[i].begun)
            continue;
        muster__vertical_note_begin(&notes[i], MUSTER_TRAIN, MUSTER__VERTICAL_BEGIN);
        muster__vertical_note_integer(&notes[i], MUSTER__VERTICAL_INDEX, (int64_t)i);
        muster__vertical_note_integer(&notes[i], MUSTER__VERTICAL_STEP, (int64_t)step);
        muster__vertical_settings_write(settings, &notes[i]);
        instructions[count] = &notes[i].message;
        peers[count++] = &members->peers[i];
    }
    struct asking asking = {.members = members, .peers = peers, .expected = {.any_step = true}};
    if (status == MUSTER_OK && count > 0)
        status = run(&asking, count, instructions, true, error);
    free(notes);
    free(instructions);
    free(peers);
    return status;
}
