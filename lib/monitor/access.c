/* Who may ask. */
#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/access.h"
#include "status.h"

/* ---- the host ---- */

enum { HOST_SIZE = 256 };

/* Copies the host of "host", "host:port", "[v6]" or "[v6]:port"; false: it is none of these. */
static bool host_of(const char *header, char host[HOST_SIZE], bool *is_v6)
{
    *is_v6 = *header == '[';
    const char *begin = header + *is_v6;
    const char *end = *is_v6 ? strchr(begin, ']') : begin + strcspn(begin, ":");
    if (!end || end == begin || end - begin >= HOST_SIZE)
        return false;
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    const char *port = end + *is_v6;
    return !*port || (*port == ':' && strspn(port + 1, "0123456789") == strlen(port + 1));
}

bool muster__host_is_good(const char *header, char *const *hosts, size_t count)
{
    char host[HOST_SIZE];
    unsigned char address[sizeof(struct in6_addr)];
    bool is_v6;
    if (!header || !host_of(header, host, &is_v6))
        return false;
    if (is_v6 || inet_pton(AF_INET, host, address) == 1)
        return !is_v6 || inet_pton(AF_INET6, host, address) == 1;
    bool good = strcasecmp(host, "localhost") == 0;
    for (size_t i = 0; !good && i < count; i++)
        good = strcasecmp(host, hosts[i]) == 0;
    return good;
}

/* ---- the token ---- */

/* Whether `size` bytes are the token. Looks at all of them, so that its time tells nothing of the token. */
static bool is_token(const char *shown, size_t size, const char *token)
{
    size_t length = strlen(token);
    unsigned difference = size != length;
    for (size_t i = 0; i < size; i++)
        difference |= (unsigned)(unsigned char)shown[i] ^ (unsigned char)token[length ? i % length : 0];
    return difference == 0;
}

/* The six bits of a character of Base64; -1: it is none. */
static int bits_of(char character)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = character ? strchr(digits, character) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Decodes Base64, at most `size` bytes; returns how many, or SIZE_MAX if it is none, or too long. */
static size_t decode(const char *text, char *out, size_t size)
{
    size_t length = strcspn(text, "="), written = 0;
    uint32_t bits = 0;
    unsigned count = 0;
    if (strspn(text + length, "=") != strlen(text + length) || strlen(text + length) > 2)
        return SIZE_MAX;
    for (size_t i = 0; i < length; i++) {
        int digit = bits_of(text[i]);
        if (digit < 0 || written == size)
            return SIZE_MAX;
        bits = bits << 6 | (uint32_t)digit;
        count += 6;
        if (count < 8)
            continue;
        count -= 8;
        out[written++] = (char)(bits >> count & 0xff);
    }
    return written;
}

bool muster__shows_token(const char *header, const char *token)
{
    char pair[TOKEN_SIZE_MAX + 256];
    if (!header)
        return false;
    if (strncasecmp(header, "Bearer ", 7) == 0)
        return is_token(header + 7, strlen(header + 7), token);
    if (strncasecmp(header, "Basic ", 6) != 0)
        return false;
    size_t size = decode(header + 6, pair, sizeof(pair));
    const char *colon = size == SIZE_MAX ? NULL : memchr(pair, ':', size);
    return colon && is_token(colon + 1, size - (size_t)(colon + 1 - pair), token);
}

/* ---- files ---- */

enum muster_status muster__secret_read(const char *path, size_t most, char **bytes,
                                       struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    FILE *file = fopen(path, "rbe");
    *bytes = NULL;
    if (!file)
        return muster__error(error, MUSTER_IO, "cannot open %s: %s", path, strerror(errno));
    char *read = malloc(most + 1);
    size_t size = read ? fread(read, 1, most + 1, file) : 0;
    if (!read)
        status = muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for %s", path);
    else if (ferror(file))
        status = muster__error(error, MUSTER_IO, "cannot read %s: %s", path, strerror(errno));
    else if (size > most || memchr(read, 0, size))
        status = muster__error(error, MUSTER_FORMAT, "%s is not a text of at most %zu bytes", path, most);
    fclose(file);
    if (status != MUSTER_OK) {
        free(read);
        return status;
    }
    read[size] = '\0';
    *bytes = read;
    return MUSTER_OK;
}

enum muster_status muster__token_read(const char *path, char **token, struct muster_error *error)
{
    enum muster_status status = muster__secret_read(path, TOKEN_SIZE_MAX + 2, token, error);
    if (status != MUSTER_OK)
        return status;
    size_t size = strcspn(*token, "\r\n");
    bool good = size > 0 && size <= TOKEN_SIZE_MAX && !(*token)[size + strspn(*token + size, "\r\n")];
    for (size_t i = 0; i < size; i++)
        good = good && (*token)[i] > ' ' && (*token)[i] < 0x7f;
    (*token)[size] = '\0';
    if (good)
        return MUSTER_OK;
    free(*token);
    *token = NULL;
    return muster__error(error, MUSTER_FORMAT,
                         "%s holds no token: one line of at most %d printable characters without spaces",
                         path, TOKEN_SIZE_MAX);
}
