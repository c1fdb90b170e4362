/* Statuses: their names and texts, and the filling in of error records. */
#include <config.h>

#include <stdarg.h>
#include <stdio.h>

#include "status.h"

const char *muster_status_name(enum muster_status status)
{
    switch (status) {
#define NAME(name, value, text) \
    case MUSTER_##name:         \
        return #name;
        MUSTER_STATUS_MAP(NAME)
#undef NAME
    }
    return "UNKNOWN";
}

const char *muster_status_text(enum muster_status status)
{
    switch (status) {
#define TEXT(name, value, text) \
    case MUSTER_##name:         \
        return text;
        MUSTER_STATUS_MAP(TEXT)
#undef TEXT
    }
    return "unknown status";
}

const char *muster_version(void)
{
    return PACKAGE_VERSION;
}

enum muster_status muster__error(struct muster_error *error, enum muster_status status, const char *format,
                                 ...)
{
    if (!error)
        return status;
    error->status = status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
    muster_text_harmless(error->text, error->text, sizeof(error->text)); /* it may cite a stranger */
    return status;
}
