/* The record of a command's run. The library may be built without records: --record is refused then. */
#ifndef RECORD_H
#define RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

struct muster_record;

/* Opens it; without sinks there is none, and *record is NULL, as it may be in all that follows. The log has its warnings. */
enum muster_status record_open(const char *const *sinks, size_t count, struct muster_record **record,
                               struct muster_error *error);
/* `well`: what was to be done is done. */
void record_close(struct muster_record *record, bool well);

/* As muster_record_setting() and so on. */
void record_setting(struct muster_record *record, const char *name, const char *text);
void record_scalar(struct muster_record *record, uint64_t step, const char *name, double value);
void record_text(struct muster_record *record, uint64_t step, const char *name, const char *text);

#endif
