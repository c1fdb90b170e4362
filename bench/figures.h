/* What was measured: named numbers and texts in the order of their arrival, and the statistics behind
   them. */
#ifndef BENCH_FIGURES_H
#define BENCH_FIGURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The key is copied. */
void figures_number(const char *key, double value);

/* A number that has a bound to meet. */
void figures_at_most(const char *key, double value, double bound);
void figures_at_least(const char *key, double value, double bound);

void figures_text(const char *key, const char *value);

/* The table: first what has a bound to meet, with it, then the rest. */
void figures_print(void);

/* All of them as one flat JSON object; false when the file cannot be written. */
bool figures_write(const char *path);

/* The q-quantile (0.5: the median) of `count` values, which it sorts. */
double quantile(double *values, size_t count, double q);

#endif
