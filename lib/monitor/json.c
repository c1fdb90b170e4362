/* What jansson does not do by itself. */
#include <config.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <muster/status.h>

#include "monitor/json.h"
#include "monitor/written.h"

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

/* json_dumps() passes over some failures: our stream remembers them. */
char *muster__json_write(const json_t *value)
{
    struct written text;
    size_t size;
    FILE *out = value ? muster__written_begin(&text) : NULL;
    if (!out)
        return NULL;
    int failed = json_dumpf(value, out, JSON_COMPACT | JSON_ENCODE_ANY);
    char *written = muster__written_end(&text, &size);
    if (!failed)
        return written;
    free(written);
    return NULL;
}
