/*
 * Arrays in .npz files: zip archives of .npy files, by libzip. An archive that is read may come from
 * anywhere, and nothing that it says of itself is believed before it is within the limits below.
 */
#include <config.h>

#include "learning/npz.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

#include "file.h"
#include "wire/wire.h"

#define SUFFIX ".npy"

enum {
    NAME_LENGTH_MAX = 255,  /* of an array's name */
    INFLATION_MAX = 1032,   /* what deflate makes at most of a byte */
    TABLE_ENTRY_MAX = 1024, /* what an archive's table holds of one array, with room for extra fields */
    ALIGNMENT = 16,
};

/* ---- errors ---- */

static enum muster_status zip_status(const zip_error_t *failure)
{
    switch (zip_error_code_zip(failure)) {
    case ZIP_ER_MEMORY:
        return MUSTER_OUT_OF_MEMORY;
    case ZIP_ER_OPEN:
    case ZIP_ER_READ:
    case ZIP_ER_SEEK:
    case ZIP_ER_TELL:
    case ZIP_ER_WRITE:
        return MUSTER_IO;
    default:
        return MUSTER_FORMAT;
    }
}

static enum muster_status fail_zip(struct muster_error *error, const char *path, zip_error_t *failure)
{
    return muster__file_error(error, zip_status(failure), path, zip_error_strerror(failure));
}

static enum muster_status fail_entry(struct muster_error *error, enum muster_status status, const char *path,
                                     zip_uint64_t index, const char *why)
{
    char text[MUSTER_ERROR_TEXT_SIZE + 32];
    snprintf(text, sizeof(text), "entry %llu: %s", (unsigned long long)index, why);
    return muster__file_error(error, status, path, text);
}

/* ---- names ---- */

/* A name must not lead anybody who unpacks the archive to another folder, nor upset a terminal. */
static bool is_name(const char *name, size_t length)
{
    if (length == 0 || length > NAME_LENGTH_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)name[i] < ' ' || strchr("/\\\177", name[i]))
            return false;
    }
    return true;
}

/* ---- writing ---- */

enum muster_status muster__npz_check(const struct npz *npz, const char *path, struct muster_error *error)
{
    if (npz->count == 0 || npz->count > MUSTER_NPZ_ARRAYS_MAX)
        return muster__file_error(error, MUSTER_INVALID, path, "there are no arrays, or too many");
    for (size_t i = 0; i < npz->count; i++) {
        const char *name = npz->arrays[i].name;
        const char *fault = muster__array_fault(&npz->arrays[i].array);
        if (!name || !is_name(name, strlen(name)))
            return fail_entry(error, MUSTER_INVALID, path, i, "this is no name for an array");
        if (fault)
            return fail_entry(error, MUSTER_INVALID, path, i, fault);
    }
    return MUSTER_OK;
}

/* The file that libzip writes to. Only writing can fail: libzip leaks when asking for the place does. */
struct sink {
    int file;
    int number; /* errno of the first failure; libzip does not hand on every one as it was */
    zip_uint64_t at, size;
    zip_error_t failure;
};

static zip_int64_t sink_failed(struct sink *sink, int code, int number)
{
    zip_error_set(&sink->failure, code, number);
    return -1;
}

static zip_int64_t sink_write(struct sink *sink, const void *bytes, zip_uint64_t size)
{
    if (!muster__file_write(sink->file, sink->at, bytes, size)) {
        sink->number = sink->number == 0 ? errno : sink->number;
        return sink_failed(sink, ZIP_ER_WRITE, errno);
    }
    sink->at += size;
    if (sink->at > sink->size)
        sink->size = sink->at;
    return (zip_int64_t)size;
}

static zip_int64_t sink_seek(struct sink *sink, void *data, zip_uint64_t length)
{
    zip_int64_t to = zip_source_seek_compute_offset(sink->at, sink->size, data, length, &sink->failure);
    if (to < 0)
        return -1;
    sink->at = (zip_uint64_t)to;
    return 0;
}

