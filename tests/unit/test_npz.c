/*
 * The .npz format: what numpy writes is read, what is written is the same each time, and archives that say
 * what is not true are refused before they cost anything. Those are built here, field by field. (That numpy
 * reads what is written is tested with the examples.)
 */
#include <config.h>

#include <criterion/criterion.h>

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <muster/npz.h>

/* Written by numpy 1.24: w = [[1, 2, 3], [4, 5, 6]] of float32 and n = 7 of int64; savez and
 * savez_compressed. */
static const char numpy_stored[] =
    "PK\003\004\024\000\000\000\000\000\000\000!\000|\234\336\242\230\000\000\000\230\000\000\000"
    "\005\000\024\000w.npy\001\000\020\000\230\000\000\000\000\000\000\000\230\000\000\000\000\000"
    "\000\000\223NUMPY\001\000v\000{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }      "
    "                                                    \012\000\000\200\077\000\000\000@\000\000@@"
    "\000\000\200@\000\000\240@\000\000\300@PK\003\004\024\000\000\000\000\000\000\000!\000#\270\360"
    "l\210\000\000\000\210\000\000\000\005\000\024\000n.npy\001\000\020\000\210\000\000\000\000\000"
    "\000\000\210\000\000\000\000\000\000\000\223NUMPY\001\000v\000{'descr': '<i8', 'fortran_order':"
    " False, 'shape': (), }                                                              \012\007"
    "\000\000\000\000\000\000\000PK\001\002\024\003\024\000\000\000\000\000\000\000!\000|\234\336"
    "\242\230\000\000\000\230\000\000\000\005\000\000\000\000\000\000\000\000\000\000\000\200\001"
    "\000\000\000\000w.npyPK\001\002\024\003\024\000\000\000\000\000\000\000!\000#\270\360l\210\000"
    "\000\000\210\000\000\000\005\000\000\000\000\000\000\000\000\000\000\000\200\001\317\000\000"
    "\000n.npyPK\005\006\000\000\000\000\002\000\002\000f\000\000\000\216\001\000\000\000\000";

static const char numpy_deflated[] =
    "PK\003\004\024\000\000\000\010\000\000\000!\000|\234\336\242X\000\000\000\230\000\000\000\005"
    "\000\024\000w.npy\001\000\020\000\230\000\000\000\000\000\000\000X\000\000\000\000\000\000\000"
    "\233\354\027\352\033\020\311\310P\306P\255\236\222Z\234\\\244n\245\240n\223f\242\256\243\240"
    "\236\226_TR\224\230\027\237_\224\222\012\022wK\314)N\005\212\027g$\026\244\002\371\032F:\012"
    "\306\232:\012\265\012d\003.\006\206\006{\006\006\006\007 \002\342\006 ^\000\304\007\034\000PK"
    "\003\004\024\000\000\000\010\000\000\000!\000#\270\360lF\000\000\000\210\000\000\000\005\000"
    "\024\000n.npy\001\000\020\000\210\000\000\000\000\000\000\000F\000\000\000\000\000\000\000\233"
    "\354\027\352\033\020\311\310P\306P\255\236\222Z\234\\\244n\245\240n\223i\241\256\243\240\236"
    "\226_TR\224\230\027\237_\224\222\012\022wK\314)N\005\212\027g$\026\244\002\371\032\232:\012\265"
    "\012\024\001.v\006\010\000\000PK\001\002\024\003\024\000\000\000\010\000\000\000!\000|\234\336"
    "\242X\000\000\000\230\000\000\000\005\000\000\000\000\000\000\000\000\000\000\000\200\001\000"
    "\000\000\000w.npyPK\001\002\024\003\024\000\000\000\010\000\000\000!\000#\270\360lF\000\000\000"
    "\210\000\000\000\005\000\000\000\000\000\000\000\000\000\000\000\200\001\217\000\000\000n.npyPK"
    "\005\006\000\000\000\000\002\000\002\000f\000\000\000\014\001\000\000\000\000";

static char path[] = "/tmp/muster-npz-XXXXXX";

