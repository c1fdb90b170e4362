/* What is in the place of the C library, and how scenarios run. */
#include <config.h>

#include <criterion/criterion.h>

#include <pthread.h>
#include <search.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault/failing.h"

/* ---- the message of all scenarios ---- */

const float values[3] = {1, 2, 3};
const struct muster_array array = {.dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {3}, .data = values};
const struct muster_scalar scalar = {"lr", 0.1};
const struct muster_message train = {
    .kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1, .scalars = &scalar, .scalar_count = 1};

bool is_train(const struct muster_message *message)
{
    return message->kind == MUSTER_TRAIN && message->array_count == 1 && message->scalar_count == 1 &&
           memcmp(message->arrays[0].data, values, sizeof(values)) == 0 &&
           muster_message_scalar(message, "lr", 0) == 0.1;
}

/* ---- in the place of the C library ---- */

static bool armed; /* inside a scenario */
static bool all_that_follow;
size_t allocations;
size_t fail_at;
static long live;

static size_t waits;
void (*meanwhile)(void);

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);
void __real_free(void *pointer);
void *__real_tsearch(const void *key, void **root, int (*compare)(const void *, const void *));

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);
void __wrap_free(void *pointer);
void *__wrap_tsearch(const void *key, void **root, int (*compare)(const void *, const void *));
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *lock);
int __wrap_sem_wait(sem_t *semaphore);

bool allocation_fails(void)
{
    if (!armed)
        return false;
    allocations++;
    return all_that_follow ? allocations >= fail_at : allocations == fail_at;
}

static void *counted(void *pointer)
{
    live += armed && pointer;
    return pointer;
}

void *__wrap_malloc(size_t size)
{
    if (meanwhile) {
        void (*now)(void) = meanwhile;
        meanwhile = NULL;
        now();
    }
    return allocation_fails() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return allocation_fails() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *old, size_t size)
{
    if (allocation_fails())
        return NULL;
    void *moved = __real_realloc(old, size);
    return old ? moved : counted(moved);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
    if (allocation_fails())
        return NULL;
    void *moved = __real_reallocarray(old, count, size);
    return old ? moved : counted(moved);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return allocation_fails() ? NULL : counted(__real_aligned_alloc(alignment, size));
}

char *__wrap_strdup(const char *text)
{
    return allocation_fails() ? NULL : counted(__real_strdup(text));
}

char *__wrap_strndup(const char *text, size_t size)
{
    return allocation_fails() ? NULL : counted(__real_strndup(text, size));
}

void __wrap_free(void *pointer)
{
    live -= armed && pointer;
    __real_free(pointer);
}

/* The node is the C library's own, and tdelete() frees it there. */
void *__wrap_tsearch(const void *key, void **root, int (*compare)(const void *, const void *))
{
    return allocation_fails() ? NULL : __real_tsearch(key, root, compare);
}

void step_instead_of_waiting(void)
{
    enum { MANY = 100000 };
    if (++waits > MANY) {
        fprintf(stderr, "hang: allocation %zu\n", fail_at);
        abort();
    }
    step_network();
}

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *lock)
{
    (void)condition;
    pthread_mutex_unlock(lock);
    step_instead_of_waiting();
    pthread_mutex_lock(lock);
    return 0;
}

int __wrap_sem_wait(sem_t *semaphore)
{
    while (sem_trywait(semaphore) != 0)
        step_instead_of_waiting();
    return 0;
}

/* ---- running scenarios ---- */

/* What went as it should not: the first of it, in words. NULL: nothing. */
static const char *wrong;

void expect(bool condition, const char *text)
{
    if (!condition && !wrong)
        wrong = text;
}

bool undisturbed(void)
{
    return allocations < fail_at;
}

bool plausible(enum muster_status status, const enum muster_status *others, const char *text)
{
    bool listed = status == MUSTER_OK;
    for (size_t i = 0; others[i] != MUSTER_OK && !undisturbed(); i++)
        listed = listed || status == others[i];
    if (!listed)
        fprintf(stderr, "allocation %zu: %s: %s\n", fail_at, text, muster_status_name(status));
    expect(listed, text);
    return status == MUSTER_OK;
}

/* False when it ran through without a failure. */
static bool run_once(void (*scenario)(void), size_t n)
{
    wrong = NULL;
    live = 0;
    allocations = 0;
    waits = 0;
    fail_at = n;
    armed = true;
    scenario();
    armed = false;
    if (live != 0)
        fprintf(stderr, "allocation %zu: %ld are live\n", n, live);
    expect(live == 0, "all that was allocated is freed");
    return allocations >= n;
}

size_t run_all_ways(void (*scenario)(void))
{
    size_t most = 0;
    for (int mode = 0; mode < 2; mode++) {
        all_that_follow = mode == 1;
        size_t n = 0;
        bool failed;
        do {
            failed = run_once(scenario, ++n);
            cr_assert_null(wrong, "with allocation %zu failing: %s", n, wrong);
        } while (failed);
        most = n - 1;
    }
    return most;
}
