/* Options structs of callers, whose headers may be of another release: the first field is the struct's
   size. */
#ifndef MUSTER_OPTIONS_H
#define MUSTER_OPTIONS_H

#include <stddef.h>

#include <muster/status.h>

/* Writes the defaults to the caller's struct of `size` bytes: what both know of them, zeros beyond. */
void muster__options_give(void *options, size_t size, const void *defaults, size_t own_size);

/*
 * Reads the caller's struct into *own, which holds the defaults: they stay in what the caller's header does
 * not have. INVALID, with *error naming `init`: it was not filled in by that, or sets what this release does
 * not know.
 */
enum muster_status muster__options_take(void *own, size_t own_size, const void *options, const char *init,
                                        struct muster_error *error);

#endif
