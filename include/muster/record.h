/* The record of a run: scalars, settings, texts and models by step, for CSV, TensorBoard, MLflow and JSON
   lines. */
#ifndef MUSTER_RECORD_H
#define MUSTER_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include <muster/export.h>
#include <muster/message.h>
#include <muster/status.h>

MUSTER_BEGIN_DECLS

/**
 * What a run leaves behind, for people to look at: entries, each with a name and most with a step, which go
 * to any number of *sinks*. A sink is a text:
 * - "csv:FILE": scalars, as a table with a row for each step and a column for each name;
 * - "jsonl:FILE": all entries, each a line of JSON;
 * - "tensorboard:DIR": scalars, histograms and texts, as an event file in DIR;
 * - "mlflow:URL": a run on an MLflow tracking server at http(s)://HOST[:PORT][/BASE]. "mlflow:" alone takes
 *   the URL from MLFLOW_TRACKING_URI.
 *
 * A record never holds up the program that keeps it. The functions that add entries do not wait for a disk
 * or a network, and do not fail:
 * - Each sink has a thread and a backlog of its own. An entry that does not fit into the backlog takes the
 *   place of the oldest ones. on_warning tells it once, and how many were lost when the sink has caught up.
 * - A sink that fails warns once, is tried again after growing pauses, goes on with its backlog, and says
 *   so.
 *
 * Names are made harmless by muster_text_harmless(), and cut to MUSTER_RECORD_NAME_MAX bytes; texts are made
 * harmless line by line, and cut to MUSTER_RECORD_TEXT_MAX bytes. A name that is NULL or empty is "unnamed".
 *
 * Any thread may add entries, and callbacks of the library may. A NULL record is allowed, and takes nothing.
 */
struct muster_record;

/** The longest name and the longest text of an entry, in bytes. */
#define MUSTER_RECORD_NAME_MAX 250
#define MUSTER_RECORD_TEXT_MAX 1048576

/** The most sinks that a record has. */
#define MUSTER_RECORD_SINKS_MAX 16

/**
 * muster_record_open() copies the options and their strings. Fill them in with muster_record_options_init()
 * first. Later releases add fields at the end only, so a program that was built with this header also runs
 * with their library.
 */
struct muster_record_options {
    /** The size of this struct; set by muster_record_options_init(). */
    size_t size;
    /** `sink_count` texts, as above; none: the record takes everything and keeps nothing. */
    const char *const *sinks;
    size_t sink_count;
    /** The most bytes of entries that wait for one sink, beside those that it works on; at least 65536. */
    size_t backlog_size;
    /**
     * A sink that failed is tried again after retry_first_ms, and after pauses that double up to
     * retry_last_ms. retry_first_ms is at least 1 ms, and retry_last_ms is not below it.
     */
    int64_t retry_first_ms;
    int64_t retry_last_ms;
    /** How long one request to a server may take. The upload of a file may take longer while it moves. */
    int64_t request_timeout_ms;
    /**
     * What makes this the same run as that of an earlier process: 1 to 64 letters, digits, '.', '_' and '-'.
     * MLflow's run of that identity goes on, in the same experiment. NULL: this is a new run.
     */
    const char *identity;
    /** MLflow's experiment, which is made if it is not there. NULL: MLFLOW_EXPERIMENT_NAME, or "Default". */
    const char *experiment;
    /** The name of MLflow's run. NULL: the server chooses one. */
    const char *run_name;
    /**
     * Credentials for MLflow: a name and a password, or a token. NULL: MLFLOW_TRACKING_USERNAME,
     * MLFLOW_TRACKING_PASSWORD and MLFLOW_TRACKING_TOKEN, if they are there. MLFLOW_TRACKING_SERVER_CERT_PATH
     * and MLFLOW_TRACKING_INSECURE_TLS ("true") count too.
     */
    const char *username;
    const char *password;
    const char *token;
    /**
     * Receives warnings for the operator, with `context`. Called on threads of the record and on those that
     * call it, several at a time perhaps, without a lock held, and not after muster_record_close(). Must not
     * block. NULL: no warnings.
     */
    void (*on_warning)(void *context, const char *text);
    void *context;
};

/** muster_record_options_init() calls this with the size of the struct in the caller's header. */
MUSTER_API void muster_record_options_init_sized(struct muster_record_options *options, size_t size);

/**
 * Fills in the defaults: no sinks; 16 MiB for each backlog; pauses from 1 s to 60 s; 30 s for a request;
 * warnings to standard error. Any thread.
 */
static inline void muster_record_options_init(struct muster_record_options *options)
{
    muster_record_options_init_sized(options, sizeof(*options));
}

/**
 * Opens a record. Files are opened or made at once; what an earlier process wrote stays, and is gone on
 * with. Servers are contacted later, and may be away. Blocks on disk. On MUSTER_OK the caller owns *record
 * and closes it with muster_record_close(). Otherwise it is NULL and *error (may be NULL) says why:
 * - INVALID: an option is out of range, or a sink is not written as above;
 * - IO: a file or directory cannot be opened or made;
 * - BUSY: another record has the file open;
 * - FORMAT: the file holds something else than such a record;
 * - OUT_OF_MEMORY.
 */
MUSTER_API enum muster_status muster_record_open(const struct muster_record_options *options,
                                                 struct muster_record **record, struct muster_error *error);

/**
 * Records a setting of the whole run, such as "lr" and "0.1". MLflow: a param, which keeps its first text.
 */
MUSTER_API void muster_record_setting(struct muster_record *record, const char *name, const char *text);

/** Records a number at a step: a loss after a round, for example. It may be NaN or infinite. */
MUSTER_API void muster_record_scalar(struct muster_record *record, int64_t step, const char *name,
                                     double value);

/**
 * Records how the elements of an array are distributed, such as weights. If a sink takes histograms, the
 * calling thread reads the array twice; it is not kept. An array that is not valid is lost, and on_warning
 * is told.
 */
MUSTER_API void muster_record_histogram(struct muster_record *record, int64_t step, const char *name,
                                        const struct muster_array *array);

/** Records a text at a step: the whole configuration, for example. MLflow: a file "NAME.txt" of the run. */
MUSTER_API void muster_record_text(struct muster_record *record, int64_t step, const char *name,
                                   const char *text);

/**
 * Records a file, such as a model, under a name with its ending ("model.npz"). MLflow: an artifact, if the
 * server takes them by HTTP. JSON lines: its path. The file is read later: leave it in place, or replace it
 * whole, until muster_record_close() has returned.
 */
MUSTER_API void muster_record_file(struct muster_record *record, int64_t step, const char *name,
                                   const char *path);

/** How a run ended. */
enum muster_record_outcome {
    MUSTER_RECORD_FINISHED = 1,
    MUSTER_RECORD_FAILED = 2,
    MUSTER_RECORD_KILLED = 3, /* stopped by a signal, for example */
};

/**
 * Closes the record: writes what is left and the outcome, for at most limit_ms, and frees the record. A
 * request that runs then is broken off, which takes 500 ms more at most. NULL is allowed. No other thread
 * may use the record any more. OK means that every sink has taken all that was not lost before. Otherwise
 * *error (may be NULL) says why:
 * - TIMEOUT: some sinks have not. They are given up, and *error names the first. The record is closed.
 * - INVALID: this is a callback, which must not wait; nothing happened.
 */
MUSTER_API enum muster_status muster_record_close(struct muster_record *record,
                                                  enum muster_record_outcome outcome, int64_t limit_ms,
                                                  struct muster_error *error);

MUSTER_END_DECLS

#endif
