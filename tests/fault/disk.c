/*
 * Run directories on a disk that fails: every call that reaches it fails in turn, the process is killed
 * before each of them and in the middle of each write, and the power is cut there. Each time the run has to
 * open again, as it was after its last completed round.
 *
 * The linker puts the functions below in the place of the C library's. For a power cut they keep a journal of
 * what is not on the disk for sure: bytes written since the last fsync() of their file, and names made, moved
 * and removed since the last fsync() of the folder.
 */
#include <config.h>

#include <criterion/criterion.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <muster/run.h>

enum { FILES_MAX = 64, JOURNAL_MAX = 64, NAME_SIZE = 64 };

/* ---- what is shared with a child that dies ---- */

/* A file, by its name in the run's folder. */
struct file {
    char name[NAME_SIZE];
    off_t safe; /* bytes that were there at its last fsync() */
    bool dirty; /* something came after it */
};

/* A change of the folder. What `name` was before is kept under `kept` in another folder, if it was there. */
struct change {
    enum kind { MADE, MOVED, REMOVED } kind;
    char name[NAME_SIZE], from[NAME_SIZE], kept[NAME_SIZE];
};

static struct {
    struct file files[FILES_MAX];
    size_t file_count;
    struct change changes[JOURNAL_MAX];
    size_t change_count;
    unsigned kept_count;
    size_t steps;
    /* What the run must be. */
    int generation; /* 0: not begun; 1: of the first configuration; 2: of the second */
    uint64_t committed, attempted;
    bool overwriting;
} * shared;

static char folder[] = "/tmp/muster-disk-XXXXXX";
static char run_path[sizeof(folder) + 8], kept_path[sizeof(folder) + 8];

/* ---- in the place of the C library ---- */

static enum { UNARMED, FAIL_ONE, FAIL_REST, DIE } mode;
static size_t fail_at;

ssize_t __real_pwrite(int file, const void *bytes, size_t size, off_t offset);
ssize_t __real_read(int file, void *bytes, size_t size);
int __real_fsync(int file);
int __real_ftruncate(int file, off_t size);
int __real_fstat(int file, struct stat *information);
int __real_flock(int file, int operation);
int __real_mkdir(const char *path, mode_t permissions);
int __real_openat(int at, const char *name, int flags, ...);
int __real_renameat(int from_folder, const char *from, int to_folder, const char *to);
int __real_unlinkat(int at, const char *name, int flags);

ssize_t __wrap_pwrite(int file, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_read(int file, void *bytes, size_t size);
int __wrap_fsync(int file);
int __wrap_ftruncate(int file, off_t size);
int __wrap_fstat(int file, struct stat *information);
int __wrap_flock(int file, int operation);
int __wrap_mkdir(const char *path, mode_t permissions);
int __wrap_openat(int at, const char *name, int flags, ...);
int __wrap_renameat(int from_folder, const char *from, int to_folder, const char *to);
int __wrap_unlinkat(int at, const char *name, int flags);

/* Every call passes here first. */
static bool fails(void)
{
    if (mode == UNARMED)
        return false;
    shared->steps++;
    if (mode == DIE && shared->steps == fail_at)
        raise(SIGKILL);
    errno = ENOSPC;
    return (mode == FAIL_ONE && shared->steps == fail_at) || (mode == FAIL_REST && shared->steps >= fail_at);
}

static struct file *file_named(const char *name)
{
    for (size_t i = 0; i < shared->file_count; i++) {
        if (strcmp(shared->files[i].name, name) == 0)
            return &shared->files[i];
    }
    if (shared->file_count == FILES_MAX)
        abort();
    struct file *file = &shared->files[shared->file_count++];
    *file = (struct file){.dirty = false};
    snprintf(file->name, sizeof(file->name), "%s", name);
    return file;
}

/* The file that a descriptor is of; NULL: none of the run's. */
static struct file *file_of(int descriptor)
{
    char link[NAME_SIZE], target[4096];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, target, sizeof(target) - 1);
    size_t prefix = strlen(run_path);
    if (length < 0)
        return NULL;
    target[length] = '\0';
    return strncmp(target, run_path, prefix) == 0 && target[prefix] == '/' ? file_named(target + prefix + 1)
                                                                           : NULL;
}

static struct change *change(enum kind kind, const char *name, const char *from)
{
    if (shared->change_count == JOURNAL_MAX)
        abort();
    struct change *made = &shared->changes[shared->change_count++];
    *made = (struct change){.kind = kind};
    snprintf(made->name, sizeof(made->name), "%s", name);
    snprintf(made->from, sizeof(made->from), "%s", from);
    return made;
}

