/* Headers: what a request says and what a response does, texts in them, and the codes of HTTP in gRPC's. */
#include <config.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "network/code.h"
#include "network/http2/http2.h"

/* ---- texts ---- */

static bool is_plain(unsigned char byte)
{
    return byte >= ' ' && byte <= '~' && byte != '%';
}

void muster__http2_encode_text(const char *text, char *encoded, size_t size)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t at = 0;
    for (; *text && at + 4 <= size; text++) {
        unsigned char byte = (unsigned char)*text;
        bool at_an_end = at == 0 || !text[1]; /* where HTTP's receivers do not take a space */
        if (is_plain(byte) && !(byte == ' ' && at_an_end)) {
            encoded[at++] = *text;
        } else {
            encoded[at++] = '%';
            encoded[at++] = digits[byte >> 4];
            encoded[at++] = digits[byte & 15];
        }
    }
    encoded[at] = '\0';
}

static int digit(char character)
{
    const char *digits = "0123456789abcdef";
    const char *found = character ? strchr(digits, tolower((unsigned char)character)) : NULL;
    return found ? (int)(found - digits) : -1;
}

void muster__http2_decode_text(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        int high = *from == '%' ? digit(from[1]) : -1;
        int low = high >= 0 ? digit(from[2]) : -1;
        int byte = high * 16 + low;
        if (low >= 0 && byte > 0) {
            *to++ = (char)byte;
            from += 2;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

int64_t muster__http2_parse_timeout(const char *text, size_t size)
{
    enum { DIGITS_MAX = 8 };
    static const struct {
        char unit;
        int64_t us;
    } units[] = {{'H', 3600000000}, {'M', 60000000}, {'S', 1000000}, {'m', 1000}, {'u', 1}};
    int64_t value = 0;
    if (size < 2 || size > DIGITS_MAX + 1)
        return -1;
    for (size_t i = 0; i + 1 < size; i++) {
        if (!isdigit((unsigned char)text[i]))
            return -1;
        value = value * 10 + (text[i] - '0');
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
        if (text[size - 1] == units[i].unit)
            return (value * units[i].us + 999) / 1000;
    }
    return text[size - 1] == 'n' ? (value + 999999) / 1000000 : -1;
}

/* ---- codes ---- */

int muster__http2_code_of_reset(uint32_t reset_code)
{
    switch (reset_code) {
    case NGHTTP2_REFUSED_STREAM:
        return CODE_UNAVAILABLE;
    case NGHTTP2_CANCEL:
        return CODE_CANCELLED;
    case NGHTTP2_ENHANCE_YOUR_CALM:
        return CODE_RESOURCE_EXHAUSTED;
    case NGHTTP2_INADEQUATE_SECURITY:
        return CODE_PERMISSION_DENIED;
    default:
        return CODE_INTERNAL;
    }
}

int muster__http2_code_of_http(int http_status)
{
    switch (http_status) {
    case 400:
        return CODE_INTERNAL;
    case 401:
        return CODE_UNAUTHENTICATED;
    case 403:
        return CODE_PERMISSION_DENIED;
    case 404:
        return CODE_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return CODE_UNAVAILABLE;
    default:
        return CODE_UNKNOWN;
    }
}

/* ---- requests and responses ---- */

static bool is(const uint8_t *bytes, size_t size, const char *text)
{
    return size == strlen(text) && memcmp(bytes, text, size) == 0;
}

/* "application/grpc", and what may stand behind it. */
static bool is_grpc_type(const uint8_t *value, size_t size)
{
    static const char type[] = "application/grpc";
    size_t length = sizeof(type) - 1;
    return size >= length && strncasecmp((const char *)value, type, length) == 0 &&
           (size == length || value[length] == '+' || value[length] == ';');
}

bool muster__http2_take_request_header(struct http2_stream *stream, const uint8_t *name, size_t name_size,
                                       const uint8_t *value, size_t value_size)
{
    enum { HEADER_COST = 32 }; /* of each, by HTTP/2 */
    struct request *request = stream->request;
    request->size += name_size + value_size + HEADER_COST;
    if (request->size > HEADERS_SIZE_MAX)
        return false;
    if (is(name, name_size, ":method"))
        request->is_post = is(value, value_size, "POST");
    else if (is(name, name_size, "content-type"))
        request->is_grpc = is_grpc_type(value, value_size);
    else if (is(name, name_size, "grpc-encoding"))
        stream->compresses = !is(value, value_size, "identity");
    else if (is(name, name_size, "grpc-timeout"))
        request->timeout_ms = muster__http2_parse_timeout((const char *)value, value_size);
    else if (is(name, name_size, ":path") && !request->path)
        return (request->path = strndup((const char *)value, value_size)) != NULL;
    else if (is(name, name_size, "authorization") && !request->authorization)
        return (request->authorization = strndup((const char *)value, value_size)) != NULL;
    return true;
}

/* The code of gRPC, or the status of HTTP. */
static int number_of(const uint8_t *value, size_t size)
{
    int number = 0;
    for (size_t i = 0; i < size; i++) {
        if (!isdigit(value[i]) || number > 999)
            return -1;
        number = number * 10 + (value[i] - '0');
    }
    return size > 0 ? number : -1;
}

void muster__http2_take_response_header(struct http2_stream *stream, const uint8_t *name, size_t name_size,
                                        const uint8_t *value, size_t value_size)
{
    if (is(name, name_size, ":status")) {
        stream->http_status = number_of(value, value_size);
    } else if (is(name, name_size, "content-type")) {
        stream->is_grpc = is_grpc_type(value, value_size);
    } else if (is(name, name_size, "grpc-encoding")) {
        stream->compresses = !is(value, value_size, "identity");
    } else if (is(name, name_size, "grpc-status") && stream->code < 0) {
        stream->code = number_of(value, value_size);
        if (stream->code < 0)
            stream->code = CODE_UNKNOWN;
    } else if (is(name, name_size, "grpc-message") && !stream->details) {
        stream->details = strndup((const char *)value, value_size);
        if (stream->details)
            muster__http2_decode_text(stream->details);
    }
}

void muster__http2_request_free(struct request *request)
{
    if (!request)
        return;
    free(request->path);
    free(request->authorization);
    free(request);
}
