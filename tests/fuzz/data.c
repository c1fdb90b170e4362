/* The folder of the targets that load datasets, and what holds of all that was loaded. */
#include <config.h>

#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "fuzz/data.h"

static char folder[4096];

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *place)
{
    (void)about;
    (void)kind;
    (void)place;
    return remove(path);
}

static void remove_folder(void)
{
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *data_folder(void)
{
    if (folder[0])
        return folder;
    const char *parent = getenv("TMPDIR");
    char inner[sizeof(folder) + 8];
    snprintf(folder, sizeof(folder), "%s/muster-fuzz-XXXXXX", parent ? parent : "/tmp");
    CHECK(mkdtemp(folder));
    atexit(remove_folder);
    snprintf(inner, sizeof(inner), "%s/train", folder);
    CHECK(mkdir(inner, 0700) == 0);
    snprintf(inner, sizeof(inner), "%s/test", folder);
    CHECK(mkdir(inner, 0700) == 0);
    return folder;
}

void data_write(const char *name, struct input bytes)
{
    char path[sizeof(folder) + 64];
    snprintf(path, sizeof(path), "%s/%s", data_folder(), name);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(file >= 0);
    CHECK(write(file, bytes.at, bytes.left) == (ssize_t)bytes.left);
    close(file);
}

struct input data_take(struct input *input, uint8_t separator)
{
    const uint8_t *end = input->left ? memchr(input->at, separator, input->left) : NULL;
    struct input part = take_bytes(input, end ? (size_t)(end - input->at) : input->left);
    if (end)
        take_byte(input);
    return part;
}

static void check_samples(const struct dataset *dataset, struct samples samples)
{
    for (size_t i = 0; i < samples.count; i++) {
        CHECK(samples.y[i] >= 0 && (size_t)samples.y[i] < dataset->classes);
        for (size_t j = 0; j < dataset->features; j++)
            CHECK(isfinite(samples.x[i * dataset->features + j]));
    }
}

static void check(const struct dataset *dataset)
{
    CHECK(dataset->user_count > 0 && dataset->features > 0 && dataset->classes > 0);
    for (size_t i = 0; i < dataset->user_count; i++) {
        const struct dataset_user *user = &dataset->users[i];
        CHECK(user->train_first + user->train_count <= dataset->train.count &&
              user->test_first + user->test_count <= dataset->test.count);
        check_samples(dataset, dataset_user_train(dataset, i));
        check_samples(dataset, dataset_user_test(dataset, i));
    }
}

static void check_same(const struct dataset *dataset, struct samples a, struct samples b)
{
    CHECK(a.count == b.count);
    if (a.count == 0)
        return;
    CHECK(memcmp(a.y, b.y, a.count * sizeof(*a.y)) == 0);
    CHECK(memcmp(a.x, b.x, a.count * dataset->features * sizeof(*a.x)) == 0);
}

void data_load(struct dataset_options *options, size_t only)
{
    struct dataset all, one;
    struct muster_error error = {MUSTER_OK, ""};
    options->only = DATASET_EVERYONE;
    enum muster_status status = dataset_load(options, &all, &error);
    options->only = only;
    enum muster_status again = dataset_load(options, &one, &error);
    CHECK(again == MUSTER_OK || error.text[0]);
    if (again == MUSTER_OK)
        check(&one);
    if (status != MUSTER_OK) { /* one's own share may be right where another's is not */
        if (again == MUSTER_OK)
            dataset_free(&one);
        return;
    }
    CHECK((again == MUSTER_OK) == (only < all.user_count));
    check(&all);
    if (again == MUSTER_OK) {
        CHECK(one.user_count == all.user_count && one.features == all.features && one.classes == all.classes);
        check_same(&all, dataset_user_train(&all, only), dataset_user_train(&one, only));
        check_same(&all, dataset_user_test(&all, only), dataset_user_test(&one, only));
        dataset_free(&one);
    }
    dataset_free(&all);
}
