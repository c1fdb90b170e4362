/* What is kept to be drawn. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include <muster/status.h>

#include "monitor/curves.h"

void muster__curves_init(struct curves *curves)
{
    memset(curves, 0, sizeof(*curves));
    pthread_mutex_init(&curves->lock, NULL);
}

void muster__curves_destroy(struct curves *curves)
{
    for (size_t i = 0; i < curves->count; i++)
        free(curves->curves[i].points);
    for (size_t i = 0; i < curves->setting_count; i++)
        free(curves->settings[i].text);
    free(curves->history.points);
    pthread_mutex_destroy(&curves->lock);
}

/* ---- a curve ---- */

static bool make_room(struct curve *curve)
{
    if (!curve->points) {
        curve->points = malloc(CURVE_POINTS_MAX * sizeof(*curve->points));
        curve->stride = 1;
    }
    return curve->points;
}

static void thin_out(struct curve *curve)
{
    curve->count /= 2;
    curve->stride *= 2;
    for (size_t i = 0; i < curve->count; i++)
        curve->points[i] = curve->points[2 * i];
}

void muster__curve_add(struct curve *curve, struct point point)
{
    if (!make_room(curve))
        return;
    if (curve->count == CURVE_POINTS_MAX)
        thin_out(curve);
    if (curve->seen % curve->stride == 0)
        curve->points[curve->count++] = point;
    curve->seen++;
    curve->last = point;
}

const struct point *muster__curve_point(const struct curve *curve, size_t index)
{
    if (index < curve->count)
        return &curve->points[index];
    bool last_is_there = !curve->seen || (curve->seen - 1) % curve->stride == 0;
    return index == curve->count && !last_is_there ? &curve->last : NULL;
}

/* ---- all of them ---- */

static struct curve *curve_of(struct curves *curves, const char *name)
{
    for (size_t i = 0; i < curves->count; i++) {
        if (strcmp(curves->curves[i].name, name) == 0)
            return &curves->curves[i];
    }
    if (curves->count == CURVES_MAX)
        return NULL;
    struct curve *curve = &curves->curves[curves->count];
    if (!make_room(curve))
        return NULL;
    strcpy(curve->name, name);
    curves->count++;
    return curve;
}

void muster__curves_scalar(struct curves *curves, uint64_t step, const char *name, double value)
{
    char harmless[CURVE_NAME_SIZE];
    muster_text_harmless(name, harmless, sizeof(harmless));
    pthread_mutex_lock(&curves->lock);
    struct curve *curve = curve_of(curves, harmless);
    if (curve) {
        muster__curve_add(curve, (struct point){.x = (double)step, .values = {value}});
        curves->version++;
    }
    pthread_mutex_unlock(&curves->lock);
}

static struct named_histogram *histogram_of(struct curves *curves, const char *name)
{
    for (size_t i = 0; i < curves->histogram_count; i++) {
        if (strcmp(curves->histograms[i].name, name) == 0)
            return &curves->histograms[i];
    }
    if (curves->histogram_count == HISTOGRAMS_MAX)
        return NULL;
    struct named_histogram *histogram = &curves->histograms[curves->histogram_count++];
    strcpy(histogram->name, name);
    return histogram;
}

void muster__curves_histogram(struct curves *curves, const char *name,
                              const struct muster_histogram *histogram)
{
    char harmless[CURVE_NAME_SIZE];
    muster_text_harmless(name, harmless, sizeof(harmless));
    pthread_mutex_lock(&curves->lock);
    struct named_histogram *own = histogram_of(curves, harmless);
    if (own)
        own->histogram = *histogram;
    pthread_mutex_unlock(&curves->lock);
}

static struct setting *setting_of(struct curves *curves, const char *name)
{
    for (size_t i = 0; i < curves->setting_count; i++) {
        if (strcmp(curves->settings[i].name, name) == 0)
            return &curves->settings[i];
    }
    if (curves->setting_count == SETTINGS_MAX)
        return NULL;
    struct setting *setting = &curves->settings[curves->setting_count++];
    strcpy(setting->name, name);
    return setting;
}

void muster__curves_setting(struct curves *curves, const char *name, const char *text)
{
    char harmless[CURVE_NAME_SIZE], value[SETTING_SIZE];
    muster_text_harmless(name, harmless, sizeof(harmless));
    char *copy = strdup(muster_text_harmless(text, value, sizeof(value)));
    if (!copy)
        return;
    pthread_mutex_lock(&curves->lock);
    struct setting *setting = setting_of(curves, harmless);
    if (setting) {
        char *old = setting->text;
        setting->text = copy;
        copy = old;
    }
    pthread_mutex_unlock(&curves->lock);
    free(copy);
}

void muster__curves_history(struct curves *curves, struct point point)
{
    pthread_mutex_lock(&curves->lock);
    muster__curve_add(&curves->history, point);
    pthread_mutex_unlock(&curves->lock);
}
