/* /metrics: what Prometheus reads. */
#ifndef MUSTER_MONITOR_METRICS_H
#define MUSTER_MONITOR_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct curves;
struct look;

enum metrics_format { METRICS_TEXT /* 0.0.4 */, METRICS_OPEN /* OpenMetrics 1.0.0 */ };

/* The Content-Type of a format. */
const char *muster__metrics_type(enum metrics_format format);

/* Writes what follows from a look; series of at most `most` participants. Sorts the look. */
void muster__metrics_write(FILE *out, enum metrics_format format, struct look *look, struct curves *curves,
                           size_t most);

/* Writes the value of a label: without its quotes, and escaped. */
void muster__metrics_escape(FILE *out, const char *value);

/* Writes a number as both formats have it. */
void muster__metrics_number(FILE *out, double value);

#endif
