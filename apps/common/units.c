/* Times and sizes for people. */
#include <config.h>

#include "units.h"

#include <stdio.h>

#include <muster/muster.h>

const char *units_time(int64_t milliseconds, char text[UNITS_SIZE])
{
    long long seconds = (long long)milliseconds / 1000;
    if (milliseconds == MUSTER_NO_LIMIT)
        snprintf(text, UNITS_SIZE, "no limit");
    else if (milliseconds < 60000)
        snprintf(text, UNITS_SIZE, "%.1f s", (double)milliseconds / 1000);
    else if (seconds < 3600)
        snprintf(text, UNITS_SIZE, "%lld min %lld s", seconds / 60, seconds % 60);
    else
        snprintf(text, UNITS_SIZE, "%lld h %lld min", seconds / 3600, seconds / 60 % 60);
    return text;
}

const char *units_bytes(double bytes, char text[UNITS_SIZE])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    size_t unit = 0;
    while (bytes >= 999.5 && unit + 1 < sizeof(units) / sizeof(*units)) {
        bytes /= 1000;
        unit++;
    }
    snprintf(text, UNITS_SIZE, "%.*f %s", unit > 0 ? 1 : 0, bytes, units[unit]);
    return text;
}

int units_percent(double share)
{
    const double rounding = 1e-9; /* 100 * 0.29 is less than 29 */
    return (int)(100 * share + rounding);
}
