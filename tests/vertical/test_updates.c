/* The updates that a master keeps in files: what is read after a death, and what is not kept for ever. */
#include <config.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "learning/vertical/updates.h"
#include "vertical/ensemble.h"

enum { OUTPUTS = 2, ROWS = 3 };

static struct muster_error error;

static void open_updates(struct muster__vertical_updates *updates, const char *folder)
{
    cr_assert_eq(muster__vertical_updates_open(updates, folder, OUTPUTS, &error), MUSTER_OK, "%s",
                 error.text);
}

static void add(struct muster__vertical_updates *updates, uint64_t first, uint64_t last)
{
    for (uint64_t step = first; step <= last; step++) {
        double residual[ROWS * OUTPUTS];
        for (size_t i = 0; i < ROWS * OUTPUTS; i++)
            residual[i] = (double)(100 * step + i);
        enum muster_status status = muster__vertical_updates_add(updates, step, residual, ROWS, &error);
        cr_assert_eq(status, MUSTER_OK, "%s", error.text);
    }
}

static void expect_kept(const struct muster__vertical_updates *updates, uint64_t first, uint64_t last)
{
    cr_assert_eq(updates->last, last, "%zu", (size_t)updates->last);
    cr_assert_null(muster__vertical_updates_find(updates, first - 1));
    cr_assert_null(muster__vertical_updates_find(updates, last + 1));
    for (uint64_t step = first; step <= last; step++) {
        const struct muster__vertical_update *update = muster__vertical_updates_find(updates, step);
        cr_assert_not_null(update, "%zu", (size_t)step);
        cr_assert_eq(update->step, step);
        cr_assert_eq(update->rows, ROWS);
        cr_assert_eq(update->residual[ROWS * OUTPUTS - 1], (double)(100 * step + ROWS * OUTPUTS - 1));
    }
}

/* What another process would read. */
static void open_again(struct muster__vertical_updates *updates, const char *folder)
{
    muster__vertical_updates_close(updates);
    open_updates(updates, folder);
}

static void begin(struct muster__vertical_updates *updates, char folder[64])
{
    ensemble_folder(folder);
    open_updates(updates, folder);
}

static void end(struct muster__vertical_updates *updates, const char *folder)
{
    muster__vertical_updates_close(updates);
    ensemble_remove(folder);
}

static size_t count_files(const char *folder)
{
    size_t count = 0;
    DIR *directory = opendir(folder);
    cr_assert_not_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));)
        count += strncmp(entry->d_name, "updates-", 8) == 0;
    closedir(directory);
    return count;
}

static void damage(const char *folder, uint64_t first, long at)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/updates-%020zu", folder, (size_t)first);
    FILE *file = fopen(path, "r+b");
    cr_assert_not_null(file, "%s", path);
    if (at < 0) {
        fseek(file, 0, SEEK_END);
        cr_assert_eq(ftruncate(fileno(file), ftell(file) + at), 0);
    } else {
        fseek(file, at, SEEK_SET);
        fputc(0x55, file);
    }
    fclose(file);
}

ENSEMBLE_TEST(updates, are_read_again)
{
    struct muster__vertical_updates updates;
    char folder[64];
    begin(&updates, folder);
    add(&updates, 1, 5);
    open_again(&updates, folder);
    expect_kept(&updates, 1, 5);
    add(&updates, 6, 7);
    open_again(&updates, folder);
    expect_kept(&updates, 1, 7);
    cr_assert_eq(muster__vertical_updates_clear(&updates, &error), MUSTER_OK);
    add(&updates, 1, 2);
    open_again(&updates, folder);
    expect_kept(&updates, 1, 2);
    end(&updates, folder);
}

/* What followed it failed then. */
ENSEMBLE_TEST(updates, are_added_once)
{
    struct muster__vertical_updates updates;
    char folder[64];
    begin(&updates, folder);
    add(&updates, 1, 2);
    add(&updates, 2, 4);
    expect_kept(&updates, 1, 4);
    open_again(&updates, folder);
    expect_kept(&updates, 1, 4);
    end(&updates, folder);
}

ENSEMBLE_TEST(updates, go_when_nobody_needs_them)
{
    struct muster__vertical_updates updates;
    char folder[64];
    begin(&updates, folder);
    for (uint64_t i = 0; i < 5; i++) {
        add(&updates, 10 * i + 1, 10 * i + 10);
        cr_assert_eq(muster__vertical_updates_sync(&updates, &error), MUSTER_OK, "%s", error.text);
    }
    cr_assert_eq(count_files(folder), 6);
    muster__vertical_updates_forget(&updates, 25);
    expect_kept(&updates, 26, 50);
    cr_assert_eq(count_files(folder), 4);
    add(&updates, 51, 53);
    open_again(&updates, folder);
    expect_kept(&updates, 21, 53);
    muster__vertical_updates_forget(&updates, 53);
    cr_assert_eq(updates.last, 53);
    add(&updates, 54, 54);
    expect_kept(&updates, 54, 54);
    end(&updates, folder);
}

/* Of a write that a death cut, and of a disk that lost some: what was before stays, what comes after is not
 * believed. */
ENSEMBLE_TEST(updates, end_where_they_are_damaged)
{
    struct muster__vertical_updates updates;
    char folder[64];
    const long size = 32 + (long)sizeof(double[ROWS * OUTPUTS]);
    begin(&updates, folder);
    add(&updates, 1, 3);
    cr_assert_eq(muster__vertical_updates_sync(&updates, &error), MUSTER_OK);
    add(&updates, 4, 6);
    muster__vertical_updates_close(&updates);
    damage(folder, 4, -7);
    open_updates(&updates, folder);
    expect_kept(&updates, 1, 5);
    add(&updates, 6, 6);
    muster__vertical_updates_close(&updates);
    damage(folder, 1, 2 * size + 40);
    open_updates(&updates, folder);
    expect_kept(&updates, 1, 2);
    add(&updates, 3, 4);
    open_again(&updates, folder);
    expect_kept(&updates, 1, 4);
    end(&updates, folder);
}

/* A checkpoint is later than all that is left of the updates: the run goes on behind it. */
ENSEMBLE_TEST(updates, stay_after_those_that_were_cleared)
{
    struct muster__vertical_updates updates;
    char folder[64];
    begin(&updates, folder);
    add(&updates, 1, 5);
    open_again(&updates, folder);
    cr_assert_eq(muster__vertical_updates_clear(&updates, &error), MUSTER_OK);
    add(&updates, 11, 20);
    cr_assert_eq(muster__vertical_updates_sync(&updates, &error), MUSTER_OK);
    add(&updates, 21, 22);
    muster__vertical_updates_forget(&updates, 15);
    expect_kept(&updates, 16, 22);
    open_again(&updates, folder);
    expect_kept(&updates, 11, 22);
    end(&updates, folder);
}