/* Keeps what is there under a name that is going to be something else. */
static void keep(struct change *made, int at)
{
    char kept[sizeof(kept_path) + NAME_SIZE], name[NAME_SIZE];
    snprintf(name, sizeof(name), "%u", shared->kept_count++);
    snprintf(kept, sizeof(kept), "%s/%s", kept_path, name);
    if (linkat(at, made->name, AT_FDCWD, kept, 0) == 0)
        strcpy(made->kept, name);
}

ssize_t __wrap_pwrite(int descriptor, const void *bytes, size_t size, off_t offset)
{
    struct file *written_to = mode == UNARMED ? NULL : file_of(descriptor);
    if (!written_to)
        return __real_pwrite(descriptor, bytes, size, offset);
    written_to->dirty = true;
    /* Whatever happens now, happens in the middle of it. */
    if (shared->steps + 1 == fail_at || (mode == FAIL_REST && shared->steps >= fail_at)) {
        ssize_t written = __real_pwrite(descriptor, bytes, size / 2, offset);
        (void)written;
    }
    return fails() ? -1 : __real_pwrite(descriptor, bytes, size, offset);
}

ssize_t __wrap_read(int descriptor, void *bytes, size_t size)
{
    return fails() ? -1 : __real_read(descriptor, bytes, size);
}

int __wrap_fsync(int descriptor)
{
    if (fails())
        return -1;
    struct stat information;
    struct file *file = mode == UNARMED ? NULL : file_of(descriptor);
    if (mode != UNARMED && __real_fstat(descriptor, &information) == 0) {
        if (S_ISDIR(information.st_mode))
            shared->change_count = 0;
        if (file) {
            file->dirty = false;
            file->safe = information.st_size;
        }
    }
    return 0; /* the disk itself has no part in this */
}

int __wrap_ftruncate(int descriptor, off_t size)
{
    return fails() ? -1 : __real_ftruncate(descriptor, size);
}

int __wrap_fstat(int descriptor, struct stat *information)
{
    return fails() ? -1 : __real_fstat(descriptor, information);
}

int __wrap_flock(int descriptor, int operation)
{
    return fails() ? -1 : __real_flock(descriptor, operation);
}

int __wrap_mkdir(const char *path, mode_t permissions)
{
    return fails() ? -1 : __real_mkdir(path, permissions);
}

int __wrap_openat(int at, const char *name, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t permissions = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    if (fails())
        return -1;
    bool makes = mode != UNARMED && flags & O_CREAT && faccessat(at, name, F_OK, 0) != 0;
    int file = __real_openat(at, name, flags, permissions);
    if (makes && file >= 0) {
        change(MADE, name, "");
        file_named(name)->safe = 0;
    }
    return file;
}

int __wrap_renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    if (fails())
        return -1;
    if (mode != UNARMED) {
        keep(change(MOVED, to, from), to_folder);
        struct file moved = *file_named(from);
        struct file *file = file_named(to);
        file->safe = moved.safe;
        file->dirty = moved.dirty;
    }
    return __real_renameat(from_folder, from, to_folder, to);
}

int __wrap_unlinkat(int at, const char *name, int flags)
{
    if (fails())
        return -1;
    if (mode != UNARMED)
        keep(change(REMOVED, name, ""), at);
    return __real_unlinkat(at, name, flags);
}

/* ---- the scenario ---- */

static const char *const configurations[] = {"none\n", "first\n", "second\n"};

static void expect(bool condition, const char *text)
{
    if (condition)
        return;
    fprintf(stderr, "mode %d, step %zu of %zu: %s\n", (int)mode, shared->steps, fail_at, text);
    abort();
}

enum { VALUES = 1200 };

static void fill(double values[VALUES], int generation, uint64_t round)
{
    for (size_t i = 0; i < VALUES; i++)
        values[i] = (double)(i + round) + 1e6 * generation;
}

/* What the metrics are after a round. */
static void write_lines(char *text, size_t size, int generation, uint64_t first, uint64_t last)
{
    *text = '\0';
    for (uint64_t round = first; round <= last; round++) {
        size_t length = strlen(text);
        snprintf(text + length, size - length, "%d,%llu\n", generation, (unsigned long long)round);
    }
}

static void commit(struct muster_run *run, uint64_t round, enum muster_status *status)
{
    double values[VALUES];
    char line[64];
    const struct muster_named_array state = {"w", {MUSTER_FLOAT64, 1, {VALUES}, values}};
    fill(values, shared->generation, round);
    write_lines(line, sizeof(line), shared->generation, round, round);
    shared->attempted = round;
    struct muster_error error = {.text = ""};
    *status = muster_run_commit(run, round, &state, 1, line, &error);
    expect(*status == MUSTER_OK || (*status == MUSTER_IO && mode != DIE), error.text);
    if (*status == MUSTER_OK)
        shared->committed = round;
}