/* What libzip asks of a file. There is nothing to read in it, and what is to become of it is not libzip's. */
static zip_int64_t sink_command(void *context, void *data, zip_uint64_t length, zip_source_cmd_t command)
{
    struct sink *sink = context;
    switch (command) {
    case ZIP_SOURCE_SUPPORTS:
        return ZIP_SOURCE_SUPPORTS_WRITABLE;
    case ZIP_SOURCE_STAT:
        return sink_failed(sink, ZIP_ER_READ, ENOENT);
    case ZIP_SOURCE_WRITE:
        return sink_write(sink, data, length);
    case ZIP_SOURCE_SEEK_WRITE:
        return sink_seek(sink, data, length);
    case ZIP_SOURCE_TELL_WRITE:
        return (zip_int64_t)sink->at;
    case ZIP_SOURCE_ERROR:
        return zip_error_to_data(&sink->failure, data, length);
    case ZIP_SOURCE_BEGIN_WRITE:
    case ZIP_SOURCE_COMMIT_WRITE:
    case ZIP_SOURCE_ROLLBACK_WRITE:
    case ZIP_SOURCE_FREE:
        return 0;
    default:
        return sink_failed(sink, ZIP_ER_OPNOTSUPP, 0);
    }
}

/* Adds an array by reference; its header is `header`. The same arrays always make the same archive. */
static bool add_array(zip_t *archive, const struct muster_named_array *named, uint8_t *header)
{
    const struct muster_array *array = &named->array;
    char name[NAME_LENGTH_MAX + sizeof(SUFFIX)];
    snprintf(name, sizeof(name), "%s" SUFFIX, named->name);
    muster__npy_write_header(array, header);
    size_t size = muster__array_size(array);
    const zip_buffer_fragment_t parts[] = {
        {header, MUSTER__NPY_HEADER_SIZE},
        {(zip_uint8_t *)(uintptr_t)array->data, size}, /* which is only read */
    };
    zip_source_t *source = zip_source_buffer_fragment(archive, parts, size > 0 ? 2 : 1, 0);
    if (!source)
        return false;
    zip_int64_t index = zip_file_add(archive, name, source, ZIP_FL_ENC_UTF_8);
    if (index < 0) {
        zip_source_free(source);
        return false;
    }
    const zip_uint16_t midnight = 0, first_of_1980 = 1 << 5 | 1;
    return zip_set_file_compression(archive, (zip_uint64_t)index, ZIP_CM_STORE, 0) == 0 &&
           zip_file_set_dostime(archive, (zip_uint64_t)index, midnight, first_of_1980, 0) == 0;
}

static zip_t *open_sink(struct sink *sink, zip_error_t *failure)
{
    zip_source_t *source = zip_source_function_create(sink_command, sink, failure);
    if (!source)
        return NULL;
    zip_t *archive = zip_open_from_source(source, ZIP_CREATE, failure);
    if (!archive)
        zip_source_free(source);
    return archive;
}

enum muster_status muster__npz_write(const void *context, int file, const char *path,
                                     struct muster_error *error)
{
    const struct npz *npz = context;
    struct sink sink = {.file = file};
    zip_error_t failure;
    zip_error_init(&sink.failure);
    zip_error_init(&failure);
    enum muster_status status = MUSTER_OK;
    uint8_t(*headers)[MUSTER__NPY_HEADER_SIZE] = calloc(npz->count, sizeof(*headers));
    zip_t *archive = headers ? open_sink(&sink, &failure) : NULL;
    bool written = archive != NULL;
    for (size_t i = 0; written && i < npz->count; i++)
        written = add_array(archive, &npz->arrays[i], headers[i]);
    written = written && zip_close(archive) == 0;
    if (!headers)
        status = muster__file_error(error, MUSTER_OUT_OF_MEMORY, path, "out of memory");
    else if (!archive)
        status = fail_zip(error, path, &failure);
    else if (!written)
        status = fail_zip(error, path, zip_get_error(archive));
    errno = sink.number;
    if (errno)
        status = muster__file_errno(error, path, "writing");
    /* What is left to blame is the caller: two arrays of one name, or a name that is not UTF-8. */
    if (status == MUSTER_FORMAT)
        status =
            muster__file_error(error, MUSTER_INVALID, path, "two arrays have one name, or it is not UTF-8");
    if (archive && !written)
        zip_discard(archive);
    zip_error_fini(&failure);
    zip_error_fini(&sink.failure);
    free(headers);
    return status;
}

enum muster_status muster_npz_write(const char *path, const struct muster_named_array *arrays, size_t count,
                                    struct muster_error *error)
{
    const struct npz npz = {arrays, count};
    enum muster_status status = muster__npz_check(&npz, path, error);
    return status == MUSTER_OK ? muster__file_replace(path, muster__npz_write, &npz, error) : status;
}

