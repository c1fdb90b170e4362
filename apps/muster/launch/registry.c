/* A link's name is that of the run and a checksum of the path: so two runs of one name are two links, and one that is
 * started again is one. */
#include <config.h>

#include "registry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/dataset.h"
#include "common/log.h"
#include "run_files.h"

enum { NAME_SHOWN = 100, LINK_SIZE = NAME_SHOWN + 40 };

/* To be freed; NULL: there is no such place, or no memory. */
static char *find_place(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char *place = NULL;
    /* The specification: a path that is not absolute does not count. */
    if (state && state[0] == '/')
        return asprintf(&place, "%s/muster/runs", state) < 0 ? NULL : place;
    if (!home || home[0] != '/')
        return NULL;
    return asprintf(&place, "%s/.local/state/muster/runs", home) < 0 ? NULL : place;
}

static bool make_place(char *place)
{
    for (char *slash = strchr(place + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool made = mkdir(place, 0700) == 0 || errno == EEXIST || errno == EROFS || errno == EACCES;
        *slash = '/';
        if (!made)
            return false;
    }
    return mkdir(place, 0700) == 0 || errno == EEXIST;
}

/* FNV-1a: it has to tell a user's runs apart, not to withstand anybody. */
static uint64_t sum_of(const char *path)
{
    uint64_t sum = 14695981039346656037u;
    for (; *path != '\0'; path++)
        sum = (sum ^ (unsigned char)*path) * 1099511628211u;
    return sum;
}

static void make_link_name(const char *name, const char *directory, char link[LINK_SIZE])
{
    char shown[NAME_SHOWN];
    muster_text_harmless(name, shown, sizeof(shown));
    for (char *c = shown; *c != '\0'; c++) {
        if (*c == '/' || *c == '.')
            *c = '_';
    }
    snprintf(link, LINK_SIZE, "%s-%016" PRIx64, shown, sum_of(directory));
}

/* The link may be there. */
static bool add_link(int folder, const char *name, const char *directory)
{
    char link[LINK_SIZE];
    make_link_name(name, directory, link);
    if (symlinkat(directory, folder, link) == 0)
        return true;
    return errno == EEXIST &&
           ((unlinkat(folder, link, 0) == 0 && symlinkat(directory, folder, link) == 0) || errno == EEXIST);
}

void registry_add(const char *name, const char *directory)
{
    char *place = find_place();
    int folder = -1;
    if (!place) {
        log_write(LOG_WARNING, "HOME is not set: `muster list` will not know of this run, but its directory "
                               "finds it");
        return;
    }
    if (make_place(place))
        folder = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || !add_link(folder, name, directory))
        log_write(LOG_WARNING, "%s: %s: `muster list` will not know of this run, but its directory finds it",
                  place, strerror(errno));
    if (folder >= 0)
        close(folder);
    free(place);
}

/* The directory that a link leads to, to be freed. NULL: it leads to none, and was removed if that is sure. */
static char *follow(int folder, const char *link)
{
    char target[PATH_MAX];
    struct stat there;
    ssize_t length = readlinkat(folder, link, target, sizeof(target) - 1);
    if (length <= 0)
        return NULL;
    target[length] = '\0';
    if (fstatat(folder, link, &there, 0) == 0 && S_ISDIR(there.st_mode))
        return strdup(target);
    if (errno == ENOENT || errno == ENOTDIR)
        unlinkat(folder, link, 0);
    return NULL;
}

static bool append(char ***list, size_t *count, char *directory)
{
    for (size_t i = 0; i < *count; i++) {
        if (strcmp((*list)[i], directory) == 0) {
            free(directory);
            return true;
        }
    }
    char **longer = realloc(*list, (*count + 1) * sizeof(**list));
    if (!longer) {
        free(directory);
        return false;
    }
    *list = longer;
    longer[(*count)++] = directory;
    return true;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum muster_status registry_list(char ***directories, size_t *count, struct muster_error *error)
{
    char *place = find_place();
    DIR *links = place ? opendir(place) : NULL;
    const struct dirent *link;
    bool good = true;
    *directories = NULL;
    *count = 0;
    free(place);
    while (good && links && (link = readdir(links))) {
        char *directory = follow(dirfd(links), link->d_name);
        if (directory)
            good = append(directories, count, directory);
    }
    if (links)
        closedir(links);
    if (*count > 0)
        qsort(*directories, *count, sizeof(**directories), compare);
    if (good)
        return MUSTER_OK;
    registry_free(*directories, *count);
    *directories = NULL;
    *count = 0;
    return dataset_out_of_memory(error);
}

void registry_free(char **directories, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(directories[i]);
    free(directories);
}
