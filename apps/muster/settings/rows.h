/* Macros that write the rows of a table, which keep a row to its facts. Who includes it defines FIELD(name), the offset of a
 * field in the table's struct. */
#ifndef ROWS_H
#define ROWS_H

#include <math.h>

#include "setting.h"

#define ROW(KEY, OPTION, ARGUMENT, GROUP, TYPE, MEMBER, LOW, HIGH, ABOVE, DECIDES, HELP, WORDS, FAULT)       \
    {                                                                                                        \
        .key = (KEY), .option = (OPTION), .argument = (ARGUMENT), .group = (GROUP), .type = (TYPE),          \
        .offset = FIELD(MEMBER), .lowest = (LOW), .highest = (HIGH), .above = (ABOVE), .decides = (DECIDES), \
        .help = (HELP), .words = (WORDS), .fault = (FAULT)                                                   \
    }
#define WHOLE(key, option, argument, group, field, low, high, decides, help) \
    ROW(key, option, argument, group, SETTING_WHOLE, field, low, high, false, decides, help, NULL, NULL)
#define LONG(key, option, argument, group, field, low, high, decides, help) \
    ROW(key, option, argument, group, SETTING_LONG, field, low, high, false, decides, help, NULL, NULL)
#define NUMBER(key, option, argument, group, field, low, high, above, decides, help) \
    ROW(key, option, argument, group, SETTING_NUMBER, field, low, high, above, decides, help, NULL, NULL)
#define SECONDS(key, option, group, field, low, high, decides, help) \
    ROW(key, option, "SECONDS", group, SETTING_SECONDS, field, low, high, false, decides, help, NULL, NULL)
#define BYTES(key, option, group, field, low, high, decides, help, words) \
    ROW(key, option, "BYTES", group, SETTING_BYTES, field, low, high, false, decides, help, words, NULL)
#define TEXT(key, option, argument, group, field, decides, help) \
    ROW(key, option, argument, group, SETTING_TEXT, field, 0, 0, false, decides, help, NULL, NULL)
#define CHECKED_TEXT(key, option, argument, group, field, decides, help, fault) \
    ROW(key, option, argument, group, SETTING_TEXT, field, 0, 0, false, decides, help, NULL, fault)
#define FLAG(key, option, group, field, decides, help) \
    ROW(key, option, NULL, group, SETTING_FLAG, field, 0, 0, false, decides, help, NULL, NULL)
#define WORD(key, option, argument, group, field, first, decides, help, words) \
    ROW(key, option, argument, group, SETTING_WORD, field, first, 0, false, decides, help, words, NULL)
#define EITHER(key, option, argument, group, field, decides, help, words) \
    ROW(key, option, argument, group, SETTING_EITHER, field, 0, 0, false, decides, help, words, NULL)
#define SINKS(key, option, group, field, help) \
    ROW(key, option, "SINK", group, SETTING_SINKS, field, 0, 0, false, false, help, NULL, NULL)

/* The highest of many a setting. */
#define MANY 1e6

#endif
