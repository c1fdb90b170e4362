/* What jansson does not do by itself. */
#ifndef MUSTER_MONITOR_JSON_H
#define MUSTER_MONITOR_JSON_H

#include <stdint.h>

#include <jansson.h>

/* Sets a text in `object`, safe to print; NULL: it is left out. */
void muster__json_text(json_t *object, const char *key, const char *text);
/* JSON has no numbers beyond 2^63: those become the highest. */
void muster__json_count(json_t *object, const char *key, uint64_t count);
/* Nor has it NaN and infinity: they become null. */
json_t *muster__json_real(double value);

/* The text of a value, which the caller frees; NULL: there was no memory for all of it, or `value` is NULL. */
char *muster__json_write(const json_t *value);

#endif
