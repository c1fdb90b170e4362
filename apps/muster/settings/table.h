/* The table of settings: what each is called, of which type it is, and what it means. */
#ifndef TABLE_H
#define TABLE_H

#include "settings.h"

enum setting_type {
    SETTING_WHOLE,   /* a size_t */
    SETTING_NUMBER,  /* a double */
    SETTING_SECONDS, /* an int64_t, in milliseconds */
    SETTING_BYTES,   /* an uint64_t; K, M and G may follow */
    SETTING_SEED,    /* an uint64_t */
    SETTING_TEXT,    /* a const char * */
    SETTING_FLAG,    /* a bool */
    SETTING_WAIT,    /* an int32_t, in seconds */
    SETTING_SINKS,   /* one more of the record's */
};

/* In which order --help shows them. */
enum setting_group {
    GROUP_ROUNDS = 1,
    GROUP_MODEL,
    GROUP_TRAINING,
    GROUP_TESTS,
    GROUP_PRIVACY,
    GROUP_OUTPUT,
    GROUP_OTHERS,
};

/* A row. */
struct setting {
    const char *key;
    const char *option;   /* of the command line; NULL: none */
    const char *argument; /* how --help calls the value */
    enum setting_group group;
    enum setting_type type;
    size_t offset;          /* in struct server_settings */
    double lowest, highest; /* of numbers, inclusive; an infinity is open */
    bool above;             /* the lowest is excluded */
    bool decides; /* has a part in what the training comes to, and so may not change when a run goes on */
    const char *help;
};

/* The row with this index; NULL beyond the last. */
const struct setting *setting_at(size_t index);

#endif
