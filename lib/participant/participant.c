/* The participant: its lifetime, its options, and what is known of it. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "callback.h"
#include "link/hello.h"
#include "options.h"
#include "participant/internal.h"
#include "participant/return.h"
#include "status.h"
#include "text.h"
#include "wire/wire.h"

/* Twice what servers take for the least. */
#define KEEPALIVE_TIME_LEAST 10000

void muster__participant_release(struct participant *participant)
{
    if (atomic_fetch_sub_explicit(&participant->references, 1, memory_order_acq_rel) != 1)
        return;
    muster__turns_destroy(&participant->turns);
    muster__session_destroy(&participant->session);
    muster__buffer_release(participant->hello);
    muster__credentials_free(participant->credentials);
    pthread_cond_destroy(&participant->changed);
    pthread_mutex_destroy(&participant->lock);
    free(participant->address);
    free(participant);
}

static const struct participant_options default_options = {
    .size = sizeof(default_options),
    .connect_timeout_ms = 60000,
    .reconnect_timeout_ms = 600000,
    .reconnect_first_ms = 100,
    .reconnect_last_ms = 10000,
    .close_timeout_ms = 5000,
    .max_message_size = (size_t)128 << 20,
    .max_payload_size = (uint64_t)64 << 30,
    .chunk_threshold = (size_t)512 << 10,
    .keepalive_time_ms = 30000,
    .keepalive_timeout_ms = 20000,
    .on_warning = muster_warn,
};

void participant_options_init_sized(struct participant_options *options, size_t size)
{
    muster__options_give(options, size, &default_options, sizeof(default_options));
}

static enum muster_status check_options(const struct participant_options *options, struct muster_error *error)
{
    if (options->max_message_size < 1024 || options->max_message_size > INT32_MAX)
        return muster__error(error, MUSTER_INVALID,
                             "options.max_message_size is not from 1024 to 2147483647 bytes");
    if (options->max_payload_size == 0)
        return muster__error(error, MUSTER_INVALID, "options.max_payload_size is 0");
    if (options->reconnect_timeout_ms < MUSTER_NO_LIMIT)
        return muster__error(error, MUSTER_INVALID,
                             "options.reconnect_timeout_ms is negative (without a limit: MUSTER_NO_LIMIT)");
    if (options->name_timeout_ms < 0)
        return muster__error(error, MUSTER_INVALID, "options.name_timeout_ms is negative");
    if (options->reconnect_first_ms < 1 || options->reconnect_last_ms < options->reconnect_first_ms)
        return muster__error(error, MUSTER_INVALID,
                             "options.reconnect_first_ms is not from 1 to options.reconnect_last_ms");
    if (options->label_count && !options->labels)
        return muster__error(error, MUSTER_INVALID, "options.labels is NULL, and label_count is %zu",
                             options->label_count);
    return MUSTER_OK;
}

/* The server would turn it away. */
static enum muster_status check_texts(const struct participant_options *options, struct muster_error *error)
{
    const char *name = options->name ? options->name : "";
    if (!muster__text_is_good(name, strlen(name)))
        return muster__error(error, MUSTER_INVALID, "the name '%.64s' is not UTF-8", name);
    for (size_t i = 0; i < options->label_count; i++) {
        const struct participant_label *label = &options->labels[i];
        const char *texts[] = {label->name ? label->name : "", label->value ? label->value : ""};
        if (!muster__text_is_good(texts[0], strlen(texts[0])) ||
            !muster__text_is_good(texts[1], strlen(texts[1])))
            return muster__error(error, MUSTER_INVALID, "the label '%.64s' or its value is not UTF-8",
                                 texts[0]);
    }
    return MUSTER_OK;
}

