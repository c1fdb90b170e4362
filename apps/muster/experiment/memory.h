/* Memory of an experiment: many small pieces, which are freed together. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stddef.h>

struct memory;

/* Where there is none left, each of these says so on standard error and ends the program: nothing has been started when
 * an experiment is read. */
struct memory *memory_new(void);
/* NULL is allowed. */
void memory_free(struct memory *memory);

/* A piece of zeros. */
void *memory_take(struct memory *memory, size_t count, size_t size);
char *memory_text(struct memory *memory, const char *text, size_t length);
char *memory_copy(struct memory *memory, const char *text);
char *memory_format(struct memory *memory, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A list of texts that grows. All zeros: empty. */
struct texts {
    const char **list; /* with NULL behind them */
    size_t count;
    size_t room;
};

void texts_add(struct memory *memory, struct texts *texts, const char *text);

#endif
