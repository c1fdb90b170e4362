/* What a message has under a name: scalars and values, read as the kind that is asked for. */
#include <config.h>

#include <math.h>
#include <string.h>

#include <muster/message.h>

static const struct muster_scalar *find_scalar(const struct muster_message *message, const char *name)
{
    for (size_t i = 0; i < message->scalar_count; i++) {
        if (strcmp(message->scalars[i].name, name) == 0)
            return &message->scalars[i];
    }
    return NULL;
}

static const struct muster_value *find_value(const struct muster_message *message, const char *name)
{
    for (size_t i = 0; i < message->value_count; i++) {
        if (strcmp(message->values[i].name, name) == 0)
            return &message->values[i];
    }
    return NULL;
}

/* An integer or a bool, as an integer; false when the message has none of that name. */
static bool find_integer(const struct muster_message *message, const char *name, int64_t *integer)
{
    const struct muster_value *value = find_value(message, name);
    if (!value || (value->kind != MUSTER_VALUE_INTEGER && value->kind != MUSTER_VALUE_BOOL))
        return false;
    *integer = value->kind == MUSTER_VALUE_BOOL ? value->boolean : value->integer;
    return true;
}

double muster_message_scalar(const struct muster_message *message, const char *name, double otherwise)
{
    int64_t integer;
    const struct muster_scalar *scalar = find_scalar(message, name);
    if (scalar)
        return scalar->value;
    return find_integer(message, name, &integer) ? (double)integer : otherwise;
}

int64_t muster_message_integer(const struct muster_message *message, const char *name, int64_t otherwise)
{
    int64_t integer;
    const struct muster_scalar *scalar = find_scalar(message, name);
    /* From -2^63 to below 2^63; NaN is neither. */
    if (scalar && scalar->value >= -0x1p63 && scalar->value < 0x1p63 && trunc(scalar->value) == scalar->value)
        return (int64_t)scalar->value;
    return find_integer(message, name, &integer) ? integer : otherwise;
}

bool muster_message_bool(const struct muster_message *message, const char *name, bool otherwise)
{
    int64_t integer = muster_message_integer(message, name, otherwise);
    return integer == 0 || integer == 1 ? integer == 1 : otherwise;
}

const char *muster_message_text(const struct muster_message *message, const char *name, const char *otherwise)
{
    const struct muster_value *value = find_value(message, name);
    return value && value->kind == MUSTER_VALUE_TEXT ? value->text : otherwise;
}

const void *muster_message_bytes(const struct muster_message *message, const char *name, size_t *size)
{
    const struct muster_value *value = find_value(message, name);
    bool found = value && value->kind == MUSTER_VALUE_BYTES;
    *size = found ? value->size : 0;
    if (!found)
        return NULL;
    return value->bytes ? value->bytes : ""; /* a caller's own may have none */
}
