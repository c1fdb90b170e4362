/* An entry of a record: what one call of the program added. It does not change, and all sinks share it. */
#ifndef MUSTER_RECORD_ENTRY_H
#define MUSTER_RECORD_ENTRY_H

#include <stddef.h>
#include <stdint.h>

#include <muster/record.h>

#include "record/histogram.h"

enum entry_kind { ENTRY_SETTING, ENTRY_SCALAR, ENTRY_HISTOGRAM, ENTRY_TEXT, ENTRY_FILE };

struct entry {
    struct entry *next;  /* the queue's, by its lock */
    unsigned references; /* the same */
    size_t size;         /* in memory, with all that it points to */
    enum entry_kind kind;
    int64_t step;
    int64_t time_ms; /* since 1970 */
    double value;    /* ENTRY_SCALAR */
    const char *name;
    const char *text;                  /* a text, or the path of a file */
    const struct histogram *histogram; /* ENTRY_HISTOGRAM */
};

/* Makes an entry of now, with copies: of the name and the text what can be shown, of a path all. NULL: out of
   memory. */
struct entry *muster__entry_new(enum entry_kind kind, int64_t step, const char *name, double value,
                                const char *text, const struct histogram *histogram);
void muster__entry_free(struct entry *entry);

/* Such as "finished". */
const char *muster__outcome_text(enum muster_record_outcome outcome);

/* Room for a time in words. */
enum { TIME_TEXT_SIZE = 40 };

/* Milliseconds since 1970; and as in "2026-01-31T23:59:59.999Z". */
int64_t muster__wall_clock_ms(void);
const char *muster__time_text(int64_t time_ms, char text[TIME_TEXT_SIZE]);

#endif
