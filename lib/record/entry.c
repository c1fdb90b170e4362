/* Entries, each one block of memory. */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "record/entry.h"

int64_t muster__wall_clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

const char *muster__time_text(int64_t time_ms, char text[TIME_TEXT_SIZE])
{
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm parts;
    text[0] = '\0';
    if (gmtime_r(&seconds, &parts)) {
        size_t length = strftime(text, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &parts);
        snprintf(text + length, TIME_TEXT_SIZE - length, ".%03dZ", (int)(time_ms % 1000));
    }
    return text;
}

const char *muster__outcome_text(enum muster_record_outcome outcome)
{
    switch (outcome) {
    case MUSTER_RECORD_FINISHED:
        return "finished";
    case MUSTER_RECORD_FAILED:
        return "failed";
    case MUSTER_RECORD_KILLED:
        break;
    }
    return "killed";
}

/* Copies a text of several lines, each as muster_text_harmless() shows it; `out` has room for all of it. */
static void copy_lines(char *out, const char *text, size_t size)
{
    size_t used = 0;
    memcpy(out, text, size);
    out[size] = '\0';
    for (char *at = out, *end = out + size;;) {
        size_t length = strcspn(at, "\n\t\r");
        char after = at[length];
        at[length] = '\0';
        used += strlen(muster_text_harmless(at, out + used, length + 1));
        at += length;
        if (at == end)
            break;
        at++;
        if (after != '\r')
            out[used++] = after;
    }
    out[used] = '\0';
}

struct entry *muster__entry_new(enum entry_kind kind, int64_t step, const char *name, double value,
                                const char *text, const struct histogram *histogram)
{
    char shown[MUSTER_RECORD_NAME_MAX + 1];
    muster_text_harmless(name && *name ? name : "unnamed", shown, sizeof(shown));
    size_t name_size = strlen(shown) + 1;
    size_t text_size = text ? strnlen(text, MUSTER_RECORD_TEXT_MAX) : 0;
    size_t histogram_size = histogram ? sizeof(*histogram) : 0;
    size_t size = sizeof(struct entry) + histogram_size + name_size + text_size + 1;
    struct entry *entry = malloc(size);
    if (!entry)
        return NULL;
    char *place = (char *)(entry + 1);
    *entry = (struct entry){.size = size, .kind = kind, .step = step, .value = value};
    entry->time_ms = muster__wall_clock_ms();
    if (histogram)
        entry->histogram = memcpy(place, histogram, sizeof(*histogram));
    entry->name = memcpy(place + histogram_size, shown, name_size);
    place += histogram_size + name_size;
    if (kind == ENTRY_FILE) /* a path has to stay as it is */
        *(char *)mempcpy(place, text ? text : "", text_size) = '\0';
    else
        copy_lines(place, text ? text : "", text_size);
    entry->text = place;
    return entry;
}

void muster__entry_free(struct entry *entry)
{
    free(entry);
}
