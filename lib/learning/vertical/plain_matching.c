/* The master of a plain matching: it gets the ids of all members, and tells them which are joint. */
#include <config.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "learning/vertical/exchange.h"
#include "learning/vertical/ids.h"
#include "learning/vertical/match_message.h"
#include "status.h"

enum { SHOWN = 48 }; /* bytes of an id in a text */

struct plain {
    struct match_master *master;
    bool *joint;  /* of each id in its order: whether all that were heard have it */
    bool *left;   /* of each member */
    bool strange; /* a member's ids are none of the master's */
    struct muster__vertical_note message;
    const struct muster_message **instructions;
};

static enum muster_status no_memory(struct muster_error *error)
{
    return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for a matching");
}

static const char *id_at(const struct plain *plain, size_t place)
{
    return plain->master->table->ids[plain->master->order[place]];
}

static enum muster_status ask(struct plain *plain, match_take *take, struct muster_error *error)
{
    const struct match_exchange *exchange = plain->master->exchange;
    for (size_t i = 0; i < exchange->members; i++)
        plain->instructions[i] = &plain->message.message;
    return exchange->round(exchange->context, plain->instructions, take, plain, error);
}

/* ---- ids ---- */

/* What the member lacks is not joint. Returns how many of the master's ids it has. */
static size_t narrow(struct plain *plain, const struct vertical_ids *theirs)
{
    size_t at = 0, common = 0;
    for (size_t i = 0; i < plain->master->table->rows; i++) {
        int order = 1;
        while (at < theirs->count && (order = strcmp(theirs->texts[at], id_at(plain, i))) < 0)
            at++;
        if (at < theirs->count && order == 0)
            common++;
        else
            plain->joint[i] = false;
    }
    return common;
}

static enum muster_status take_ids(void *taker, size_t member, const struct muster_message *answer,
                                   struct muster_error *reason)
{
    struct plain *plain = taker;
    struct vertical_ids ids = {0};
    const void *bytes;
    size_t size;
    if (!muster__match_is(answer, MATCH_IDS, 0))
        return muster__error(reason, MUSTER_PROTOCOL, "the answer is of another step of the matching");
    enum muster_status status = muster__match_array(answer, MUSTER_UINT8, 1, &bytes, &size, reason);
    if (status == MUSTER_OK)
        status = muster__vertical_ids_read(&ids, bytes, size, plain->master->options->match_limit, reason);
    muster__match_note_size(plain->master, ids.count);
    plain->left[member] = muster_message_bool(answer, MATCH_LEFT, false);
    if (status == MUSTER_OK && !plain->left[member] && narrow(plain, &ids) == 0) {
        /* The member is told, too: so there is no id of the master in it. */
        char theirs[SHOWN];
        plain->strange = true;
        status = muster__error(
            reason, MUSTER_FORMAT, "none of its %zu ids, such as '%s', is the master's", ids.count,
            muster_text_harmless(ids.count > 0 ? ids.texts[0] : "", theirs, sizeof(theirs)));
    }
    muster__vertical_ids_clear(&ids);
    return status;
}

/* Who sees both can tell what is wrong with them. */
static void show_own(const struct plain *plain)
{
    char own[SHOWN], text[2 * SHOWN];
    if (!plain->master->options->on_warning)
        return;
    snprintf(text, sizeof(text), "our ids are such as '%s'",
             muster_text_harmless(id_at(plain, 0), own, sizeof(own)));
    plain->master->options->on_warning(plain->master->options->context, text);
}

/* ---- the joint ones ---- */

static enum muster_status gather(struct plain *plain, struct muster_error *error)
{
    struct match_master *master = plain->master;
    master->joint = 0;
    master->rows = malloc(master->table->rows * sizeof(*master->rows) + 1);
    if (!master->rows)
        return no_memory(error);
    for (size_t i = 0; i < master->table->rows; i++) {
        if (plain->joint[i])
            master->rows[master->joint++] = master->order[i];
    }
    if (master->joint == 0)
        return muster__error(error, MUSTER_FORMAT, "no id is common to all %zu",
                             master->exchange->members + 1);
    return MUSTER_OK;
}

static enum muster_status take_count(void *taker, size_t member, const struct muster_message *answer,
                                     struct muster_error *reason)
{
    const struct plain *plain = taker;
    size_t joint = plain->master->joint;
    int64_t theirs = muster_message_integer(answer, MATCH_JOINT, -1);
    if (!muster__match_is(answer, MATCH_JOINT, 1))
        return muster__error(reason, MUSTER_PROTOCOL, "the answer is of another step of the matching");
    if (theirs < 0 || (uint64_t)theirs > joint || (!plain->left[member] && (uint64_t)theirs != joint))
        return muster__error(reason, MUSTER_PROTOCOL, "it has %lld of %zu joint ids", (long long)theirs,
                             joint);
    return MUSTER_OK;
}

static enum muster_status tell(struct plain *plain, struct muster_error *error)
{
    struct match_master *master = plain->master;
    size_t size;
    char *bytes = muster__vertical_ids_write(master->table->ids, master->rows, master->joint, &size);
    if (!bytes)
        return no_memory(error);
    muster__match_message(&plain->message, MATCH_JOINT, 1);
    muster__match_set_array(&plain->message, MUSTER_UINT8, size, 1, bytes);
    enum muster_status status = ask(plain, take_count, error);
    free(bytes);
    return status;
}

enum muster_status muster__match_plain(struct match_master *master, struct muster_error *error)
{
    size_t members = master->exchange->members;
    struct plain plain = {.master = master};
    enum muster_status status = MUSTER_OK;
    plain.joint = malloc(master->table->rows * sizeof(*plain.joint) + 1);
    plain.left = calloc(members + 1, sizeof(*plain.left));
    plain.instructions = calloc(members + 1, sizeof(*plain.instructions));
    if (!plain.joint || !plain.left || !plain.instructions) {
        status = no_memory(error);
        goto cleanup;
    }
    for (size_t i = 0; i < master->table->rows; i++)
        plain.joint[i] = true;
    muster__match_message(&plain.message, MATCH_IDS, 0);
    status = ask(&plain, take_ids, error);
    if (plain.strange)
        show_own(&plain);
    if (status == MUSTER_OK)
        status = gather(&plain, error);
    if (status == MUSTER_OK)
        status = tell(&plain, error);
cleanup:
    if (status != MUSTER_OK) {
        free(master->rows);
        master->rows = NULL;
    }
    free(plain.instructions);
    free(plain.left);
    free(plain.joint);
    return status;
}