static void set_up(void)
{
    strcpy(path + strlen(path) - 6, "XXXXXX");
    int file = mkstemp(path);
    cr_assert_geq(file, 0);
    close(file);
}

static void tear_down(void)
{
    unlink(path);
}

static void put_file(const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(bytes, 1, size, file), size);
    cr_assert_eq(fclose(file), 0);
}

static uint8_t *get_file(size_t *size)
{
    struct stat information;
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file);
    cr_assert_eq(fstat(fileno(file), &information), 0);
    *size = (size_t)information.st_size;
    uint8_t *bytes = malloc(*size + 1);
    cr_assert_not_null(bytes);
    cr_assert_eq(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

static void expect_refused_within(size_t limit, enum muster_status expected, const char *text)
{
    struct muster_named_array *arrays = (void *)path;
    struct muster_error error = {.text = ""};
    size_t count = 1;
    enum muster_status status = muster_npz_read(path, limit, &arrays, &count, &error);
    cr_assert_eq(status, expected, "%s: %s", muster_status_name(status), error.text);
    cr_assert_eq(error.status, expected);
    cr_assert(strstr(error.text, text) != NULL, "expected '%s', got '%s'", text, error.text);
    cr_assert_null(arrays);
    cr_assert_eq(count, 0);
    cr_assert_eq(muster_npz_read(path, limit, &arrays, &count, NULL), expected);
}

static void expect_refused(enum muster_status expected, const char *text)
{
    expect_refused_within(SIZE_MAX, expected, text);
}

/* ---- what numpy writes ---- */

static void expect_numpys(const char *bytes, size_t size)
{
    static const float w[] = {1, 2, 3, 4, 5, 6};
    struct muster_named_array *arrays;
    struct muster_error error = {.text = ""};
    size_t count;
    put_file(bytes, size);
    cr_assert_eq(muster_npz_read(path, SIZE_MAX, &arrays, &count, &error), MUSTER_OK, "%s", error.text);
    cr_assert_eq(count, 2);
    cr_assert_str_eq(arrays[0].name, "w");
    const struct muster_array *matrix = muster_npz_find(arrays, count, "w");
    const struct muster_array *number = muster_npz_find(arrays, count, "n");
    cr_assert_eq(matrix, &arrays[0].array);
    cr_assert_eq(matrix->dtype, MUSTER_FLOAT32);
    cr_assert_eq(matrix->dimensions, 2);
    cr_assert_eq(matrix->shape[0], 2);
    cr_assert_eq(matrix->shape[1], 3);
    cr_assert_eq(memcmp(matrix->data, w, sizeof(w)), 0);
    cr_assert_eq(number->dimensions, 0);
    cr_assert_eq(*(const int64_t *)number->data, 7);
    cr_assert_null(muster_npz_find(arrays, count, "x"));
    free(arrays);
}

Test(npz, reads_what_numpy_writes, .init = set_up, .fini = tear_down)
{
    expect_numpys(numpy_stored, sizeof(numpy_stored) - 1);
    expect_numpys(numpy_deflated, sizeof(numpy_deflated) - 1);
}

Test(npz, stays_within_its_limit, .init = set_up, .fini = tear_down)
{
    const size_t size = 128 + 24 + 128 + 8; /* two headers and the data */
    struct muster_named_array *arrays;
    size_t count;
    put_file(numpy_deflated, sizeof(numpy_deflated) - 1);
    cr_assert_eq(muster_npz_read(path, size, &arrays, &count, NULL), MUSTER_OK);
    free(arrays);
    expect_refused_within(size - 1, MUSTER_TOO_BIG, "entry 1: with it the arrays are bigger than the limit");
    expect_refused_within(0, MUSTER_TOO_BIG, "entry 0");
}

Test(npz, does_not_look_into_a_file_far_beyond_its_limit, .init = set_up, .fini = tear_down)
{
    cr_assert_eq(truncate(path, ((off_t)16 << 20) + 1001), 0);
    expect_refused_within(1000, MUSTER_TOO_BIG, "the file is bigger than the limit");
    expect_refused_within(1001, MUSTER_FORMAT, "ot a zip archive");
}

/* ---- writing ---- */

static const float floats[] = {1, -2, 3e38F};
static const double number = -0.1;
static const uint16_t halves[] = {0x3c00, 0xc000, 0x7bff};
static const uint8_t bools[] = {0, 1, 1};
static const struct muster_named_array mixed[] = {
    {"layer.0.weight", {MUSTER_FLOAT32, 1, {3}, floats}},
    {"scalar", {MUSTER_FLOAT64, 0, {0}, &number}},
    {"empty", {MUSTER_INT32, 2, {0, 5}, NULL}},
    {"b\303\244r", {MUSTER_INT64, 3, {1, 1, 1}, &number}},
    {"half", {MUSTER_FLOAT16, 1, {3}, halves}},
    {"bfloat", {MUSTER_BFLOAT16, 1, {3}, halves}},
    {"unsigned", {MUSTER_UINT8, 1, {3}, halves}},
    {"signed", {MUSTER_INT8, 1, {5}, halves}},
    {"bool", {MUSTER_BOOL, 1, {3}, bools}},
};
enum { MIXED_COUNT = sizeof(mixed) / sizeof(*mixed) };

Test(npz, round_trip, .init = set_up, .fini = tear_down)
{
    struct muster_named_array *arrays;
    struct muster_error error = {.text = ""};
    size_t count;
    cr_assert_eq(muster_npz_write(path, mixed, MIXED_COUNT, &error), MUSTER_OK, "%s", error.text);
    cr_assert_eq(muster_npz_read(path, SIZE_MAX, &arrays, &count, &error), MUSTER_OK, "%s", error.text);
    cr_assert_eq(count, (size_t)MIXED_COUNT);
    for (size_t i = 0; i < count; i++) {
        const struct muster_array *a = &arrays[i].array, *b = &mixed[i].array;
        cr_assert_str_eq(arrays[i].name, mixed[i].name);
        cr_assert_eq(a->dtype, b->dtype);
        cr_assert_eq(a->dimensions, b->dimensions);
        cr_assert_eq(memcmp(a->shape, b->shape, b->dimensions * sizeof(*b->shape)), 0);
        size_t size = muster_array_count(b) * muster_dtype_size(b->dtype);
        cr_assert(size == 0 || memcmp(a->data, b->data, size) == 0);
        cr_assert_eq((uintptr_t)a->data % muster_dtype_size(a->dtype), 0);
    }
    free(arrays);
}

Test(npz, the_same_arrays_make_the_same_bytes, .init = set_up, .fini = tear_down)
{
    size_t size, again_size;
    cr_assert_eq(muster_npz_write(path, mixed, MIXED_COUNT, NULL), MUSTER_OK);
    uint8_t *bytes = get_file(&size);
    cr_assert_eq(muster_npz_write(path, mixed, MIXED_COUNT, NULL), MUSTER_OK);
    uint8_t *again = get_file(&again_size);
    cr_assert_eq(size, again_size);
    cr_assert_eq(memcmp(bytes, again, size), 0);
    free(bytes);
    free(again);
}

Test(npz, as_many_arrays_as_there_may_be, .init = set_up, .fini = tear_down)
{
    enum { NAME_SIZE = 8 };
    const size_t most = MUSTER_NPZ_ARRAYS_MAX;
    struct muster_named_array *many = calloc(most + 1, sizeof(*many));
    char(*names)[NAME_SIZE] = calloc(most + 1, sizeof(*names));
    cr_assert_not_null(many);
    cr_assert_not_null(names);
    for (size_t i = 0; i <= most; i++) {
        snprintf(names[i], NAME_SIZE, "%zu", i);
        many[i] = (struct muster_named_array){names[i], {MUSTER_FLOAT32, 0, {0}, floats}};
    }
    struct muster_named_array *arrays;
    size_t count;
    cr_assert_eq(muster_npz_write(path, many, most + 1, NULL), MUSTER_INVALID);
    cr_assert_eq(muster_npz_write(path, many, most, NULL), MUSTER_OK);
    cr_assert_eq(muster_npz_read(path, SIZE_MAX, &arrays, &count, NULL), MUSTER_OK);
    cr_assert_eq(count, most);
    cr_assert_str_eq(arrays[most - 1].name, names[most - 1]);
    free(arrays);
    free(many);
    free(names);
}

static void expect_not_written(const struct muster_named_array *arrays, size_t count, const char *text)
{
    struct muster_error error = {.text = ""};
    cr_assert_eq(muster_npz_write(path, arrays, count, &error), MUSTER_INVALID, "%s", text);
    cr_assert(strstr(error.text, text) != NULL, "expected '%s', got '%s'", text, error.text);
    struct stat information;
    cr_assert_eq(stat(path, &information), 0);
    cr_assert_eq(information.st_size, 0, "the old file is there");
}

Test(npz, refuses_what_cannot_be_written, .init = set_up, .fini = tear_down)
{
    char longest[257];
    memset(longest, 'a', 256);
    longest[256] = '\0';
    const char *names[] = {"", "a/b", "..\\b", "a\nb", "\177", longest, NULL};
    struct muster_named_array two[] = {mixed[0], mixed[1]};
    expect_not_written(two, 0, "there are no arrays");
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        two[1].name = names[i];
        expect_not_written(two, 2, "entry 1: this is no name");
    }
    two[1].name = mixed[0].name;
    expect_not_written(two, 2, "two arrays have one name");
    two[1].name = "\377\376";
    expect_not_written(two, 2, "not UTF-8");
    two[1] = mixed[2];
    two[1].array.shape[0] = 1;
    expect_not_written(two, 2, "entry 1: its data is NULL");
    two[1] = (struct muster_named_array){"bool", {MUSTER_BOOL, 1, {3}, halves}};
    expect_not_written(two, 2, "entry 1: a bool of it is neither 0 nor 1");
    longest[255] = '\0';
    two[1] = mixed[1];
    two[1].name = longest;
    cr_assert_eq(muster_npz_write(path, two, 2, NULL), MUSTER_OK);
}

