/* Files of .npy: whole or not there, whatever the disk does. */
#include <config.h>

#include <criterion/criterion.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <muster/npy.h>

#include "unit/npy.h"

/* A new folder, whose name the caller frees; remove_folder() removes it. */
static char *new_folder(void)
{
    const char *parent = getenv("TMPDIR");
    char *folder = NULL;
    cr_assert_gt(asprintf(&folder, "%s/muster-npy-XXXXXX", parent ? parent : "/tmp"), 0);
    cr_assert_not_null(mkdtemp(folder));
    return folder;
}

static char *path_in(const char *folder, const char *name)
{
    char *path = NULL;
    cr_assert_gt(asprintf(&path, "%s/%s", folder, name), 0);
    return path;
}

/* How many files there are in a folder, hidden ones too. */
static size_t count_files(const char *folder)
{
    DIR *listing = opendir(folder);
    cr_assert_not_null(listing);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(listing));) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            count++;
    }
    closedir(listing);
    return count;
}

/* Removes the file, and the folder, which has to be empty then; frees both names. */
static void remove_folder(char *folder, char *path)
{
    if (path)
        cr_assert_eq(remove(path), 0);
    cr_assert_eq(rmdir(folder), 0, "the folder is not empty");
    free(path);
    free(folder);
}

static void put_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(bytes, 1, size, file), size);
    cr_assert_eq(fclose(file), 0);
}

static void expect_file(const char *path, const struct muster_array *expected)
{
    struct muster_array array;
    struct muster_error error = {.text = ""};
    void *storage = NULL;
    cr_assert_eq(muster_npy_read(path, &array, &storage, &error), MUSTER_OK, "%s", error.text);
    cr_assert(same_shape(&array, expected));
    if (data_size(expected) > 0)
        cr_assert_eq(memcmp(array.data, expected->data, data_size(expected)), 0);
    free(storage);
}

Test(npy_file, round_trip_replacing_what_is_there)
{
    char *folder = new_folder();
    char *path = path_in(folder, "array.npy");
    for (size_t i = 0; i < FROM_NUMPY_COUNT; i++) {
        cr_assert_eq(muster_npy_write(path, &from_numpy[i].array, NULL), MUSTER_OK);
        cr_assert_eq(count_files(folder), 1);
        expect_file(path, &from_numpy[i].array);
        put_file(path, from_numpy[i].bytes, from_numpy[i].size);
        expect_file(path, &from_numpy[i].array);
    }
    remove_folder(folder, path);
}

Test(npy_file, writes_into_the_current_folder)
{
    char *folder = new_folder();
    char *path = path_in(folder, "plain.npy");
    int before = open(".", O_RDONLY | O_DIRECTORY);
    cr_assert_geq(before, 0);
    cr_assert_eq(chdir(folder), 0);
    enum muster_status status = muster_npy_write("plain.npy", &from_numpy[0].array, NULL);
    cr_assert_eq(fchdir(before), 0);
    close(before);
    cr_assert_eq(status, MUSTER_OK);
    expect_file(path, &from_numpy[0].array);
    remove_folder(folder, path);
}

Test(npy_file, mode_follows_the_umask)
{
    char *folder = new_folder();
    char *path = path_in(folder, "array.npy");
    mode_t before = umask(027);
    enum muster_status status = muster_npy_write(path, &from_numpy[0].array, NULL);
    umask(before);
    cr_assert_eq(status, MUSTER_OK);
    struct stat information;
    cr_assert_eq(stat(path, &information), 0);
    cr_assert_eq(information.st_mode & 0777, 0640);
    remove_folder(folder, path);
}

static void expect_not_written(const char *path, enum muster_status expected, const char *text)
{
    struct muster_error error = {.text = ""};
    cr_assert_eq(muster_npy_write(path, &from_numpy[0].array, &error), expected, "%s: %s", path, error.text);
    cr_assert_eq(error.status, expected);
    cr_assert(strstr(error.text, text) != NULL, "expected '%s', got '%s'", text, error.text);
    cr_assert_eq(muster_npy_write(path, &from_numpy[0].array, NULL), expected);
}

Test(npy_file, says_why_it_cannot_be_written)
{
    char *folder = new_folder();
    char *missing = path_in(folder, "missing/array.npy");
    char *occupied = path_in(folder, "occupied");
    char *slash = path_in(folder, "");
    cr_assert_eq(mkdir(occupied, 0700), 0);
    expect_not_written(missing, MUSTER_IO,
                       "missing/array.npy: opening its folder: No such file or directory");
    expect_not_written(occupied, MUSTER_IO, "occupied: moving the temporary file there: Is a directory");
    expect_not_written(slash, MUSTER_INVALID, "no name");
    expect_not_written("", MUSTER_INVALID, "no name");
    cr_assert_eq(count_files(folder), 1, "a temporary file was left behind");
    free(missing);
    free(slash);
    remove_folder(folder, occupied);
}