static struct participant *participant_new(const char *address, const struct participant_options *options)
{
    const struct abilities own = {
        .max_message_size = options->max_message_size,
        .max_payload_size = muster__payload_most(options->max_payload_size),
        .sends_heartbeats = true,
        .asks = options->asks,
        .hears_refusals = options->on_warning, /* nobody else would see why an answer was refused */
    };
    struct participant *participant = calloc(1, sizeof(*participant));
    if (!participant)
        return NULL;
    atomic_init(&participant->references, 1);
    pthread_mutex_init(&participant->lock, NULL);
    pthread_cond_init(&participant->changed, NULL);
    participant->options = *options;
    participant->options.name = NULL;
    participant->options.labels = NULL;
    muster__session_init(&participant->session);
    muster__turns_init(&participant->turns, &participant->traffic, own.max_payload_size);
    participant->address = strdup(address);
    participant->hello = muster__hello_pack(&own, options->name, options->labels, options->label_count);
    if (participant->address && participant->hello)
        return participant;
    muster__participant_release(participant);
    return NULL;
}

static enum muster_status set_connection(struct participant *participant,
                                         const struct participant_options *options,
                                         struct muster_error *error)
{
    enum muster_status status = muster__check_keepalive(
        options->keepalive_time_ms, options->keepalive_timeout_ms, KEEPALIVE_TIME_LEAST, error);
    if (status == MUSTER_OK)
        status = muster__credentials_load(&options->credentials, OF_PARTICIPANT, options->on_warning,
                                          options->context, &participant->credentials, error);
    if (status != MUSTER_OK)
        return status;
    participant->options.credentials = (struct muster_credentials){0};
    participant->connection = (struct connection_options){
        .credentials = participant->credentials,
        .keepalive_time_ms = options->keepalive_time_ms,
        .keepalive_timeout_ms = options->keepalive_timeout_ms,
    };
    return MUSTER_OK;
}

static void warn_of_connection(const struct participant *participant)
{
    const struct participant_options *options = &participant->options;
    const char *text =
        muster__credentials_warning(participant->credentials, OF_PARTICIPANT, participant->address);
    char line[MUSTER_ERROR_TEXT_SIZE];
    muster__credentials_tell(participant->credentials);
    if (!text || !options->on_warning || participant->transport->ops->is_inside)
        return;
    snprintf(line, sizeof(line), "connecting to %.64s without TLS: %s", participant->address, text);
    muster__callback_warn(options->on_warning, options->context, line);
}

/* All of it but its first stream. */
static enum muster_status prepare(const char *address, const struct participant_options *given,
                                  struct participant **result, struct muster_error *error)
{
    struct participant_options own = default_options;
    const struct participant_options *options = &own;
    enum muster_status status = MUSTER_OK;
    if (given)
        status = muster__options_take(&own, sizeof(own), given, "participant_options_init", error);
    if (status != MUSTER_OK)
        return status;
    if (!address || !*address)
        return muster__error(error, MUSTER_INVALID, "there is no address: write it as host:port");
    status = check_options(options, error);
    if (status == MUSTER_OK)
        status = check_texts(options, error);
    if (status != MUSTER_OK)
        return status;
    struct participant *participant = participant_new(address, options);
    if (!participant)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    status = set_connection(participant, options, error);
    if (status == MUSTER_OK)
        status = muster__transport_acquire(address, 1, &participant->transport, error);
    if (status != MUSTER_OK) {
        muster__participant_release(participant);
        return status;
    }
    muster__block_participant(true); /* until dismantle() */
    *result = participant;
    return MUSTER_OK;
}

/* Nothing will come any more. */
static void dismantle(struct participant *participant)
{
    participant->transport->ops->release(participant->transport);
    muster__participant_release(participant);
    muster__block_participant(false);
    muster__block_trim();
}

/* Opens the first stream. `waiter` (NULL: nobody waits) begins under the same lock as the attempts: both
   limits end together. *result is set before anybody hears of the participant; not OK: it is NULL. */