/* ---- archives that are wrong ---- */

/* An entry of an archive as it is to be, true or not. Sizes are those that are stated. */
struct part {
    const char *name;
    unsigned method, flags;
    const void *data;
    uint32_t data_size, packed_size, size;
    bool wrong_checksum, elsewhere; /* "elsewhere": its data is that of the first one */
};

static uint32_t checksum(const uint8_t *bytes, size_t size)
{
    uint32_t sum = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        sum ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            sum = sum & 1 ? sum >> 1 ^ UINT32_C(0xedb88320) : sum >> 1;
    }
    return ~sum;
}

static uint8_t *put(uint8_t *to, unsigned bytes, uint32_t value)
{
    for (unsigned i = 0; i < bytes; i++)
        *to++ = (uint8_t)(value >> 8 * i);
    return to;
}

static uint8_t *put_bytes(uint8_t *to, const void *bytes, size_t size)
{
    memcpy(to, bytes, size);
    return to + size;
}

/* What both headers of an entry have in common. */
static uint8_t *put_common(uint8_t *to, const struct part *part)
{
    uint32_t sum = checksum(part->data, part->data_size);
    to = put(to, 2, 20);
    to = put(to, 2, part->flags);
    to = put(to, 2, part->method);
    to = put(to, 4, 0x210000);
    to = put(to, 4, part->wrong_checksum ? ~sum : sum);
    to = put(to, 4, part->packed_size);
    to = put(to, 4, part->size);
    to = put(to, 2, (uint32_t)strlen(part->name));
    return put(to, 2, 0);
}

