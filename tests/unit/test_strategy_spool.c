/* Answers on disk: the file, a full disk, and a file that somebody else changes. */
#include <config.h>

#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit/strategy.h"

static char folder[64], path[96];

static void make_folder(void)
{
    snprintf(folder, sizeof(folder), "strategy-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/answers.spool", folder);
}

static void remove_folder(void)
{
    unlink(path);
    rmdir(folder);
}

static enum muster_status make(struct muster_strategy **strategy, struct muster_error *error)
{
    struct muster_strategy_options options;
    muster_strategy_options_init(&options);
    options.name = "median";
    options.directory = folder;
    return muster_strategy_new(&options, &small_model, strategy, error);
}

Test(strategy_spool, one_file_is_overwritten_and_removed, .init = make_folder, .fini = remove_folder)
{
    struct muster_strategy *strategy;
    struct stat before, after;
    cr_assert_eq(make(&strategy, NULL), MUSTER_OK);
    for (unsigned round = 0; round < 3; round++) {
        add_values(strategy, (const float[]){3, 8, (float)round + 4}, 3);
        step(strategy);
        cr_assert_eq(first_number(strategy), (float)round + 4);
        cr_assert_eq(stat(path, &after), 0);
        cr_assert_eq(after.st_mode & 0777, 0600);
        if (round > 0)
            cr_assert(before.st_ino == after.st_ino && before.st_size == after.st_size);
        before = after;
    }
    muster_strategy_free(strategy);
    cr_assert_neq(stat(path, &after), 0);
}

/* As a killed process leaves it. */
Test(strategy_spool, what_lies_there_is_overwritten, .init = make_folder, .fini = remove_folder)
{
    struct muster_strategy *strategy;
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    for (int i = 0; i < 10000; i++)
        fputs("rubbish ", file);
    fclose(file);
    cr_assert_eq(make(&strategy, NULL), MUSTER_OK);
    add_values(strategy, (const float[]){3, 8, 5}, 3);
    step(strategy);
    cr_assert_eq(first_number(strategy), 5);
    muster_strategy_free(strategy);
}

Test(strategy_spool, a_link_is_not_followed, .init = make_folder, .fini = remove_folder)
{
    struct muster_strategy *strategy;
    struct muster_error error;
    cr_assert_eq(symlink("/dev/null", path), 0);
    cr_assert_eq(make(&strategy, &error), MUSTER_IO);
    cr_assert_null(strategy);
    cr_assert_not_null(strstr(error.text, "answers.spool: making a file for answers: "));
}

Test(strategy_spool, there_has_to_be_a_directory, .init = make_folder, .fini = remove_folder)
{
    struct muster_strategy *strategy;
    struct muster_error error;
    rmdir(folder);
    cr_assert_eq(make(&strategy, &error), MUSTER_IO);
    cr_assert_not_null(strstr(error.text, "making a file for answers: No such file or directory"));
    setenv("TMPDIR", folder, 1);
    struct muster_strategy_options options;
    muster_strategy_options_init(&options);
    options.name = "krum";
    cr_assert_eq(muster_strategy_new(&options, &small_model, &strategy, &error), MUSTER_IO);
    unsetenv("TMPDIR");
}

/* The answer that did not fit is gone, and others are still welcome. */
Test(strategy_spool, a_full_disk_refuses_an_answer, .init = make_folder, .fini = remove_folder)
{
    struct muster_strategy *strategy;
    struct muster_error error;
    struct rlimit limit, small;
    cr_assert_eq(make(&strategy, NULL), MUSTER_OK);
    add_values(strategy, (const float[]){3, 4}, 2);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 3000; /* the third one begins below that, and does not end there */
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    cr_assert_eq(add_value(strategy, 90, &error), MUSTER_IO);
    cr_assert_not_null(strstr(error.text, "answers.spool: keeping an answer: File too large"));
    cr_assert_eq(muster_strategy_answers(strategy), 2);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    signal(SIGXFSZ, handler);
    add_values(strategy, (const float[]){5}, 1);
    step(strategy);
    cr_assert_eq(first_number(strategy), 4);
    muster_strategy_free(strategy);
}

Test(strategy_spool, a_file_that_became_shorter_makes_the_round_void, .init = make_folder,
     .fini = remove_folder)
{
    struct muster_strategy *strategy;
    struct muster_error error;
    cr_assert_eq(make(&strategy, NULL), MUSTER_OK);
    add_values(strategy, (const float[]){3, 4, 5}, 3);
    cr_assert_eq(truncate(path, 3000), 0);
    cr_assert_eq(muster_strategy_step(strategy, 0, &error), MUSTER_IO);
    cr_assert_not_null(strstr(error.text, "somebody made the file of answers shorter"));
    cr_assert_eq(first_number(strategy), 1);
    cr_assert_eq(muster_strategy_answers(strategy), 0);
    add_values(strategy, (const float[]){3, 4, 5}, 3);
    step(strategy);
    cr_assert_eq(first_number(strategy), 4);
    muster_strategy_free(strategy);
}
