/* SHA-256 of files, by OpenSSL. */
#include <config.h>

#include "program_sum.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

enum { SUMMED_MAX = 256 << 20, BUFFER_SIZE = 1 << 16 };

static bool digest_file(int file, EVP_MD_CTX *context)
{
    unsigned char buffer[BUFFER_SIZE];
    size_t all = 0;
    ssize_t got = 1;
    bool good = EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;
    while (good && all <= SUMMED_MAX && (got = read(file, buffer, sizeof(buffer))) > 0) {
        good = EVP_DigestUpdate(context, buffer, (size_t)got) == 1;
        all += (size_t)got;
    }
    return good && got == 0;
}

/* In hexadecimal; null when there is none to be had. */
static json_t *sum_of(int file)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char text[2 * EVP_MAX_MD_SIZE + 1] = "";
    unsigned size = 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context && digest_file(file, context) && EVP_DigestFinal_ex(context, digest, &size) == 1;
    EVP_MD_CTX_free(context);
    for (unsigned i = 0; i < size; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    return good ? json_string(text) : json_null();
}

/* Whether it is a file. */
static bool add_file(json_t *programs, const char *path)
{
    struct stat there;
    if (json_object_get(programs, path))
        return true;
    int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return false;
    bool is_file = fstat(file, &there) == 0 && S_ISREG(there.st_mode);
    if (is_file)
        json_object_set_new(programs, path,
                            json_pack("{s:I, s:o}", "size", (json_int_t)there.st_size, "sha256",
                                      there.st_size <= SUMMED_MAX ? sum_of(file) : json_null()));
    close(file);
    return is_file;
}

static bool add_in(json_t *programs, const char *directory, size_t length, const char *name)
{
    char *path = NULL;
    if (asprintf(&path, "%.*s%s%s", (int)length, directory, length > 0 ? "/" : "", name) < 0)
        return false;
    bool added = add_file(programs, path);
    free(path);
    return added;
}

static void add_from_path(json_t *programs, const char *name)
{
    const char *folders = getenv("PATH");
    while (folders && *folders != '\0') {
        size_t length = strcspn(folders, ":");
        if (add_in(programs, folders, length, name))
            return;
        folders += length + (folders[length] == ':');
    }
}

static void add_relative(json_t *programs, const char *directory, const char *name)
{
    bool relative = name[0] != '/' && directory;
    add_in(programs, relative ? directory : "", relative ? strlen(directory) : 0, name);
}

void program_sum_add(json_t *programs, const char *const *arguments, const char *directory)
{
    if (!arguments[0])
        return;
    char own[PATH_MAX];
    ssize_t length =
        strcmp(arguments[0], "muster") == 0 ? readlink("/proc/self/exe", own, sizeof(own) - 1) : 0;
    if (length > 0) {
        own[length] = '\0';
        add_file(programs, own);
        return;
    }
    if (strchr(arguments[0], '/'))
        add_relative(programs, directory, arguments[0]);
    else
        add_from_path(programs, arguments[0]);
    if (arguments[1] && arguments[1][0] != '-')
        add_relative(programs, directory, arguments[1]);
}
