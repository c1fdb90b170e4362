/* A model that a participant gave is kept in the run at once, and only then told: a server that is killed before its first
 * round begins with the same. */
#include <config.h>

#include "first_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "asynchronous.h"
#include "common/clock.h"
#include "common/dataset.h"
#include "common/log.h"
#include "display.h"

#define FIRST_FILE "first.npz"

/* How long to wait at a time for one more participant, and the least time that one has to answer. */
enum { LOOK_MS = 500, LEAST_MS = 1000 };

/* ---- a model that is there ---- */

static bool path_of_first(const struct training *training, char *path, size_t size)
{
    if (!training->run)
        return false;
    snprintf(path, size, "%s/" FIRST_FILE, training->settings->run);
    return true;
}

/* What this run began with, if it was a participant's. */
static enum muster_status read_first(struct training *training, struct muster_error *error)
{
    char path[4096];
    if (!path_of_first(training, path, sizeof(path)))
        return MUSTER_OK;
    return access(path, F_OK) == 0 ? model_read(&training->first, path, error) : MUSTER_OK;
}

enum muster_status first_model_find(struct training *training, struct muster_error *error)
{
    const struct server_hooks *hooks = training->hooks;
    const struct server_settings *settings = training->settings;
    struct muster_message model = MUSTER_MESSAGE_INIT;
    struct muster_error reason;
    enum muster_status status = MUSTER_OK;
    if (training->strategy && settings->model)
        log_write(LOG_INFO, "--model %s is not read: the run in %s goes on with its own model",
                  settings->model, settings->run);
    if (training->strategy)
        return MUSTER_OK;
    if (!settings->model && !hooks->first_model && settings->clip > 0)
        return explain(error, MUSTER_INVALID,
                       "privacy.clip: a first model from a participant would not be private: "
                       "name one with --model FILE.npz");
    status = asynchronous_first_model(training, &training->first, error);
    if (status != MUSTER_OK || training->first.message.array_count > 0) {
        model = training->first.message;
    } else if (hooks->first_model && !settings->model) {
        status = hooks->first_model(hooks->context, &model, error);
    } else {
        status = settings->model ? model_read(&training->first, settings->model, error)
                                 : read_first(training, error);
        model = training->first.message;
    }
    if (status == MUSTER_OK && model.array_count > 0) {
        status = training_begin(training, &model, &reason);
        if (status != MUSTER_OK)
            explain(error, status, "%s%s%s", settings->model ? settings->model : "",
                    settings->model ? ": " : "", reason.text);
    }
    model_free(&training->first);
    return status;
}

/* ---- a participant's ---- */

/* Who was asked, by their ranks, which no two participants of a manager have. */
struct asking {
    struct training *training;
    uint64_t *asked;
    size_t count;
    int64_t until_ms;
    char last[MUSTER_ERROR_TEXT_SIZE]; /* why the last one gave none */
};

static bool was_asked(const struct asking *asking, const struct proxy *proxy)
{
    for (size_t i = 0; i < asking->count; i++) {
        if (asking->asked[i] == proxy_rank(proxy))
            return true;
    }
    return false;
}

static bool note_asked(struct asking *asking, const struct proxy *proxy)
{
    uint64_t *more = realloc(asking->asked, (asking->count + 1) * sizeof(*more));
    if (!more)
        return false;
    asking->asked = more;
    asking->asked[asking->count++] = proxy_rank(proxy);
    return true;
}

static enum muster_status check_size(const struct training *training, const struct muster_message *answer,
                                     struct muster_error *error)
{
    uint64_t size = 0, limit = training->settings->model_limit;
    for (size_t i = 0; i < answer->array_count; i++)
        size += muster_array_count(&answer->arrays[i]) * muster_dtype_size(answer->arrays[i].dtype);
    if (size <= limit)
        return MUSTER_OK;
    return explain(error, MUSTER_TOO_BIG, "the model has %llu bytes: more than --model-limit, %llu",
                   (unsigned long long)size, (unsigned long long)limit);
}

/* Begins with an answer, and keeps it; the answer is cleared. */
static enum muster_status begin(struct training *training, struct muster_message *answer,
                                struct muster_error *error)
{
    struct model model = {.message = MUSTER_MESSAGE_INIT, .answer = MUSTER_MESSAGE_INIT};
    char path[4096];
    enum muster_status status = check_size(training, answer, error);
    if (status == MUSTER_OK)
        status = model_take(&model, answer, error);
    if (status == MUSTER_OK)
        status = training_begin(training, &model.message, error);
    if (status == MUSTER_OK && path_of_first(training, path, sizeof(path)))
        status = model_write(path, &model.message, error);
    model_free(&model);
    return status;
}