/* Tries twice: of two failures in a row, the disk is to blame. */
static struct muster_run *open_run(int generation, bool overwrite)
{
    struct muster_run *run = NULL;
    struct muster_error error = {.text = ""};
    for (int i = 0; i < 2 && !run; i++) {
        enum muster_status status =
            muster_run_open(run_path, configurations[generation], overwrite, &run, &error);
        expect(status == MUSTER_OK || (status == MUSTER_IO && mode != DIE), error.text);
    }
    if (!run)
        return NULL;
    if (generation != shared->generation)
        shared->committed = shared->attempted = 0;
    shared->generation = generation;
    shared->overwriting = false;
    uint64_t round = muster_run_round(run);
    expect(round == shared->committed || round == shared->attempted, "the run goes on where it was");
    shared->committed = shared->attempted = round;
    return run;
}

/* Holds rounds up to the last; after a failure the run is opened again. NULL: it was not. */
static struct muster_run *hold_rounds(struct muster_run *run, uint64_t last)
{
    enum muster_status status;
    while (run && shared->committed < last) {
        commit(run, shared->committed + 1, &status);
        if (status == MUSTER_OK)
            continue;
        muster_run_close(run);
        run = open_run(shared->generation, false);
        if (run && mode == FAIL_REST)
            break;
    }
    return run;
}

static void scenario(void)
{
    struct muster_run *run = hold_rounds(open_run(1, false), 5);
    bool opened = run != NULL;
    muster_run_close(run);
    if (!opened)
        return;
    run = hold_rounds(open_run(1, false), 6);
    opened = run != NULL;
    muster_run_close(run);
    if (!opened)
        return;
    shared->overwriting = true;
    run = hold_rounds(open_run(2, true), 2);
    muster_run_close(run);
}

/* ---- afterwards ---- */

static void expect_metrics(int generation, uint64_t round)
{
    char path[sizeof(run_path) + 16], expected[1024], text[1024] = "";
    snprintf(path, sizeof(path), "%s/metrics.csv", run_path);
    write_lines(expected, sizeof(expected), generation, 1, round);
    FILE *file = fopen(path, "r");
    if (file) {
        text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
        fclose(file);
    }
    expect(strcmp(text, expected) == 0, "the metrics are those of the completed rounds");
}

static void expect_state(const struct muster_run *run, int generation)
{
    double values[VALUES];
    size_t count;
    fill(values, generation, muster_run_round(run));
    const struct muster_named_array *state = muster_run_state(run, &count);
    const struct muster_array *w = muster_npz_find(state, count, "w");
    expect(w && muster_array_count(w) == VALUES && memcmp(w->data, values, sizeof(values)) == 0,
           "the state is that of the last completed round");
}

static void expect_tidy(void)
{
    size_t rounds = 0;
    DIR *listing = opendir(run_path);
    expect(listing != NULL, "there is a directory");
    for (struct dirent *entry; (entry = readdir(listing));) {
        expect(strncmp(entry->d_name, ".muster", 7) != 0, "no temporary is left");
        rounds += strncmp(entry->d_name, "round-", 6) == 0;
    }
    closedir(listing);
    expect(rounds <= MUSTER_RUN_ROUNDS_KEPT, "old rounds are removed");
}

/* The run opens, and is what it must be. */
static void expect_intact(void)
{
    struct muster_run *run;
    struct muster_error error = {.text = ""};
    if (muster_run_open(run_path, configurations[0], false, &run, &error) != MUSTER_OK)
        expect(false, error.text);
    uint64_t round = muster_run_round(run);
    int generation = 0;
    while (generation < 3 && strcmp(muster_run_configuration(run), configurations[generation]) != 0)
        generation++;
    bool as_before =
        generation == shared->generation && (round == shared->committed || round == shared->attempted ||
                                             (shared->overwriting && round < shared->committed));
    bool as_after = shared->overwriting && generation == 2 && round == 0;
    bool begun = shared->generation == 0 && generation < 2 && round == 0;
    expect(as_before || as_after || begun, "the run is as after its last completed round");
    if (round > 0)
        expect_state(run, generation);
    expect_metrics(generation, round);
    expect_tidy();
    muster_run_close(run);
}

/* What a power cut may do: bytes that are not on the disk for sure are lost, and some of the changes of
 * names. */