Test(npy_file, keeps_the_old_one_when_the_disk_is_full)
{
    char *folder = new_folder();
    char *path = path_in(folder, "array.npy");
    cr_assert_eq(muster_npy_write(path, &from_numpy[0].array, NULL), MUSTER_OK);

    /* A limit on the size of files stands in for a full disk: the header fits, the data does not. */
    static const double values[100000];
    const struct muster_array big = {MUSTER_FLOAT64, 1, {100000}, values};
    struct rlimit before;
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit limit = {5000, before.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    struct muster_error error = {.text = ""};
    enum muster_status status = muster_npy_write(path, &big, &error);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);

    cr_assert_eq(status, MUSTER_IO);
    cr_assert(strstr(error.text, "array.npy: writing: File too large") != NULL, "%s", error.text);
    cr_assert_eq(count_files(folder), 1, "a temporary file was left behind");
    expect_file(path, &from_numpy[0].array);
    remove_folder(folder, path);
}

Test(npy_file, refuses_to_write_an_invalid_array)
{
    char *folder = new_folder();
    char *path = path_in(folder, "array.npy");
    struct muster_array array = {MUSTER_FLOAT32, 1, {1}, NULL};
    struct muster_error error = {.text = ""};
    cr_assert_eq(muster_npy_write(path, &array, &error), MUSTER_INVALID);
    cr_assert_eq(error.status, MUSTER_INVALID);
    cr_assert(strstr(error.text, "its data is NULL") != NULL);
    free(path);
    remove_folder(folder, NULL);
}

static void expect_not_read(const char *path, enum muster_status expected, const char *text)
{
    struct muster_array array;
    struct muster_error error = {.text = ""};
    void *storage = NULL;
    cr_assert_eq(muster_npy_read(path, &array, &storage, &error), expected, "%s: %s", path, error.text);
    cr_assert_eq(error.status, expected);
    cr_assert(strstr(error.text, text) != NULL, "expected '%s', got '%s'", text, error.text);
    cr_assert_null(storage);
    cr_assert_eq(muster_npy_read(path, &array, &storage, NULL), expected);
}

Test(npy_file, says_why_it_cannot_be_read)
{
    char *folder = new_folder();
    char *path = path_in(folder, "array.npy");
    expect_not_read(path, MUSTER_IO, "array.npy: opening: No such file or directory");
    expect_not_read(folder, MUSTER_IO, "not a regular file");
    cr_assert_eq(mkfifo(path, 0600), 0);
    expect_not_read(path, MUSTER_IO, "not a regular file");
    cr_assert_eq(unlink(path), 0);
    put_file(path, "", 0);
    expect_not_read(path, MUSTER_FORMAT, "array.npy: not an npy array");
    put_file(path, from_numpy[0].bytes, from_numpy[0].size - 1);
    expect_not_read(path, MUSTER_FORMAT, "12 bytes of data, but there are 11");
    put_file(path, from_numpy[0].bytes, from_numpy[0].size + 1);
    expect_not_read(path, MUSTER_FORMAT, "12 bytes of data, but there are 13");
    remove_folder(folder, path);
}

Test(npy_file, a_header_that_promises_much_takes_nothing)
{
    char *folder = new_folder();
    char *path = path_in(folder, "array.npy");
    size_t size;
    uint8_t *bytes =
        built(1, "{'descr': '<f8', 'fortran_order': True, 'shape': (1000000, 1000000)}", "", 0, &size);
    put_file(path, bytes, size);
    free(bytes);
    expect_not_read(path, MUSTER_FORMAT, "8000000000000 bytes of data, but there are 0");
    remove_folder(folder, path);
}

Test(npy_file, a_long_path_leaves_room_for_the_reason)
{
    char path[1024];
    memset(path, 'a', sizeof(path));
    memcpy(path, "/missing/", 9);
    memcpy(path + sizeof(path) - 9, "/end.npy", 9);
    struct muster_array array;
    struct muster_error error;
    void *storage;
    cr_assert_eq(muster_npy_read(path, &array, &storage, &error), MUSTER_IO);
    cr_assert_eq(memcmp(error.text, "...a", 4), 0, "%s", error.text);
    cr_assert(strstr(error.text, "/end.npy: opening: ") != NULL, "%s", error.text);
    cr_assert_gt(strlen(strstr(error.text, "opening: ")), strlen("opening: "));
}
