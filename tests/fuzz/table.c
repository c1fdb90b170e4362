/* Reading CSV with ids: what to take of it, the names of the columns of ids and labels, and the file. */
#include <config.h>

#include <math.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "muster/vertical/table.h"

enum { NAME_SIZE = 8, MEMBERS_MAX = 3 };

static char *take_name(struct input *input, uint8_t size, char name[NAME_SIZE + 1])
{
    struct input bytes = take_bytes(input, size % NAME_SIZE);
    memset(name, 0, NAME_SIZE + 1);
    if (bytes.left)
        memcpy(name, bytes.at, bytes.left);
    return bytes.left ? name : NULL;
}

static void check(const struct table *table)
{
    CHECK(table->rows > 0);
    for (size_t i = 0; i < table->columns; i++)
        CHECK(!table_name_fault(table->names[i], strlen(table->names[i])));
    for (size_t i = 0; i < table->rows * table->columns; i++)
        CHECK(isfinite(table->values[i]));
    for (size_t i = 0; i < table->rows; i++) {
        CHECK(!table_name_fault(table->ids[i], strlen(table->ids[i])));
        for (size_t j = 0; j < i; j++)
            CHECK(strcmp(table->ids[i], table->ids[j]) != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct table_options options = TABLE_OPTIONS_INIT;
    struct muster_error error = {MUSTER_OK, ""};
    struct table table;
    char id[NAME_SIZE + 1], labels[NAME_SIZE + 1];
    uint8_t flags = take_byte(&input);
    options.what = flags & 0x80 ? TABLE_IDS : flags & 1 ? TABLE_LABELS : TABLE_FEATURES;
    options.members = (flags >> 1) % (MEMBERS_MAX + 1);
    options.member = options.members > 0 ? (size_t)(flags >> 3) % options.members : 0;
    options.id = take_name(&input, take_byte(&input), id);
    options.labels = take_name(&input, take_byte(&input), labels);
    if (input.left == 0)
        return 0;
    FILE *file = fmemopen((void *)(uintptr_t)input.at, input.left, "r");
    CHECK(file);
    enum muster_status status = table_read_csv(&options, file, "fuzz.csv", &table, &error);
    fclose(file);
    CHECK(status == MUSTER_OK || (error.status == status && error.text[0]));
    if (status == MUSTER_OK)
        check(&table);
    table_free(&table);
    return 0;
}
