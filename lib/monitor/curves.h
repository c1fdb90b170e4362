/* What is kept to be drawn: curves of scalars, histograms, the traffic and turns so far by time, and the
   settings. The memory is bounded: old points are thinned out. */
#ifndef MUSTER_MONITOR_CURVES_H
#define MUSTER_MONITOR_CURVES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/statistics.h>

enum {
    CURVE_POINTS_MAX = 512,
    CURVES_MAX = 64,
    HISTOGRAMS_MAX = 16,
    SETTINGS_MAX = 256,
    CURVE_NAME_SIZE = 128, /* with the NUL */
    SETTING_SIZE = 1024,   /* with the NUL */
    POINT_VALUES_MAX = 4,
};

/* Where a curve is: x, and up to four values. */
struct point {
    double x;
    double values[POINT_VALUES_MAX];
};

/* Every stride-th of the points that came, and the last one. */
struct curve {
    char name[CURVE_NAME_SIZE];
    struct point *points; /* room for CURVE_POINTS_MAX */
    size_t count;
    uint64_t seen;
    uint64_t stride;
    struct point last;
};

/* Adds a point to a curve that has room. */
void muster__curve_add(struct curve *curve, struct point point);

/* The points of a curve: points[index], and at the end the last one; NULL beyond. */
const struct point *muster__curve_point(const struct curve *curve, size_t index);

struct named_histogram {
    char name[CURVE_NAME_SIZE];
    struct muster_histogram histogram;
};

struct setting {
    char name[CURVE_NAME_SIZE];
    char *text;
};

struct curves {
    pthread_mutex_t lock; /* guards the rest; no other lock is taken while it is held */
    uint64_t version;     /* counts what was added to curves; the history does not count */
    struct curve curves[CURVES_MAX];
    size_t count;
    struct named_histogram histograms[HISTOGRAMS_MAX];
    size_t histogram_count;
    struct setting settings[SETTINGS_MAX];
    size_t setting_count;
    struct curve history; /* x: the time of day in seconds; values: HISTORY_... so far */
};

enum history_value { HISTORY_SENT, HISTORY_RECEIVED, HISTORY_TURNS, HISTORY_SECONDS };

void muster__curves_init(struct curves *curves);
void muster__curves_destroy(struct curves *curves);

/* Without a lock held; none of these fails: what has no room is left out. */
void muster__curves_scalar(struct curves *curves, uint64_t step, const char *name, double value);
void muster__curves_histogram(struct curves *curves, const char *name,
                              const struct muster_histogram *histogram);
void muster__curves_setting(struct curves *curves, const char *name, const char *text);
void muster__curves_history(struct curves *curves, struct point point);

#endif
