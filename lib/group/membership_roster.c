/* Rosters, as the coordinator sends them and as a member has them. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "group/coordinator_groups.h"
#include "group/membership.h"
#include "group/packed.h"
#include "status.h"
#include "text.h"

struct roster *muster__roster_retain(struct roster *roster)
{
    atomic_fetch_add_explicit(&roster->references, 1, memory_order_relaxed);
    return roster;
}

void muster__roster_release(struct roster *roster)
{
    if (roster && atomic_fetch_sub_explicit(&roster->references, 1, memory_order_acq_rel) == 1)
        free(roster);
}

/* Whether it is one that a coordinator writes; *rank is that of `name`. */
static bool check_roster(const Muster__Group__Roster *given, const char *name, uint32_t *rank)
{
    bool found = false;
    if (given->n_entries > GROUP_MEMBERS_MAX || given->secret.len != GROUP_SECRET_SIZE)
        return false;
    for (uint32_t i = 0; i < given->n_entries; i++) {
        const Muster__Group__Entry *entry = given->entries[i];
        if (!muster__packed_is_text(entry->name) || !muster__packed_is_text(entry->address) ||
            !muster__packed_is_state(entry->state))
            return false;
        if (strcmp(entry->name, name) == 0) {
            found = true;
            *rank = i;
        }
    }
    return found;
}

/* One allocation, with its entries and their texts. NULL: out of memory. */
static struct roster *copy_roster(const Muster__Group__Roster *given, uint32_t rank)
{
    size_t size = sizeof(struct roster) + given->n_entries * sizeof(struct roster_entry);
    for (size_t i = 0; i < given->n_entries; i++)
        size += strlen(given->entries[i]->name) + strlen(given->entries[i]->address) + 2;
    struct roster *roster = malloc(size);
    if (!roster)
        return NULL;
    struct roster_entry *entries = (struct roster_entry *)(roster + 1);
    char *at = (char *)(entries + given->n_entries);
    atomic_init(&roster->references, 1);
    roster->epoch = given->epoch;
    roster->size = (uint32_t)given->n_entries;
    roster->rank = rank;
    roster->entries = entries;
    memcpy(roster->secret, given->secret.data, sizeof(roster->secret));
    for (size_t i = 0; i < given->n_entries; i++) {
        entries[i].incarnation = given->entries[i]->incarnation;
        entries[i].state = (enum muster_member_state)given->entries[i]->state;
        entries[i].restarted = given->entries[i]->restarted;
        entries[i].name = muster__put_text(&at, given->entries[i]->name);
        entries[i].address = muster__put_text(&at, given->entries[i]->address);
    }
    return roster;
}

enum muster_status muster__roster_read(const void *bytes, size_t size, const char *name,
                                       struct roster **roster, struct muster_error *error)
{
    char text[MUSTER_ERROR_TEXT_SIZE];
    uint32_t rank;
    enum muster_status status = MUSTER_OK;
    Muster__Group__Roster *given = muster__packed_read(&muster__group__roster__descriptor, bytes, size);
    *roster = NULL;
    if (given && given->epoch == 0)
        status = muster__error(error, MUSTER_TIMEOUT, "%s",
                               muster_text_harmless(given->fault, text, sizeof(text)));
    else if (!given || !check_roster(given, name, &rank))
        status = muster__error(error, MUSTER_PROTOCOL, "the coordinator sent a roster that is not valid");
    else if (!(*roster = copy_roster(given, rank)))
        status = muster__error(error, MUSTER_OUT_OF_MEMORY, "there is no memory for the roster");
    muster__packed_free(given);
    return status;
}
