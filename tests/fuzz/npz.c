/* Reading .npz: the input is an archive, or what is in the entries of one that libzip writes, as checksums
   keep the fuzzer out otherwise. */
#include <config.h>

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zip.h>

#include "fuzz/fuzz.h"
#include "learning/npz.h"

enum { LIMIT = 1 << 20, ENTRIES_MAX = 8, NAME_MAX_SIZE = 16 };

static int file_of(const void *bytes, size_t size)
{
    int file = memfd_create("npz", 0);
    CHECK(file >= 0 && write(file, bytes, size) == (ssize_t)size && lseek(file, 0, SEEK_SET) == 0);
    return file;
}

/* ---- an archive by libzip ---- */

static void add_entry(zip_t *archive, struct input *input)
{
    char name[NAME_MAX_SIZE + 5] = "";
    uint8_t flags = take_byte(input);
    struct input text = take_bytes(input, flags % NAME_MAX_SIZE);
    if (text.left)
        memcpy(name, text.at, text.left);
    if (flags & 0x40)
        strcat(name, ".npy");
    struct input bytes = take_bytes(input, take_size(input));
    zip_source_t *source = zip_source_buffer(archive, bytes.at, bytes.left, 0);
    CHECK(source);
    zip_int64_t index = zip_file_add(archive, name, source, 0);
    if (index < 0)
        zip_source_free(source);
    else
        zip_set_file_compression(archive, (zip_uint64_t)index, flags & 0x80 ? ZIP_CM_DEFLATE : ZIP_CM_STORE,
                                 1);
}

/* The archive's file; -1: there is none. */
static int make_archive(struct input *input, size_t *size)
{
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t *source = zip_source_buffer_create(NULL, 0, 0, &error);
    CHECK(source);
    zip_source_keep(source);
    zip_t *archive = zip_open_from_source(source, ZIP_TRUNCATE, &error);
    CHECK(archive);
    for (size_t i = 0; i < ENTRIES_MAX && input->left; i++)
        add_entry(archive, input);
    int file = -1;
    zip_stat_t about;
    if (zip_close(archive) != 0) {
        zip_discard(archive);
    } else if (zip_source_stat(source, &about) == 0 && zip_source_open(source) == 0) {
        uint8_t *bytes = malloc(about.size + 1);
        CHECK(bytes && zip_source_read(source, bytes, about.size) == (zip_int64_t)about.size);
        file = file_of(bytes, about.size);
        *size = about.size;
        free(bytes);
        zip_source_close(source);
    }
    zip_source_free(source);
    zip_error_fini(&error);
    return file;
}

/* ---- what was read ---- */

static size_t data_size(const struct muster_array *array)
{
    return muster_array_count(array) * muster_dtype_size(array->dtype);
}

static void check_again(const struct muster_named_array *arrays, size_t count)
{
    const struct npz npz = {arrays, count};
    struct muster_named_array *again;
    size_t again_count;
    CHECK(muster__npz_check(&npz, "npz", NULL) == MUSTER_OK);
    int file = file_of("", 0);
    enum muster_status status = muster__npz_write(&npz, file, "npz", NULL);
    CHECK(status == MUSTER_OK || status == MUSTER_INVALID); /* of a name that is not UTF-8 */
    if (status != MUSTER_OK) {
        close(file);
        return;
    }
    size_t size = (size_t)lseek(file, 0, SEEK_END);
    CHECK(muster__npz_read(file, size, "npz", SIZE_MAX, &again, &again_count, NULL) == MUSTER_OK);
    CHECK(again_count == count);
    for (size_t i = 0; i < count; i++) {
        const struct muster_array *array = muster_npz_find(again, count, arrays[i].name);
        CHECK(array && array->dtype == arrays[i].array.dtype &&
              array->dimensions == arrays[i].array.dimensions &&
              memcmp(array->shape, arrays[i].array.shape, sizeof(array->shape)) == 0 &&
              memcmp(array->data, arrays[i].array.data, data_size(array)) == 0);
    }
    free(again);
}

static void read_npz(int file, size_t size)
{
    struct muster_named_array *arrays;
    size_t count, total = 0;
    struct muster_error error = {MUSTER_OK, ""};
    enum muster_status status = muster__npz_read(file, size, "npz", LIMIT, &arrays, &count, &error);
    if (status != MUSTER_OK) {
        CHECK(!arrays && count == 0 && error.status == status && error.text[0]);
        return;
    }
    CHECK(count > 0 && count <= MUSTER_NPZ_ARRAYS_MAX);
    for (size_t i = 0; i < count; i++) {
        CHECK(muster_npz_find(arrays, count, arrays[i].name) == &arrays[i].array);
        total += data_size(&arrays[i].array);
    }
    CHECK(total <= LIMIT);
    check_again(arrays, count);
    free(arrays);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool archive = size >= 2 && data[0] == 'P' && data[1] == 'K';
    struct input input = {data, size};
    int file = archive ? file_of(data, size) : make_archive(&input, &size);
    if (file >= 0)
        read_npz(file, size);
    return 0;
}
