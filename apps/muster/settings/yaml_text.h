/* A short text of YAML as JSON. */
#ifndef YAML_TEXT_H
#define YAML_TEXT_H

#include <jansson.h>

#include <muster/muster.h>

/* Numbers, true and false become what they are, unless they are in quotes; all else is text. A key that is there twice,
 * more than one document, a number that is none (.nan, .inf), nesting beyond 8 and more than 64 KiB are refused. NULL
 * with *error, INVALID or OUT_OF_MEMORY; `name` is what the text is called in it. */
json_t *yaml_text_read(const char *name, const char *text, struct muster_error *error);

/* What a plain text means: a number, a bool, or itself. NULL when out of memory, or not UTF-8. */
json_t *yaml_text_plain(const char *text);

#endif
