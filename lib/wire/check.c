/* What the other side would refuse of a message is found before any of it is written. */
#include <config.h>

#include <string.h>

#include "status.h"
#include "text.h"
#include "wire/reader.h"

/* As the other side would refuse it. */
static bool is_good(const char *text)
{
    return !text || muster__text_is_good(text, strlen(text));
}

static enum muster_status check_list(const void *list, size_t count, const char *name,
                                     struct muster_error *error)
{
    if (count > WIRE_FIELDS_MAX)
        return muster__error(error, MUSTER_INVALID, "the message has %zu %s: that is too many", count, name);
    if (count && !list)
        return muster__error(error, MUSTER_INVALID, "the message has %zu %s, and its list of them is NULL",
                             count, name);
    return MUSTER_OK;
}

/* Whether the other side reads as many fields: content and turn are two, an array two and one each for a name
 * and a dtype of its own, a scalar three, a value up to four. */
static bool fields_fit(const struct muster_message *message)
{
    size_t fields = 2 + 2 * message->array_count + 3 * message->scalar_count + 4 * message->value_count;
    if (message->array_names)
        fields += message->array_count;
    for (size_t i = 0; fields <= WIRE_FIELDS_MAX && i < message->array_count; i++)
        fields += message->arrays[i].dtype == MUSTER_BFLOAT16;
    return fields <= WIRE_FIELDS_MAX;
}

static enum muster_status check_array(const struct muster_message *message, size_t i, size_t *total,
                                      struct muster_error *error)
{
    const char *fault = muster__array_fault(&message->arrays[i]);
    size_t size = fault ? 0 : MUSTER__NPY_HEADER_SIZE + muster__array_size(&message->arrays[i]);
    if (size > SIZE_MAX / 2 - *total)
        fault = "its size does not fit in memory";
    if (fault)
        return muster__error(error, MUSTER_INVALID, "array %zu: %s", i, fault);
    *total += size;
    if (message->array_names && (!message->array_names[i] || !is_good(message->array_names[i])))
        return muster__error(error, MUSTER_INVALID, "array %zu has no name, or one that is not UTF-8", i);
    return MUSTER_OK;
}

static bool is_known(enum muster_value_kind kind)
{
    return kind == MUSTER_VALUE_INTEGER || kind == MUSTER_VALUE_BOOL || kind == MUSTER_VALUE_TEXT ||
           kind == MUSTER_VALUE_BYTES;
}

static enum muster_status check_value(const struct muster_value *value, struct muster_error *error)
{
    if (!value->name || !is_good(value->name))
        return muster__error(error, MUSTER_INVALID, "a value has no name in UTF-8");
    const char *fault = NULL;
    if (value->kind == MUSTER_VALUE_TEXT && (!value->text || !is_good(value->text)))
        fault = "its text is NULL, or not UTF-8";
    else if (value->kind == MUSTER_VALUE_BYTES && !value->bytes && value->size)
        fault = "its bytes are NULL";
    else if (!is_known(value->kind))
        fault = "its kind is not one of enum muster_value_kind";
    if (fault)
        return muster__error(error, MUSTER_INVALID, "the value '%.100s': %s", value->name, fault);
    return MUSTER_OK;
}

static enum muster_status check_lists(const struct muster_message *message, struct muster_error *error)
{
    enum muster_status status = check_list(message->arrays, message->array_count, "arrays", error);
    if (status == MUSTER_OK)
        status = check_list(message->scalars, message->scalar_count, "scalars", error);
    if (status == MUSTER_OK)
        status = check_list(message->values, message->value_count, "values", error);
    if (status != MUSTER_OK)
        return status;
    if (message->size && !message->data)
        return muster__error(error, MUSTER_INVALID, "the message's data is NULL, and its size is %zu",
                             message->size);
    for (size_t i = 0; i < sizeof(message->reserved) / sizeof(message->reserved[0]); i++) {
        if (message->reserved[i])
            return muster__error(
                error, MUSTER_INVALID,
                "a reserved field of the message is not NULL: begin with MUSTER_MESSAGE_INIT");
    }
    return MUSTER_OK;
}

enum muster_status muster__message_check(const struct muster_message *message, struct muster_error *error)
{
    enum muster_status status = check_lists(message, error);
    if (status == MUSTER_OK && !fields_fit(message))
        return muster__error(error, MUSTER_INVALID,
                             "too many fields: at most %d arrays, and fewer with names, scalars or values",
                             (WIRE_FIELDS_MAX - 2) / 2);
    if (status == MUSTER_OK && (!is_good(message->type) || !is_good(message->text)))
        return muster__error(error, MUSTER_INVALID, "the message's type or text is not UTF-8");
    size_t total = message->size;
    if (status == MUSTER_OK && total > SIZE_MAX / 2)
        return muster__error(error, MUSTER_INVALID, "the message's size does not fit in memory");
    for (size_t i = 0; status == MUSTER_OK && i < message->array_count; i++)
        status = check_array(message, i, &total, error);
    for (size_t i = 0; status == MUSTER_OK && i < message->scalar_count; i++) {
        if (!message->scalars[i].name || !is_good(message->scalars[i].name))
            return muster__error(error, MUSTER_INVALID, "scalar %zu has no name in UTF-8", i);
    }
    for (size_t i = 0; status == MUSTER_OK && i < message->value_count; i++)
        status = check_value(&message->values[i], error);
    return status == MUSTER_OK ? muster__names_check(message, error) : status;
}

enum muster_status muster__report_check(const struct muster_message *numbers, struct muster_error *error)
{
    size_t count = numbers->scalar_count + numbers->value_count;
    if (count > MUSTER_REPORT_NUMBERS_MAX)
        return muster__error(error, MUSTER_INVALID, "a progress report has at most %d numbers, not %zu",
                             MUSTER_REPORT_NUMBERS_MAX, count);
    enum muster_status status = muster__message_check(numbers, error);
    for (size_t i = 0; status == MUSTER_OK && i < numbers->scalar_count; i++) {
        if (strlen(numbers->scalars[i].name) > MUSTER_REPORT_NAME_MAX)
            return muster__error(error, MUSTER_INVALID,
                                 "the name '%.100s' in a progress report is longer than %d bytes",
                                 numbers->scalars[i].name, MUSTER_REPORT_NAME_MAX);
    }
    return status;
}
