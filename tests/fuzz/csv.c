/*
 * A CSV file that a record finds: on the first line the name of a scalar, behind it the file. What is no record stays
 * as it is; of a record all whole rows stay, and the scalar is in its column of a new one.
 */
#include <config.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "record/csv.h"
#include "record/sink.h"

enum { COLUMNS_MAX = 1024, SIZE_MAX_READ = 1 << 20 };

#define VALUE "0.5"

static char folder[3000];
static char path[4096];

static void remove_folder(void)
{
    unlink(path);
    rmdir(folder);
}

static void set_up(void)
{
    const char *parent = getenv("TMPDIR");
    if (folder[0])
        return;
    snprintf(folder, sizeof(folder), "%s/muster-fuzz-XXXXXX", parent ? parent : "/tmp");
    CHECK(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/scalars.csv", folder);
    atexit(remove_folder);
}

static void write_file(struct input bytes)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(file >= 0);
    CHECK(write(file, bytes.at, bytes.left) == (ssize_t)bytes.left);
    close(file);
}

/* The file as it is now; a NUL follows it. */
static struct input read_file(void)
{
    static char bytes[SIZE_MAX_READ + 1];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(file >= 0);
    ssize_t size = read(file, bytes, SIZE_MAX_READ);
    CHECK(size >= 0 && size < SIZE_MAX_READ);
    bytes[size] = '\0';
    close(file);
    return (struct input){(const uint8_t *)bytes, (size_t)size};
}

static bool same(struct input a, struct input b)
{
    return a.left == b.left && (a.left == 0 || memcmp(a.at, b.at, a.left) == 0);
}

/* Opens the file as a record does, writes the entry if there is one, and closes it. */
static enum muster_status record(struct entry *entry)
{
    struct muster_record_options options;
    struct sink sink = {.text = NULL};
    struct muster_error error = {MUSTER_OK, ""};
    void *state = NULL;
    size_t taken = 0;
    muster_record_options_init(&options);
    enum muster_status status = muster__csv.open(&sink, path, &options, &state, &error);
    CHECK(status == MUSTER_OK || (status == MUSTER_FORMAT && error.text[0]));
    if (status == MUSTER_OK && entry)
        CHECK(muster__csv.write(state, &entry, 1, &taken, &error) == MUSTER_OK && taken == 1);
    muster__csv.close(state);
    return status;
}

/* The next line with its end. */
static struct input take_line(struct input *input)
{
    const uint8_t *end = input->left ? memchr(input->at, '\n', input->left) : NULL;
    return take_bytes(input, end ? (size_t)(end - input->at) + 1 : input->left);
}

/* A line as a string on the heap, without its end. */
static char *text_of(struct input line)
{
    char *text = strndup((const char *)line.at, line.left - 1);
    CHECK(text);
    return text;
}

/* Whether a spreadsheet would take it for a formula, so that its column begins with a quote. */
static bool is_formula(const char *name)
{
    return strchr("=+-@", *name) != NULL;
}

/* The new row has the step, a time and one number, under the name. */
static void check_row(struct input header, struct input row, const char *name)
{
    char *names = text_of(header), *values = text_of(row), *next_name = names, *next_value = values;
    bool found = false;
    for (size_t i = 0; next_name; i++) {
        CHECK(next_value);
        const char *column = muster__csv_field(&next_name), *value = muster__csv_field(&next_value);
        if (i < 2) {
            CHECK(i == 1 ? strlen(value) == 24 : strcmp(value, "-7") == 0);
            continue;
        }
        if (!*value)
            continue;
        CHECK(!found && strcmp(value, VALUE) == 0);
        CHECK((*column == '\'' || !is_formula(name)) && strcmp(column + is_formula(name), name) == 0);
        found = true;
    }
    CHECK(!next_value && found);
    free(names);
    free(values);
}

/* What went on with `before`, of which only whole lines count. */
static void check_gone_on(struct input before, struct input after, const char *name)
{
    struct input header = take_line(&before), now = take_line(&after), row;
    size_t more = 0; /* an empty field at the end of each row */
    CHECK(now.left > 0 && now.at[now.left - 1] == '\n');
    if (header.left > 0 && !same(header, now)) {
        more = 1;
        CHECK(now.left > header.left && memcmp(now.at, header.at, header.left - 1) == 0);
        CHECK(now.at[header.left - 1] == ',');
    }
    while (before.left > 0) {
        row = take_line(&before);
        CHECK(after.left > row.left + more && memcmp(after.at, row.at, row.left - 1) == 0);
        CHECK(!more || after.at[row.left - 1] == ',');
        take_bytes(&after, row.left + more);
        CHECK(after.at[-1] == '\n');
    }
    row = take_line(&after);
    CHECK(row.left > 0 && row.at[row.left - 1] == '\n' && after.left == 0);
    check_row(now, row, name);
}

static size_t count_columns(struct input file)
{
    size_t count = 0;
    char *line = text_of(take_line(&file));
    for (char *next = line; next; count++)
        muster__csv_field(&next);
    free(line);
    return count - 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size}, line = take_line(&input), whole = input;
    char *name = calloc(line.left + 1, 1); /* strndup() may look at one byte more */
    CHECK(name);
    if (line.left)
        memcpy(name, line.at, line.left);
    name[strcspn(name, "\n")] = '\0';
    struct entry *entry = muster__entry_new(ENTRY_SCALAR, -7, name, strtod(VALUE, NULL), NULL, NULL);
    CHECK(entry);
    while (whole.left > 0 && whole.at[whole.left - 1] != '\n')
        whole.left--;
    set_up();
    write_file(input);
    if (record(entry) == MUSTER_OK) {
        struct input after = read_file();
        if (!same(after, whole))
            check_gone_on(whole, after, entry->name);
        else
            CHECK(count_columns(after) == COLUMNS_MAX); /* the scalar was left out */
        uint8_t *copy = malloc(after.left);
        CHECK(copy);
        struct input kept = {memcpy(copy, after.at, after.left), after.left};
        CHECK(record(NULL) == MUSTER_OK);
        CHECK(same(read_file(), kept));
        free(copy);
    } else {
        CHECK(same(read_file(), input));
    }
    muster__entry_free(entry);
    free(name);
    return 0;
}
