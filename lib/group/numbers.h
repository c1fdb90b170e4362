/* A list of numbers that grows. */
#ifndef MUSTER_GROUP_NUMBERS_H
#define MUSTER_GROUP_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Of zeros: empty. */
struct numbers {
    uint64_t *values;
    size_t count;
    size_t room;
};

/* False when out of memory. */
static inline bool muster__numbers_add(struct numbers *numbers, uint64_t value)
{
    if (numbers->count == numbers->room) {
        size_t room = numbers->room ? 2 * numbers->room : 8;
        uint64_t *values = realloc(numbers->values, room * sizeof(*values));
        if (!values)
            return false;
        numbers->values = values;
        numbers->room = room;
    }
    numbers->values[numbers->count++] = value;
    return true;
}

/* Takes out the first `count`. */
static inline void muster__numbers_drop(struct numbers *numbers, size_t count)
{
    if (count == 0)
        return;
    numbers->count -= count;
    memmove(numbers->values, numbers->values + count, numbers->count * sizeof(*numbers->values));
}

/* Takes out one that is `value`; false: there is none. */
static inline bool muster__numbers_remove(struct numbers *numbers, uint64_t value)
{
    for (size_t i = 0; i < numbers->count; i++) {
        if (numbers->values[i] == value) {
            numbers->count--;
            memmove(numbers->values + i, numbers->values + i + 1,
                    (numbers->count - i) * sizeof(*numbers->values));
            return true;
        }
    }
    return false;
}

static inline void muster__numbers_clear(struct numbers *numbers)
{
    free(numbers->values);
    *numbers = (struct numbers){0};
}

#endif
