/* Places are few: they are gone through one by one. */
#include <config.h>

#include "places.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool places_init(struct places *places, size_t count)
{
    places->each = calloc(count, sizeof(*places->each));
    places->count = places->each ? count : 0;
    return places->each;
}

void places_clear(struct places *places)
{
    for (size_t i = 0; i < places->count; i++)
        free(places->each[i].holder);
    free(places->each);
    *places = (struct places){NULL, 0};
}

static struct place *find_place(struct places *places, const char *name)
{
    struct place *unused = NULL, *free_one = NULL;
    for (size_t i = 0; i < places->count; i++) {
        struct place *place = &places->each[i];
        if (place->holder)
            continue;
        if (strcmp(place->name, name) == 0)
            return place;
        free_one = free_one ? free_one : place;
        if (!unused && place->name[0] == '\0')
            unused = place;
    }
    return unused ? unused : free_one;
}

static void copy(char to[WORKER_TEXT_SIZE], const char *from)
{
    snprintf(to, WORKER_TEXT_SIZE, "%s", from ? from : "");
}

struct worker *places_take(struct places *places, const struct introduction *introduction, const char **why)
{
    struct place *place = find_place(places, introduction->name);
    struct worker *worker = place ? calloc(1, sizeof(*worker)) : NULL;
    if (!worker) {
        *why = place ? "out of memory" : "all places are taken";
        return NULL;
    }
    copy(worker->name, introduction->name);
    copy(worker->host, introduction->host ? introduction->host : introduction->peer);
    copy(worker->peer, introduction->peer);
    copy(worker->advertised, introduction->advertised);
    copy(worker->backends, introduction->backends);
    worker->named_host = introduction->host;
    worker->user = introduction->user;
    worker->loss = worker->samples_per_second = (double)NAN;
    worker->leaves_ms = -1;
    copy(place->name, worker->name);
    place->holder = worker;
    return worker;
}

void places_leave(struct places *places, struct worker *worker)
{
    for (size_t i = 0; i < places->count; i++) {
        if (places->each[i].holder == worker)
            places->each[i].holder = NULL;
    }
    free(worker);
}

size_t places_present(const struct places *places)
{
    size_t present = 0;
    for (size_t i = 0; i < places->count; i++)
        present += places->each[i].holder != NULL;
    return present;
}

size_t places_members(const struct places *places)
{
    size_t members = 0;
    for (size_t i = 0; i < places->count; i++)
        members += places->each[i].holder && places->each[i].holder->is_member;
    return members;
}

/* Moves a place forward to `to`. */
static void move(struct places *places, size_t from, size_t to)
{
    struct place moved = places->each[from];
    memmove(&places->each[to + 1], &places->each[to], (from - to) * sizeof(moved));
    places->each[to] = moved;
}

void places_sort(struct places *places)
{
    size_t sorted = 0;
    while (sorted < places->count) {
        const struct worker *first = places->each[sorted++].holder;
        for (size_t i = sorted; first && i < places->count; i++) {
            const struct worker *other = places->each[i].holder;
            if (other && strcmp(first->host, other->host) == 0)
                move(places, i, sorted++);
        }
    }
}

void places_rank(struct places *places)
{
    uint64_t rank = 0;
    for (size_t i = 0; i < places->count; i++) {
        struct worker *worker = places->each[i].holder;
        if (!worker)
            continue;
        worker->is_member = true;
        worker->rank = rank++;
        worker->local_rank = worker->local_world_size = 0;
        for (size_t j = 0; j < places->count; j++) {
            const struct worker *other = places->each[j].holder;
            bool shares = other && strcmp(worker->host, other->host) == 0;
            worker->local_world_size += shares;
            worker->local_rank += shares && j < i;
        }
    }
}

struct worker *places_first(const struct places *places)
{
    for (size_t i = 0; i < places->count; i++) {
        if (places->each[i].holder && places->each[i].holder->is_member)
            return places->each[i].holder;
    }
    return NULL;
}

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

const char *places_address(const struct places *places)
{
    const struct worker *first = places_first(places);
    bool elsewhere = false;
    for (size_t i = 0; i < places->count; i++) {
        const struct worker *other = places->each[i].holder;
        elsewhere = elsewhere || (other && other->is_member && !is_loopback(other->peer));
    }
    if (first->advertised[0] != '\0')
        return first->advertised;
    return is_loopback(first->peer) && elsewhere && first->named_host ? first->host : first->peer;
}

/* Whether a list such as "gloo,nccl" has the word. */
static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    }
    return false;
}

bool places_all_have(const struct places *places, const char *backend)
{
    bool all = true;
    for (size_t i = 0; i < places->count; i++) {
        const struct worker *worker = places->each[i].holder;
        all = all && (!worker || !worker->is_member || has_word(worker->backends, backend));
    }
    return all;
}