/* Writes an archive whose end says that it has `stated` entries. */
static void build(const struct part *parts, size_t count, unsigned stated)
{
    uint8_t *bytes = malloc(8192 + 64 * count), *to = bytes;
    uint32_t *places = calloc(count + 1, sizeof(*places));
    cr_assert_not_null(bytes);
    cr_assert_not_null(places);
    for (size_t i = 0; i < count; i++) {
        if (parts[i].elsewhere)
            continue;
        places[i] = (uint32_t)(to - bytes);
        to = put_common(put(to, 4, 0x04034b50), &parts[i]);
        to = put_bytes(to, parts[i].name, strlen(parts[i].name));
        to = put_bytes(to, parts[i].data, parts[i].data_size);
    }
    uint32_t table = (uint32_t)(to - bytes);
    for (size_t i = 0; i < count; i++) {
        to = put_common(put(put(to, 4, 0x02014b50), 2, 20), &parts[i]);
        to = put(put(put(put(to, 4, 0), 2, 0), 4, 0), 4, places[i]);
        to = put_bytes(to, parts[i].name, strlen(parts[i].name));
    }
    uint32_t table_size = (uint32_t)(to - bytes) - table;
    to = put(put(to, 4, 0x06054b50), 4, 0);
    to = put(put(to, 2, stated), 2, stated);
    to = put(put(put(to, 4, table_size), 4, table), 2, 0);
    put_file(bytes, (size_t)(to - bytes));
    free(places);
    free(bytes);
}

