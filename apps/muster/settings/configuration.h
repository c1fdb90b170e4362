/* The settings that have a part in the result, as JSON. */
#ifndef CONFIGURATION_H
#define CONFIGURATION_H

#include <jansson.h>

#include "settings.h"

/* How the configuration is written. */
#define CONFIGURATION_FORMAT (JSON_INDENT(2) | JSON_REAL_PRECISION(15))

/* The settings as resolved, by their keys, and those of `others` (NULL: none); NULL when out of memory or when a text is
 * not UTF-8. */
json_t *configuration_new(const struct server_settings *settings, const json_t *others);

#endif
