/*
 * Credentials: the files, read and checked for what they should hold, so that a mistake is told at the start
 * and by the file's name. What is in certificates and keys is for certificates.c to judge.
 */
#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "network/credentials.h"
#include "status.h"

#define FILE_SIZE_MAX  ((size_t)1 << 20)
#define TOKEN_SIZE_MAX 4096

/* ---- files ---- */

enum muster_status muster__credentials_read(const char *what, const char *path, char **text, size_t *size,
                                            struct muster_error *error)
{
    FILE *file = fopen(path, "re");
    char *content = file ? malloc(FILE_SIZE_MAX + 1) : NULL;
    size_t came = 0;
    enum muster_status status = MUSTER_OK;
    *text = NULL;
    if (!file)
        return muster__error(error, MUSTER_IO, "cannot read the %s '%s': %s", what, path, strerror(errno));
    if (!content) {
        status = muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
        goto cleanup;
    }
    *size = came = fread(content, 1, FILE_SIZE_MAX + 1, file);
    if (ferror(file))
        status = muster__error(error, MUSTER_IO, "cannot read the %s '%s': %s", what, path, strerror(errno));
    else if (*size > FILE_SIZE_MAX)
        status = muster__error(error, MUSTER_FORMAT, "the %s '%s' is bigger than 1 MiB", what, path);
    else
        content[*size] = '\0';
    if (status == MUSTER_OK && !(*text = malloc(*size + 1)))
        status = muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    if (*text)
        memcpy(*text, content, *size + 1);
cleanup:
    if (content)
        explicit_bzero(content, came);
    free(content);
    fclose(file);
    return status;
}

static enum muster_status load_token(const char *path, struct keys *keys, struct muster_error *error)
{
    size_t size;
    enum muster_status status = muster__credentials_read("token file", path, &keys->token, &size, error);
    if (status != MUSTER_OK)
        return status;
    char *token = keys->token;
    while (size > 0 && (token[size - 1] == '\n' || token[size - 1] == '\r'))
        token[--size] = '\0';
    bool good = size > 0 && size <= TOKEN_SIZE_MAX;
    for (size_t i = 0; i < size; i++)
        good = good && token[i] > ' ' && token[i] < 0x7f;
    if (!good)
        return muster__error(
            error, MUSTER_FORMAT,
            "the token file '%s' is not one line of 1 to %d printable ASCII characters without "
            "spaces",
            path, TOKEN_SIZE_MAX);
    bool seen[128] = {false};
    for (size_t i = 0; i < size; i++) {
        keys->token_variety += !seen[(unsigned char)token[i]];
        seen[(unsigned char)token[i]] = true;
    }
    keys->token_size = size;
    return MUSTER_OK;
}

enum muster_status muster__credentials_check(const struct muster_credentials *files,
                                             enum credentials_side side, struct muster_error *error)
{
    if (!files->certificate != !files->key)
        return muster__error(error, MUSTER_INVALID, "%s '%s' was given without a %s: TLS needs both",
                             files->key ? "the key file" : "the certificate file",
                             files->key ? files->key : files->certificate,
                             files->key ? "certificate file" : "key file");
    if (side == OF_SERVER && !files->certificate && (files->ca || files->tls))
        return muster__error(error, MUSTER_INVALID,
                             "a server's TLS needs a certificate file and a key file%s%s",
                             files->ca ? " beside the CA file " : "", files->ca ? files->ca : "");
    for (size_t i = 0; i < sizeof(files->reserved) / sizeof(files->reserved[0]); i++) {
        if (files->reserved[i])
            return muster__error(error, MUSTER_INVALID,
                                 "a reserved field of the credentials is not NULL: muster %s does not know "
                                 "the file '%.64s'",
                                 muster_version(), files->reserved[i]);
    }
    return MUSTER_OK;
}

enum muster_status muster__keys_load(const struct muster_credentials *files, struct keys **loaded,
                                     struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    struct keys *keys = calloc(1, sizeof(*keys));
    *loaded = NULL;
    if (!keys)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    atomic_init(&keys->references, 1);
    if (files->tls || files->certificate || files->ca)
        status = muster__certificates_load(files, keys, error);
    if (status == MUSTER_OK && files->token_file)
        status = load_token(files->token_file, keys, error);
    if (status == MUSTER_OK)
        *loaded = keys;
    else
        muster__keys_release(keys);
    return status;
}

static void free_secret(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

void muster__keys_release(struct keys *keys)
{
    if (!keys || atomic_fetch_sub_explicit(&keys->references, 1, memory_order_acq_rel) != 1)
        return;
    free(keys->certificate);
    free(keys->ca);
    free_secret(keys->key);
    free_secret(keys->token);
    muster__certificates_drop(keys);
    free(keys);
}

/* ---- warnings ---- */

static bool is_local_name(const char *host)
{
    const char *name = "localhost";
    size_t size = strlen(host), name_size = strlen(name);
    if (size && host[size - 1] == '.')
        size--;
    return size >= name_size && strncasecmp(host + size - name_size, name, name_size) == 0 &&
           (size == name_size || host[size - name_size - 1] == '.');
}

bool muster__is_loopback(const char *address)
{
    char host[256];
    struct in_addr v4;
    struct in6_addr v6;
    const char *scheme = "http2+", *colon = strrchr(address, ':');
    if (strncmp(address, scheme, strlen(scheme)) == 0)
        address += strlen(scheme);
    size_t length = colon ? (size_t)(colon - address) : strlen(address);
    if (length >= 2 && address[0] == '[' && address[length - 1] == ']') {
        address++;
        length -= 2;
    }
    if (length >= sizeof(host))
        return false;
    snprintf(host, sizeof(host), "%.*s", (int)length, address);
    if (inet_aton(host, &v4)) /* 127.1 too */
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
    return is_local_name(host);
}

const char *muster__credentials_warning(const struct credentials *credentials, enum credentials_side side,
                                        const char *address)
{
    bool token = credentials && credentials->files.token_file;
    if ((credentials && credentials->tls) || muster__is_loopback(address))
        return NULL;
    if (side == OF_SERVER)
        return token ? "the network can read and alter all that is sent, the token too: set a certificate "
                       "and a key"
                     : "anybody can take part, and the network can read and alter all that is sent: set a "
                       "certificate, "
                       "a key and a CA, or a token";
    return token ? "the token goes through the network for everybody to read: use TLS"
                 : "the network can read and alter all that is sent, and anybody can pose as the server: use "
                   "TLS";
}

void muster_warn(void *context, const char *text)
{
    (void)context;
    fprintf(stderr, "muster: warning: %s\n", text);
}
