/* Letters that are missing, too many, others, or the wrong way round. */
#include <config.h>

#include "nearest.h"

#include <stdbool.h>
#include <string.h>

enum { LONGEST = 64, BEGUN_LEAST = 3 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many letters have to be changed to make one of the other. */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][LONGEST + 1], a_length = strlen(a), b_length = strlen(b);
    if (a_length > LONGEST || b_length > LONGEST)
        return LONGEST;
    for (size_t j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t *row = rows[i % 3], *before = rows[(i + 2) % 3], *earlier = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            row[j] = least(least(before[j], row[j - 1]) + 1, before[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], earlier[j - 2] + 1);
        }
    }
    return rows[a_length % 3][b_length];
}

void nearest_begin(struct nearest *nearest, const char *meant)
{
    *nearest = (struct nearest){.meant = meant, .distance = strlen(meant) / 3 + 1};
}

void nearest_look(struct nearest *nearest, const char *known)
{
    /* "lr" or "fraction" alone: the last part of a key; or "port" for "port-file". */
    const char *dot = strrchr(known, '.');
    size_t length = strlen(nearest->meant);
    bool begun = length >= BEGUN_LEAST && strncmp(known, nearest->meant, length) == 0;
    size_t apart =
        begun || (dot && strcmp(dot + 1, nearest->meant) == 0) ? 1 : distance(nearest->meant, known);
    if (apart > nearest->distance || (nearest->name && apart == nearest->distance))
        return;
    nearest->name = known;
    nearest->distance = apart;
}
