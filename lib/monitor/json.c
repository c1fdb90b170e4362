/* What jansson does not do by itself. */
#include <config.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <muster/status.h>

#include "monitor/json.h"

void muster__json_text(json_t *object, const char *key, const char *text)
{
    if (!text)
        return;
    size_t size = strlen(text) + 1;
    char small[256], *harmless = size <= sizeof(small) ? small : malloc(size);
    if (!harmless)
        return;
    json_object_set_new(object, key, json_string(muster_text_harmless(text, harmless, size)));
    if (harmless != small)
        free(harmless);
}

void muster__json_count(json_t *object, const char *key, uint64_t count)
{
    json_object_set_new(object, key, json_integer((json_int_t)(count > INT64_MAX ? INT64_MAX : count)));
}

json_t *muster__json_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}
