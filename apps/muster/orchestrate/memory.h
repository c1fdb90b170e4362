/* What an orchestrator that is started again goes on from: a small JSON file, replaced whole. */
#ifndef ORCHESTRATE_MEMORY_H
#define ORCHESTRATE_MEMORY_H

#include <stdint.h>

#include <muster/muster.h>

struct memory {
    uint64_t epoch, checkpoint, restarts;
    double loss; /* NaN: nobody told one */
};

/* Reads the file; *memory is that of a beginning when there is none. FORMAT, IO, OUT_OF_MEMORY. */
enum muster_status memory_read(const char *path, struct memory *memory, struct muster_error *error);

/* Writes it, so that the old one or the new one is there, whatever happens. IO, OUT_OF_MEMORY. */
enum muster_status memory_write(const char *path, const struct memory *memory, struct muster_error *error);

#endif
