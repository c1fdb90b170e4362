/* A row of a table of settings: what it is called, of which type it is, and what it means. */
#ifndef SETTING_H
#define SETTING_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include <muster/muster.h>

enum setting_type {
    SETTING_WHOLE,   /* a size_t */
    SETTING_LONG,    /* an uint64_t */
    SETTING_NUMBER,  /* a double */
    SETTING_SECONDS, /* an int64_t, in milliseconds */
    SETTING_BYTES, /* an uint64_t; K, M and G may follow; the row's one word, if it has one, means the highest */
    SETTING_TEXT,   /* a const char * */
    SETTING_FLAG,   /* a bool: true or false; as an option it has no value */
    SETTING_WAIT,   /* an int32_t, in seconds */
    SETTING_WORD,   /* an enum: which of the row's words, where the first is `lowest` */
    SETTING_EITHER, /* a bool: whether it is the second of the row's two words */
    SETTING_SINKS,  /* one more of a struct setting_sinks */
};

/* As many as a record has. */
enum { SINKS_MAX = 16 };

/* Where records go. */
struct setting_sinks {
    const char *list[SINKS_MAX];
    size_t count;
};

/* A row. */
struct setting {
    const char *key;
    const char *option;   /* of the command line, without the dashes; NULL: none */
    const char *argument; /* how --help calls the value; NULL for a flag */
    int group;            /* in which order --help shows them, from 1: see struct settings_kind */
    enum setting_type type;
    size_t offset;          /* of the field in its struct */
    double lowest, highest; /* of numbers, inclusive; an infinity is open */
    bool above;             /* the lowest is excluded */
    bool decides; /* has a part in what the training comes to, and so may not change when a run goes on */
    const char *help;
    const char *const *words; /* that it can be, with NULL behind them; NULL: any */
    /* What is wrong with a text, "expected ..."; NULL: nothing. The field itself may be NULL. */
    const char *(*fault)(const char *text);
};

/* Sets the field of any type but a text and sinks, as the settings own texts: see kind_set(). INVALID with *error, which begins
 * with the key. */
enum muster_status setting_set(void *settings, const struct setting *setting, const char *text,
                               struct muster_error *error);

/* Reads a decimal number, all of the text; hexadecimal ones, infinity and NaN are none. */
bool setting_read_number(const char *text, double *number);

/* The value that it has in `settings`; null where a text is not set. NULL when out of memory, or when a text is not UTF-8. */
json_t *setting_value(const void *settings, const struct setting *setting);

/* For `fault`: what is wrong with the address of a monitor, which is that this build may have none. */
const char *setting_monitor_fault(const char *address);

#endif