/* ---- reading ---- */

/* An archive being read. */
struct archive {
    zip_t *archive;
    const char *path;
    size_t file_size;
    size_t limit;  /* of all arrays together */
    size_t packed; /* bytes that the entries looked at so far take in the file */
    size_t names, data;
    struct muster_error *error;
};

static size_t aligned(size_t size)
{
    return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Length of the array's name in an entry's name; 0 when it is none. */
static size_t name_length(const char *name)
{
    size_t length = strlen(name);
    if (length <= strlen(SUFFIX) || strcmp(name + length - strlen(SUFFIX), SUFFIX) != 0)
        return 0;
    length -= strlen(SUFFIX);
    return is_name(name, length) ? length : 0;
}

/* What is wrong with the sizes that an entry states; NULL: nothing. */
static const char *wrong_sizes(struct archive *reader, const zip_stat_t *about)
{
    if (about->comp_size > reader->file_size - reader->packed)
        return "the archive says that more is in it than the file has";
    reader->packed += about->comp_size;
    if (about->comp_method == ZIP_CM_STORE && about->size != about->comp_size)
        return "it is stored, but its two sizes differ";
    if (about->size / INFLATION_MAX > about->comp_size)
        return "it says that it is bigger than its data can become";
    return NULL;
}

/* Looks at an entry before anything is read of it, and counts what it takes. */
static enum muster_status look_at(struct archive *reader, zip_uint64_t index)
{
    const zip_uint64_t needed = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD |
                                ZIP_STAT_ENCRYPTION_METHOD;
    zip_stat_t about;
    if (zip_stat_index(reader->archive, index, ZIP_FL_ENC_RAW, &about) != 0)
        return fail_zip(reader->error, reader->path, zip_get_error(reader->archive));
    const char *wrong = NULL;
    size_t length = 0;
    if ((about.valid & needed) != needed)
        wrong = "it does not say what it is";
    else if ((length = name_length(about.name)) == 0)
        wrong = "its name is not that of an array: NAME.npy, without slashes";
    else if (zip_name_locate(reader->archive, about.name, ZIP_FL_ENC_RAW) != (zip_int64_t)index)
        wrong = "an earlier one has the same name";
    else if (about.encryption_method != ZIP_EM_NONE ||
             (about.comp_method != ZIP_CM_STORE && about.comp_method != ZIP_CM_DEFLATE))
        wrong = "it is encrypted, or neither stored nor deflated";
    else
        wrong = wrong_sizes(reader, &about);
    if (wrong)
        return fail_entry(reader->error, MUSTER_FORMAT, reader->path, index, wrong);
    if (about.size > reader->limit - reader->data)
        return fail_entry(reader->error, MUSTER_TOO_BIG, reader->path, index,
                          "with it the arrays are bigger than the limit");
    reader->data += about.size;
    reader->names += length + 1;
    return MUSTER_OK;
}

/* Reads an entry, whose size must be what the archive says, and its checksum right. */
static enum muster_status unpack(struct archive *reader, zip_uint64_t index, uint8_t *bytes, size_t size)
{
    char beyond;
    zip_file_t *file = zip_fopen_index(reader->archive, index, 0);
    if (!file)
        return fail_zip(reader->error, reader->path, zip_get_error(reader->archive));
    size_t have = 0;
    zip_int64_t got = 1;
    while (have < size && (got = zip_fread(file, bytes + have, size - have)) > 0)
        have += (size_t)got;
    /* The checksum is looked at when the end is met. */
    zip_int64_t more = got < 0 ? -1 : zip_fread(file, &beyond, 1);
    enum muster_status status = MUSTER_OK;
    if (more < 0)
        status = fail_entry(reader->error, zip_status(zip_file_get_error(file)), reader->path, index,
                            zip_error_strerror(zip_file_get_error(file)));
    else if (more > 0 || have < size)
        status = fail_entry(reader->error, MUSTER_FORMAT, reader->path, index,
                            "the archive does not tell its real size");
    zip_fclose(file);
    return status;
}

static enum muster_status read_array(struct archive *reader, zip_uint64_t index,
                                     struct muster_named_array *named, char **names, uint8_t **bytes)
{
    zip_stat_t about;
    struct muster_error reason;
    if (zip_stat_index(reader->archive, index, ZIP_FL_ENC_RAW, &about) != 0)
        return fail_zip(reader->error, reader->path, zip_get_error(reader->archive));
    enum muster_status status = unpack(reader, index, *bytes, about.size);
    if (status != MUSTER_OK)
        return status;
    status = muster__npy_parse(*bytes, about.size, &named->array, &reason);
    if (status != MUSTER_OK)
        return fail_entry(reader->error, status, reader->path, index, reason.text);
    size_t length = name_length(about.name);
    memcpy(*names, about.name, length);
    (*names)[length] = '\0';
    named->name = *names;
    *names += length + 1;
    *bytes += aligned(about.size);
    return MUSTER_OK;
}

/* Reads all arrays into one piece of memory: the list, the arrays, the names. */
static enum muster_status read_arrays(struct archive *reader, size_t count,
                                      struct muster_named_array **result)
{
    size_t list = aligned(count * sizeof(**result));
    size_t padded = reader->data + count * ALIGNMENT;
    struct muster_named_array *arrays = padded > SIZE_MAX / 2 ? NULL : malloc(list + padded + reader->names);
    if (!arrays)
        return muster__file_error(reader->error, MUSTER_OUT_OF_MEMORY, reader->path, "out of memory");
    uint8_t *bytes = (uint8_t *)arrays + list;
    char *names = (char *)bytes + padded;
    enum muster_status status = MUSTER_OK;
    for (size_t i = 0; status == MUSTER_OK && i < count; i++)
        status = read_array(reader, i, &arrays[i], &names, &bytes);
    if (status == MUSTER_OK)
        *result = arrays;
    else
        free(arrays);
    return status;
}

static enum muster_status read_archive(struct archive *reader, struct muster_named_array **arrays,
                                       size_t *count)
{
    zip_int64_t entries = zip_get_num_entries(reader->archive, 0);
    if (entries <= 0 || entries > MUSTER_NPZ_ARRAYS_MAX)
        return muster__file_error(reader->error, MUSTER_FORMAT, reader->path,
                                  "the archive is empty, or it holds too many arrays");
    enum muster_status status = MUSTER_OK;
    for (zip_uint64_t i = 0; status == MUSTER_OK && i < (zip_uint64_t)entries; i++)
        status = look_at(reader, i);
    if (status == MUSTER_OK)
        status = read_arrays(reader, (size_t)entries, arrays);
    if (status == MUSTER_OK)
        *count = (size_t)entries;
    return status;
}

enum muster_status muster__npz_read(int file, size_t size, const char *path, size_t limit,
                                    struct muster_named_array **arrays, size_t *count,
                                    struct muster_error *error)
{
    *arrays = NULL;
    *count = 0;
    /* libzip reads the whole table at once. A file that is no bigger than this has no huge one. */
    const size_t table = (size_t)MUSTER_NPZ_ARRAYS_MAX * TABLE_ENTRY_MAX;
    int code = 0;
    enum muster_status status;
    zip_t *archive = NULL;
    if (size > table && size - table > limit)
        status = muster__file_error(error, MUSTER_TOO_BIG, path, "the file is bigger than the limit");
    else if (!(archive = zip_fdopen(file, ZIP_RDONLY, &code))) {
        zip_error_t failure;
        zip_error_init_with_code(&failure, code);
        status = fail_zip(error, path, &failure);
        zip_error_fini(&failure);
    } else {
        struct archive reader = {
            .archive = archive, .path = path, .file_size = size, .limit = limit, .error = error};
        status = read_archive(&reader, arrays, count);
        zip_discard(archive);
    }
    if (!archive)
        close(file);
    return status;
}

enum muster_status muster_npz_read(const char *path, size_t limit, struct muster_named_array **arrays,
                                   size_t *count, struct muster_error *error)
{
    int file;
    size_t size;
    *arrays = NULL;
    *count = 0;
    enum muster_status status = muster__file_open(AT_FDCWD, path, path, &file, &size, error);
    return status == MUSTER_OK ? muster__npz_read(file, size, path, limit, arrays, count, error) : status;
}

const struct muster_array *muster_npz_find(const struct muster_named_array *arrays, size_t count,
                                           const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(arrays[i].name, name) == 0)
            return &arrays[i].array;
    }
    return NULL;
}