enum lost { NO_NAMES, ALL_NAMES, REMOVALS, LOST_COUNT };

static void cut_power(enum lost lost)
{
    int run = open(run_path, O_RDONLY | O_DIRECTORY), kept = open(kept_path, O_RDONLY | O_DIRECTORY);
    for (size_t i = 0; i < shared->file_count; i++) {
        const struct file *file = &shared->files[i];
        int opened = file->dirty ? openat(run, file->name, O_RDWR) : -1;
        struct stat information;
        if (opened >= 0 && fstat(opened, &information) == 0 && information.st_size > file->safe)
            cr_assert_eq(ftruncate(opened, file->safe), 0);
        if (opened >= 0)
            close(opened);
    }
    for (size_t i = lost == NO_NAMES ? 0 : shared->change_count; i-- > 0;) {
        const struct change *change = &shared->changes[i];
        if (lost == REMOVALS && change->kind != REMOVED)
            continue;
        if (change->kind == MADE)
            unlinkat(run, change->name, 0);
        if (change->kind == MOVED)
            renameat(run, change->name, run, change->from);
        if (*change->kept != '\0')
            linkat(kept, change->kept, run, change->name, 0);
    }
    close(run);
    close(kept);
}

/* ---- running it ---- */

static int remove_entry(const char *path, const struct stat *information, int kind, struct FTW *place)
{
    (void)information;
    (void)kind;
    (void)place;
    return remove(path);
}

static void begin(void)
{
    memset(shared, 0, sizeof(*shared));
    nftw(run_path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    nftw(kept_path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    cr_assert_eq(mkdir(kept_path, 0700), 0);
}

static void set_up(void)
{
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq((void *)shared, MAP_FAILED);
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(run_path, sizeof(run_path), "%s/run", folder);
    snprintf(kept_path, sizeof(kept_path), "%s/kept", folder);
}

static void tear_down(void)
{
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    munmap(shared, sizeof(*shared));
}

static size_t steps_of_all(void)
{
    begin();
    mode = FAIL_ONE;
    fail_at = 0;
    scenario();
    mode = UNARMED;
    cr_assert_eq(shared->generation, 2);
    cr_assert_eq(shared->committed, 2);
    expect_intact();
    return shared->steps;
}

static void fail_everywhere(int how)
{
    size_t steps = steps_of_all();
    cr_assert_gt(steps, 100);
    for (fail_at = 1; fail_at <= steps; fail_at++) {
        begin();
        mode = how == 0 ? FAIL_ONE : FAIL_REST;
        scenario();
        mode = UNARMED;
        expect_intact();
    }
}

/* The round is visible, but may not outlive a power cut: nothing is built upon it. */
Test(disk, a_round_that_may_not_last_is_the_last, .init = set_up, .fini = tear_down)
{
    enum muster_status status = MUSTER_OK;
    steps_of_all();
    mode = FAIL_ONE;
    struct muster_run *run = open_run(2, false);
    shared->steps = 0;
    commit(run, 3, &status);
    fail_at = shared->steps; /* that was the writing of the folder: there was no old round to remove */
    shared->steps = 0;
    commit(run, 4, &status);
    cr_assert_eq(status, MUSTER_IO);
    mode = UNARMED;
    cr_assert_eq(muster_run_round(run), 3);
    commit(run, 5, &status);
    cr_assert_eq(status, MUSTER_IO);
    muster_run_close(run);
    shared->attempted = 4;
    expect_intact();
}

Test(disk, one_call_fails, .init = set_up, .fini = tear_down, .timeout = 300)
{
    fail_everywhere(0);
}

Test(disk, from_one_call_on_all_fail, .init = set_up, .fini = tear_down, .timeout = 300)
{
    fail_everywhere(1);
}

static void die_at(size_t step)
{
    begin();
    fail_at = step;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        mode = DIE;
        scenario();
        _exit(1);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "step %zu", step);
}

Test(disk, killed_anywhere, .init = set_up, .fini = tear_down, .timeout = 300)
{
    size_t steps = steps_of_all();
    for (size_t step = 1; step <= steps; step++) {
        die_at(step);
        expect_intact();
    }
}

Test(disk, power_cut_anywhere, .init = set_up, .fini = tear_down, .timeout = 300)
{
    size_t steps = steps_of_all();
    for (size_t step = LOST_COUNT; step < LOST_COUNT * (steps + 1); step++) {
        die_at(step / LOST_COUNT);
        /* Without the directory itself there is nothing to lose. */
        if (access(run_path, F_OK) == 0)
            cut_power((enum lost)(step % LOST_COUNT));
        expect_intact();
    }
}
