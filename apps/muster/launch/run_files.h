/* Files of a run directory: replaced whole, read with a bound, and removed as trees. */
#ifndef RUN_FILES_H
#define RUN_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include <jansson.h>

#include <muster/muster.h>

/* Their names. */
#define RUN_LOCK       "lock"
#define RUN_CONTROL    "control"
#define RUN_EXPERIMENT "experiment.json"
#define RUN_FILE       "experiment.yml"
#define RUN_END        "end.json"
#define RUN_LOGS       "logs"
#define RUN_LOG_SUFFIX ".log"

/* What the names of temporaries begin with. One that is left is nobody's. */
#define RUN_TEMPORARY ".muster-"

enum {
    RUN_PATH_SIZE = 112,    /* room for what an error shows of a path */
    RUN_JSON_MAX = 1 << 26, /* bytes of a JSON file that are read */
};

/* The end of a path, safe to print, for an error; `text` is returned. */
const char *run_path(const char *path, char text[RUN_PATH_SIZE]);

/* Fills in *error from errno: "PATH: doing: why". OUT_OF_MEMORY for ENOMEM, otherwise IO. */
enum muster_status run_files_errno(struct muster_error *error, const char *path, const char *doing);

/* Replaces `name` in the folder, which is `path`, by these bytes: the old file or the new one is there, whatever happens.
 * IO, OUT_OF_MEMORY: the old one. */
enum muster_status run_files_replace(int folder, const char *path, const char *name, const void *bytes,
                                     size_t size, struct muster_error *error);
enum muster_status run_files_replace_json(int folder, const char *path, const char *name, const json_t *value,
                                          struct muster_error *error);

/* Reads a file of one JSON object. *value is NULL, and the status OK, when there is no such file; FORMAT, IO,
 * OUT_OF_MEMORY. */
enum muster_status run_files_read_json(int folder, const char *path, const char *name, json_t **value,
                                       struct muster_error *error);

/* Removes a file, or a directory with all that is in it; symbolic links are removed and not followed. It is OK when there
 * is none. IO. */
enum muster_status run_files_remove(int folder, const char *path, const char *name,
                                    struct muster_error *error);

/* A time, or the time now, in UTC, such as "2024-05-17T08:00:00Z". */
enum { RUN_TIME_SIZE = 32 };
const char *run_time(time_t time, char text[RUN_TIME_SIZE]);
const char *run_time_now(char text[RUN_TIME_SIZE]);

#endif