/* A scalar of int64, as a .npy file. */
static const char npy[] = "\223NUMPY\001\000v\000{'descr': '<i8', 'fortran_order': False, 'shape': (), }"
                          "                                                              \012\7\0\0\0\0\0\0";
enum { NPY_SIZE = sizeof(npy) };

static const struct part whole = {
    .name = "a.npy", .data = npy, .data_size = NPY_SIZE, .packed_size = NPY_SIZE, .size = NPY_SIZE};

static void expect_part_refused(struct part part, const char *text)
{
    build(&part, 1, 1);
    expect_refused(MUSTER_FORMAT, text);
}

Test(npz, what_is_built_here_is_right_unless_it_is_made_wrong, .init = set_up, .fini = tear_down)
{
    struct muster_named_array *arrays;
    struct muster_error error = {.text = ""};
    size_t count;
    build(&whole, 1, 1);
    cr_assert_eq(muster_npz_read(path, SIZE_MAX, &arrays, &count, &error), MUSTER_OK, "%s", error.text);
    cr_assert_eq(*(const int64_t *)arrays[0].array.data, 7);
    free(arrays);
}

Test(npz, refuses_sizes_that_lie, .init = set_up, .fini = tear_down)
{
    struct part part = whole;
    part.size = UINT32_MAX - 1;
    expect_part_refused(part, "its two sizes differ");
    part.packed_size = UINT32_MAX - 1;
    expect_part_refused(part, "more is in it than the file has");
    part = whole;
    part.method = 8; /* this is not deflated data; nobody may get that far */
    part.size = UINT32_MAX - 1;
    expect_part_refused(part, "bigger than its data can become");
    part.size = NPY_SIZE;
    expect_part_refused(part, "entry 0: ");
    part = whole;
    part.size = part.packed_size = NPY_SIZE - 1;
    expect_part_refused(part, "entry 0: ");
    part.size = part.packed_size = NPY_SIZE + 1;
    expect_part_refused(part, "entry 0: ");
}

/* The deflated archive of numpy's, with a stated size of its first array that is not the real one. */
Test(npz, refuses_deflated_data_of_another_size, .init = set_up, .fini = tear_down)
{
    const size_t table = sizeof(numpy_deflated) - 1 - 22 - 2 * (46 + 5);
    for (int by = -1; by < 2; by += 2) {
        char bytes[sizeof(numpy_deflated)];
        memcpy(bytes, numpy_deflated, sizeof(bytes));
        cr_assert_eq(memcmp(bytes + table, "PK\1\2", 4), 0);
        bytes[table + 24] = (char)(bytes[table + 24] + by);
        put_file(bytes, sizeof(bytes) - 1);
        expect_refused(MUSTER_FORMAT, "");
    }
}

Test(npz, refuses_entries_over_the_same_data, .init = set_up, .fini = tear_down)
{
    struct part parts[3] = {whole, whole, whole};
    parts[1].name = "b.npy";
    parts[2].name = "c.npy";
    parts[1].elsewhere = parts[2].elsewhere = true;
    build(parts, 3, 3);
    expect_refused(MUSTER_FORMAT, "");
}