/* Asks one. It has its share of the time that is left, and those that are still to come have one, too: so one that is
 * frozen leaves some to the others. */
static enum muster_status ask_one(struct asking *asking, struct proxy *proxy, size_t left,
                                  struct muster_error *error)
{
    struct muster_message instruction = MUSTER_MESSAGE_INIT, answer = MUSTER_MESSAGE_INIT;
    const struct muster_scalar first = {"first_model", 1};
    int64_t limit_ms = (asking->until_ms - clock_ms()) / (int64_t)(left + 1);
    if (limit_ms > asking->training->settings->deadline_ms)
        limit_ms = asking->training->settings->deadline_ms;
    instruction.kind = MUSTER_TRAIN;
    instruction.scalars = &first;
    instruction.scalar_count = 1;
    enum muster_status status =
        proxy_run(proxy, &instruction, limit_ms > LEAST_MS ? limit_ms : LEAST_MS, &answer, error);
    if (status == MUSTER_OK) {
        status = begin(asking->training, &answer, error);
        if (status != MUSTER_OK && !asking->training->strategy)
            proxy_refuse(proxy, error->text, NULL);
    }
    muster_message_clear(&answer);
    return status;
}

static size_t count_new(const struct asking *asking, struct proxy *const *proxies, size_t count)
{
    size_t left = 0;
    for (size_t i = 0; i < count; i++)
        left += !was_asked(asking, proxies[i]);
    return left;
}

/* Asks those that were not asked yet. OK: there is a model; TIMEOUT: none of them gave one. */
static enum muster_status ask_all(struct asking *asking, struct proxy *const *proxies, size_t count,
                                  struct muster_error *error)
{
    for (size_t i = 0; i < count && clock_ms() < asking->until_ms; i++) {
        struct muster_error reason;
        size_t left = count_new(asking, proxies, count);
        if (was_asked(asking, proxies[i]))
            continue;
        if (!note_asked(asking, proxies[i]))
            return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
        enum muster_status status = ask_one(asking, proxies[i], left, &reason);
        if (status == MUSTER_OK)
            log_write(LOG_INFO, "the first model is %s's", proxy_name(proxies[i]));
        else if (status == MUSTER_STOPPED || stopping_is_asked(asking->training->stopping))
            return MUSTER_STOPPED;
        if (status == MUSTER_OK)
            return MUSTER_OK;
        if (asking->training->strategy)
            return explain(error, status, "%s", reason.text); /* it cannot be kept */
        snprintf(asking->last, sizeof(asking->last), "%s", reason.text);
        log_write(LOG_WARNING, "%s gives no first model: %s", proxy_name(proxies[i]), reason.text);
    }
    return MUSTER_TIMEOUT;
}

/* Asks everyone who comes, until the time has passed. */
static enum muster_status ask_until(struct asking *asking, struct muster_error *error)
{
    struct participant_manager *manager = asking->training->manager;
    double seconds = (double)asking->training->settings->wait_ms / 1000;
    size_t wanted = 1;
    bool told = false;
    for (int64_t left_ms; (left_ms = asking->until_ms - clock_ms()) > 0;) {
        struct proxy **proxies;
        size_t count;
        int64_t slice_ms = !told ? 0 : left_ms < LOOK_MS ? left_ms : LOOK_MS;
        enum muster_status status =
            participant_manager_get_participants(manager, wanted, slice_ms, &proxies, &count, error);
        if (status == MUSTER_OK) {
            status = ask_all(asking, proxies, count, error);
            wanted = count + 1;
            proxy_release_all(proxies, count);
        } else {
            wanted = 1; /* one may have come and another gone */
        }
        if (status != MUSTER_TIMEOUT)
            return status;
        if (!told)
            log_write(LOG_INFO, "waiting up to %g s for a participant that gives the first model", seconds);
        told = true;
    }
    return explain(
        error, MUSTER_TIMEOUT,
        "there is no first model: name one with --model FILE.npz; of %zu participants none gave one in "
        "%g s%s%.90s",
        asking->count, seconds, asking->last[0] != '\0' ? ", the last one as " : "", asking->last);
}

enum muster_status first_model_ask(struct training *training, struct muster_error *error)
{
    struct asking asking = {.training = training, .until_ms = clock_ms() + training->settings->wait_ms};
    if (!stopping_begin_wait(training->stopping))
        return MUSTER_STOPPED;
    display_stage("waiting for the first model");
    enum muster_status status = ask_until(&asking, error);
    stopping_end_wait(training->stopping);
    free(asking.asked);
    return status;
}
