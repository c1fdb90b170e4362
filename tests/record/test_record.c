/* Whole records: allocations that fail, and callbacks. What they write is read by files.py and
   tracking.py. */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include <muster/record.h>

/* ---- allocations ---- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);

/* How many allocations succeed before one fails; negative: none fails any more. */
static atomic_int before_failure = -1;

static bool fails(void)
{
    bool now = atomic_load(&before_failure) >= 0 && atomic_fetch_sub(&before_failure, 1) == 0;
    errno = now ? ENOMEM : errno;
    return now;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails() ? NULL : __real_realloc(memory, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t size)
{
    return fails() ? NULL : __real_strndup(text, size);
}

/* ---- a disk that hangs ---- */

ssize_t __real_pwrite(int file, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite(int file, const void *bytes, size_t size, off_t offset);
int __real_close(int file);
int __wrap_close(int file);

static atomic_bool hangs;   /* the next write */
static atomic_bool watched; /* the end of the file */
static sem_t hanging;
static sem_t go_on;
static sem_t closed;

ssize_t __wrap_pwrite(int file, const void *bytes, size_t size, off_t offset)
{
    if (atomic_exchange(&hangs, false)) {
        sem_post(&hanging);
        sem_wait(&go_on);
    }
    return __real_pwrite(file, bytes, size, offset);
}

int __wrap_close(int file)
{
    int result = __real_close(file);
    if (atomic_exchange(&watched, false))
        sem_post(&closed);
    return result;
}

/* ---- what the tests share ---- */

static char folder[64];
static atomic_uint warnings;

static void count_warning(void *context, const char *text)
{
    (void)context;
    (void)text;
    atomic_fetch_add(&warnings, 1);
}

static void set_up(void)
{
    snprintf(folder, sizeof(folder), "/tmp/muster-record-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    atomic_store(&warnings, 0);
}

static void remove_all(const char *path)
{
    char inside[512];
    DIR *directory = opendir(path);
    const struct dirent *file;
    while (directory && (file = readdir(directory))) {
        snprintf(inside, sizeof(inside), "%s/%s", path, file->d_name);
        if (file->d_name[0] != '.' && unlink(inside) != 0)
            remove_all(inside);
    }
    if (directory)
        closedir(directory);
    rmdir(path);
}

static void tear_down(void)
{
    atomic_store(&before_failure, -1);
    remove_all(folder);
}

static void init(struct muster_record_options *options)
{
    muster_record_options_init(options);
    options->retry_first_ms = options->retry_last_ms = 1;
    options->on_warning = count_warning;
}

static void add_one_of_each(struct muster_record *record)
{
    static const float weights[] = {1, 2, 3};
    struct muster_array array = {MUSTER_FLOAT32, 1, {3}, weights};
    muster_record_setting(record, "lr", "0.1");
    muster_record_scalar(record, 1, "loss", 0.5);
    muster_record_scalar(record, 2, "accuracy", 0.5);
    muster_record_text(record, 1, "configuration", "{}");
    muster_record_histogram(record, 1, "weights", &array);
    muster_record_file(record, 1, "model.npz", "/nowhere/model.npz");
}

static unsigned lines_of(const char *path)
{
    unsigned lines = 0;
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    for (int c = getc(file); c != EOF; c = getc(file))
        lines += c == '\n';
    fclose(file);
    return lines;
}

/* ---- tests ---- */

/* One allocation of the library fails, whichever comes at that time: what follows works, and of the entries
   at most the one is lost. */
Test(record, an_allocation_fails, .init = set_up, .fini = tear_down, .timeout = 60)
{
    char csv[128], jsonl[128], tensorboard[128], path[100];
    bool failed = true;
    for (int at = 0; failed; at++) {
        struct muster_record_options options;
        struct muster_record *record;
        struct muster_error error;
        snprintf(csv, sizeof(csv), "csv:%s/%d.csv", folder, at);
        snprintf(path, sizeof(path), "%s/%d.jsonl", folder, at);
        snprintf(jsonl, sizeof(jsonl), "jsonl:%s", path);
        snprintf(tensorboard, sizeof(tensorboard), "tensorboard:%s/%d", folder, at);
        const char *sinks[] = {csv, jsonl, tensorboard};
        init(&options);
        options.sinks = sinks;
        options.sink_count = 3;
        atomic_store(&before_failure, at);
        enum muster_status status = muster_record_open(&options, &record, &error);
        if (status == MUSTER_OK) {
            add_one_of_each(record);
            cr_assert_eq(muster_record_close(record, MUSTER_RECORD_FINISHED, 20000, &error), MUSTER_OK, "%s",
                         error.text);
            cr_assert_geq(lines_of(path), 6);
        } else {
            cr_assert_eq(status, MUSTER_OUT_OF_MEMORY, "%s", error.text);
            cr_assert_null(record);
        }
        failed = atomic_exchange(&before_failure, -1) < 0;
    }
    cr_assert_gt(atomic_load(&warnings), 0);
}

Test(record, an_allocation_fails_for_a_server_that_is_away, .init = set_up, .fini = tear_down, .timeout = 60)
{
    bool failed = true;
    for (int at = 0; failed; at++) {
        struct muster_record_options options;
        struct muster_record *record;
        struct muster_error error;
        const char *sink = "mlflow:http://127.0.0.1:1";
        init(&options);
        options.sinks = &sink;
        options.sink_count = 1;
        options.run_name = "run";
        atomic_store(&before_failure, at);
        if (muster_record_open(&options, &record, &error) == MUSTER_OK) {
            add_one_of_each(record);
            cr_assert_eq(muster_record_close(record, MUSTER_RECORD_KILLED, 30, &error), MUSTER_TIMEOUT);
        } else {
            cr_assert_eq(error.status, MUSTER_OUT_OF_MEMORY, "%s", error.text);
        }
        failed = atomic_load(&before_failure) < 0 && at < 60;
        atomic_store(&before_failure, -1);
    }
}

/* The end does not wait for it: the thread that hangs frees the record when it comes back. */
Test(record, a_disk_hangs, .init = set_up, .fini = tear_down)
{
    struct muster_record_options options;
    struct muster_record *record;
    struct muster_error error;
    char hung[128];
    snprintf(hung, sizeof(hung), "csv:%s/a.csv", folder);
    const char *sinks[] = {hung};
    sem_init(&hanging, 0, 0);
    sem_init(&go_on, 0, 0);
    sem_init(&closed, 0, 0);
    init(&options);
    options.sinks = sinks;
    options.sink_count = 1;
    cr_assert_eq(muster_record_open(&options, &record, NULL), MUSTER_OK);
    atomic_store(&hangs, true);
    atomic_store(&watched, true);
    add_one_of_each(record);
    sem_wait(&hanging);
    cr_assert_eq(muster_record_close(record, MUSTER_RECORD_KILLED, 1, &error), MUSTER_TIMEOUT);
    cr_assert_not_null(strstr(error.text, "a.csv"), "%s", error.text);
    sem_post(&go_on);
    sem_wait(&closed);
    cr_assert_eq(atomic_load(&warnings), 0, "nobody is warned after the end");
}

static struct muster_record *closed_within;

static void close_within(void *context, const char *text)
{
    struct muster_error error;
    (void)text;
    *(enum muster_status *)context =
        muster_record_close(closed_within, MUSTER_RECORD_FINISHED, MUSTER_NO_LIMIT, &error);
}

Test(record, is_not_closed_in_a_callback, .init = set_up, .fini = tear_down)
{
    struct muster_record_options options;
    char text[128];
    const char *sink = text;
    enum muster_status status = MUSTER_OK;
    struct muster_array array = {MUSTER_FLOAT32, 1, {3}, NULL};
    snprintf(text, sizeof(text), "jsonl:%s/a.jsonl", folder);
    init(&options);
    options.sinks = &sink;
    options.sink_count = 1;
    options.on_warning = close_within;
    options.context = &status;
    cr_assert_eq(muster_record_open(&options, &closed_within, NULL), MUSTER_OK);
    muster_record_histogram(closed_within, 1, "no array", &array);
    cr_assert_eq(status, MUSTER_INVALID);
    cr_assert_eq(muster_record_close(closed_within, MUSTER_RECORD_FINISHED, 10000, NULL), MUSTER_OK);
}

Test(record, nothing_is_allowed)
{
    struct muster_record *record;
    cr_assert_eq(muster_record_open(NULL, &record, NULL), MUSTER_OK);
    add_one_of_each(record);
    cr_assert_eq(muster_record_close(record, MUSTER_RECORD_FINISHED, 0, NULL), MUSTER_OK);
    add_one_of_each(NULL);
    cr_assert_eq(muster_record_close(NULL, MUSTER_RECORD_FINISHED, 0, NULL), MUSTER_OK);
}