Test(npz, refuses_names_that_are_not_an_arrays, .init = set_up, .fini = tear_down)
{
    static const char *const names[] = {"a",       ".npy",     "../a.npy", "/a.npy",
                                        "a/b.npy", "a\\b.npy", "a\33.npy", "a.npy/"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        struct part part = whole;
        part.name = names[i];
        expect_part_refused(part, "its name is not that of an array");
    }
    struct part parts[2] = {whole, whole};
    build(parts, 2, 2);
    expect_refused(MUSTER_FORMAT, "entry 1: an earlier one has the same name");
}

Test(npz, refuses_other_ways_of_packing, .init = set_up, .fini = tear_down)
{
    struct part part = whole;
    part.method = 12; /* bzip2 */
    expect_part_refused(part, "neither stored nor deflated");
    part = whole;
    part.flags = 1;
    expect_part_refused(part, "it is encrypted");
}

Test(npz, refuses_data_that_is_damaged, .init = set_up, .fini = tear_down)
{
    struct part part = whole;
    part.wrong_checksum = true;
    expect_part_refused(part, "CRC");
    part = whole;
    part.data = "this is not an array";
    part.data_size = part.packed_size = part.size = 20;
    expect_part_refused(part, "entry 0: not an npy array");
}

Test(npz, refuses_a_wrong_number_of_entries, .init = set_up, .fini = tear_down)
{
    build(&whole, 0, 0);
    expect_refused(MUSTER_FORMAT, "");
    build(&whole, 1, 2);
    expect_refused(MUSTER_FORMAT, "");
    build(&whole, 1, UINT16_MAX);
    expect_refused(MUSTER_FORMAT, "");
}

Test(npz, refuses_more_entries_than_there_may_be, .init = set_up, .fini = tear_down)
{
    struct part *parts = calloc(MUSTER_NPZ_ARRAYS_MAX + 1, sizeof(*parts));
    cr_assert_not_null(parts);
    for (size_t i = 0; i <= MUSTER_NPZ_ARRAYS_MAX; i++) {
        parts[i] = whole;
        parts[i].elsewhere = i > 0;
    }
    build(parts, MUSTER_NPZ_ARRAYS_MAX + 1, MUSTER_NPZ_ARRAYS_MAX + 1);
    expect_refused(MUSTER_FORMAT, "too many arrays");
    free(parts);
}

Test(npz, refuses_an_archive_that_breaks_off_anywhere, .init = set_up, .fini = tear_down)
{
    for (size_t size = 0; size < sizeof(numpy_stored) - 1; size++) {
        put_file(numpy_stored, size);
        expect_refused(MUSTER_FORMAT, "");
    }
}

Test(npz, survives_changed_bytes, .init = set_up, .fini = tear_down)
{
    char bytes[sizeof(numpy_deflated)];
    for (size_t at = 0; at < sizeof(bytes) - 1; at++) {
        for (unsigned change = 1; change < 256; change <<= 1) {
            struct muster_named_array *arrays;
            size_t count;
            memcpy(bytes, numpy_deflated, sizeof(bytes));
            bytes[at] = (char)(bytes[at] ^ (char)change);
            put_file(bytes, sizeof(bytes) - 1);
            enum muster_status status = muster_npz_read(path, 1 << 20, &arrays, &count, NULL);
            cr_assert(status == MUSTER_OK || status == MUSTER_FORMAT || status == MUSTER_TOO_BIG ||
                          status == MUSTER_IO,
                      "byte %zu: %s", at, muster_status_name(status));
            free(arrays);
        }
    }
}

Test(npz, is_a_file, .init = set_up, .fini = tear_down)
{
    unlink(path);
    expect_refused(MUSTER_IO, "opening: No such file or directory");
    cr_assert_eq(mkfifo(path, 0600), 0);
    expect_refused(MUSTER_IO, "not a regular file");
}
