/* Files that are replaced whole: what is written goes into a temporary beside its place, down to the disk,
 * and then takes the name. Whoever reads, even after a crash, finds the old file or the new one. */
#ifndef MUSTER_FILE_H
#define MUSTER_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/status.h>

/* What the name of every temporary begins with. One that is older than its process is nobody's. */
#define MUSTER__TEMPORARY_PREFIX ".muster-"

/* Fills in *error (may be NULL) with the end of `path` and why, and returns `status`. */
enum muster_status muster__file_error(struct muster_error *error, enum muster_status status, const char *path,
                                      const char *why);
/* The same from errno: IO, or OUT_OF_MEMORY for ENOMEM. */
enum muster_status muster__file_errno(struct muster_error *error, const char *path, const char *doing);

/* Writes all of it at `offset`; false with errno set otherwise. */
bool muster__file_write(int file, uint64_t offset, const void *bytes, size_t size);

/* Opens `name` in `folder` for reading; `path` is for errors. IO when it is no regular file: a pipe, perhaps, is
   not waited for. */
enum muster_status muster__file_open(int folder, const char *name, const char *path, int *file, size_t *size,
                                     struct muster_error *error);
/* The same, and reads the whole of it into memory that the caller frees; a NUL follows it. FORMAT when it has more
   than `most` bytes. */
enum muster_status muster__file_read(int folder, const char *name, const char *path, size_t most,
                                     void **bytes, size_t *size, struct muster_error *error);

/* Writes the content of a file; `path` is for its errors. */
typedef enum muster_status muster__file_writer(const void *context, int file, const char *path,
                                               struct muster_error *error);

/* Replaces the file `path`, which lies in `folder`, by what `write` writes. The move itself lasts only after
   muster__folder_sync(). After an error the old file is there, and no temporary. */
enum muster_status muster__file_replace_in(int folder, const char *path, muster__file_writer *write,
                                           const void *context, struct muster_error *error);
/* Makes what was moved, made and removed in the folder last. */
enum muster_status muster__folder_sync(int folder, const char *path, struct muster_error *error);
/* Opens the folder that `path` lies in; INVALID when it ends with a slash. */
enum muster_status muster__folder_open(const char *path, int *folder, struct muster_error *error);
/* Replaces the file `path` for good: all of the above. */
enum muster_status muster__file_replace(const char *path, muster__file_writer *write, const void *context,
                                        struct muster_error *error);

#endif