static enum muster_status start(const char *address, const struct participant_options *given,
                                struct waiter *waiter, struct participant **result,
                                struct muster_error *error)
{
    *result = NULL;
    enum muster_status status = prepare(address, given, result, error);
    if (status != MUSTER_OK)
        return status;
    struct participant *participant = *result;
    pthread_mutex_lock(&participant->lock);
    muster__session_open(participant);
    status = muster__session_final_status(participant, error);
    if (status == MUSTER_OK && waiter)
        muster__waiter_begin(waiter, participant->transport, &participant->lock, &participant->changed,
                             participant->options.connect_timeout_ms);
    muster__participant_unlock(participant);
    if (status != MUSTER_OK) { /* an address that makes no sense needs no other word */
        dismantle(participant);
        *result = NULL;
        return status;
    }
    warn_of_connection(participant);
    return MUSTER_OK;
}

enum muster_status participant_start(const char *address, const struct participant_options *options,
                                     struct participant **participant, struct muster_error *error)
{
    return start(address, options, NULL, participant, error);
}

enum muster_status participant_connect(const char *address, const struct participant_options *options,
                                       struct participant **result, struct muster_error *error)
{
    struct waiter waiter;
    *result = NULL;
    if (muster__in_callback())
        return muster__error(error, MUSTER_INVALID, "participant_connect() waits: call it outside callbacks");
    enum muster_status status = start(address, options, &waiter, result, error);
    if (status != MUSTER_OK)
        return status;
    struct participant *participant = *result;
    pthread_mutex_lock(&participant->lock);
    while (!muster__session_is_admitted(participant) && participant->session.state != PARTICIPANT_ENDED &&
           !waiter.expired)
        muster__waiter_sleep(&waiter);
    muster__waiter_end(&waiter);
    /* Admitted, if only to be asked to leave at once: participant_consume() tells. */
    if (!muster__session_is_admitted(participant)) {
        status = muster__session_final_status(participant, error);
        if (status == MUSTER_OK)
            status = muster__return_no_answer(participant, error);
    }
    muster__participant_unlock(participant);
    if (status == MUSTER_OK)
        return MUSTER_OK;
    participant_free(participant);
    *result = NULL;
    return status;
}

void participant_close(struct participant *participant)
{
    pthread_mutex_lock(&participant->lock);
    muster__session_hang_up(participant);
    muster__participant_unlock(participant);
}

void participant_free(struct participant *participant)
{
    if (!participant)
        return;
    participant_close(participant);
    if (muster__in_callback()) {
        muster__callback_warn(
            participant->options.on_warning, participant->options.context,
            "participant_free() in a callback closes, and frees nothing: call it again on another thread");
        return;
    }
    struct waiter waiter;
    pthread_mutex_lock(&participant->lock);
    muster__session_spare(participant);
    muster__waiter_begin(&waiter, participant->transport, &participant->lock, &participant->changed,
                         participant->options.close_timeout_ms);
    while (!participant->session.settled && !waiter.expired)
        muster__waiter_sleep(&waiter);
    muster__waiter_end(&waiter);
    if (participant->session.stream)
        participant->session.stream->ops->cut(participant->session.stream);
    while (!participant->session.settled ||
           participant->session.warnings.telling) /* what was cut ends at once */
        pthread_cond_wait(&participant->changed, &participant->lock);
    muster__participant_unlock(participant);
    dismantle(participant);
}

/* ---- what is known of the participant ---- */

const char *participant_reason(struct participant *participant)
{
    pthread_mutex_lock(&participant->lock);
    const char *reason = participant->session.state == PARTICIPANT_ENDED ? participant->session.reason : "";
    muster__participant_unlock(participant);
    return reason;
}

const char *participant_name(struct participant *participant)
{
    /* A server of the original protocol may give way to one that welcomes, while the user asks. */
    pthread_mutex_lock(&participant->lock);
    const char *name = participant->session.name ? participant->session.name : "";
    muster__participant_unlock(participant);
    return name;
}

uint64_t participant_rank(struct participant *participant)
{
    pthread_mutex_lock(&participant->lock);
    uint64_t rank = participant->session.rank;
    muster__participant_unlock(participant);
    return rank;
}
