/*
 * The .npy format in memory: writes the header that numpy.save writes, and reads headers of strangers.
 * The reader takes nothing for granted: every byte is checked, the work is linear and nothing recurses.
 */
#include <config.h>

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "status.h"
#include "wire/array.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "arrays are sent as they lie in memory, which has to be little-endian"
#endif

#define MAGIC      "\x93NUMPY"
#define MAGIC_SIZE ((size_t)6)

enum {
    HEADER_READ_MAX = 10000, /* longest header that is read; numpy's own limit */
    SHOWN_MAX = 16,          /* characters of a stranger's text that go into an error */
};

/* Writing. */

/* Writes the dictionary as Python writes it; returns its length. No valid shape is longer than 42. */
static size_t format_dictionary(const struct muster_array *array, char *text, size_t size)
{
    size_t length = (size_t)snprintf(text, size, "{'descr': '%s', 'fortran_order': False, 'shape': (",
                                     muster__dtype(array->dtype)->descr);
    for (uint32_t i = 0; i < array->dimensions; i++)
        length +=
            (size_t)snprintf(text + length, size - length, "%s%" PRIu64, i > 0 ? ", " : "", array->shape[i]);
    return length +
           (size_t)snprintf(text + length, size - length, "%s), }", array->dimensions == 1 ? "," : "");
}

void muster__npy_write_header(const struct muster_array *array, uint8_t out[MUSTER__NPY_HEADER_SIZE])
{
    enum { PREFIX_SIZE = 10, TEXT_SIZE = MUSTER__NPY_HEADER_SIZE - PREFIX_SIZE };
    static const uint8_t version_and_length[] = {1, 0, TEXT_SIZE, 0};
    char text[TEXT_SIZE];
    size_t length = format_dictionary(array, text, sizeof(text));
    memset(text + length, ' ', sizeof(text) - length);
    text[TEXT_SIZE - 1] = '\n';
    memcpy(out, MAGIC, MAGIC_SIZE);
    memcpy(out + MAGIC_SIZE, version_and_length, sizeof(version_and_length));
    memcpy(out + PREFIX_SIZE, text, sizeof(text));
}

const char *muster__array_fault(const struct muster_array *array)
{
    size_t element = muster_dtype_size(array->dtype);
    size_t count = muster_array_count(array);
    if (element == 0)
        return "its dtype is not one of enum muster_dtype";
    if (array->dimensions > MUSTER_DIMENSIONS_MAX)
        return "it has more than 8 dimensions";
    if (count > (SIZE_MAX / 2 - MUSTER__NPY_HEADER_SIZE) / element)
        return "its shape does not fit in memory";
    if (count > 0 && !array->data)
        return "its data is NULL";
    if (array->dtype == MUSTER_BOOL && !muster__bools_are_good(array->data, count))
        return "a bool of it is neither 0 nor 1";
    return NULL;
}

/* Reading. */

/* A place in the header's text, and what was read from it so far. */
struct parser {
    const char *at;
    const char *end;
    struct muster_error *error;
    struct muster_array array;
    bool fortran;
    unsigned keys_seen; /* one bit per key */
};

/* What is wrong with the header. */
#define FAULT(parser, ...) muster__error((parser)->error, MUSTER_FORMAT, "npy header: " __VA_ARGS__)

/* A part of the header's text. */
struct token {
    const char *start;
    size_t length;
};

/* For "%.*s": what is shown of a stranger's text. */
#define SHOWN(token) (int)((token).length < SHOWN_MAX ? (token).length : SHOWN_MAX), (token).start

static bool is(struct token token, const char *text)
{
    return token.length == strlen(text) && memcmp(token.start, text, token.length) == 0;
}

static void skip_space(struct parser *parser)
{
    while (parser->at < parser->end && memchr(" \t\r\n\f", *parser->at, 5))
        parser->at++;
}

/* Steps over `character` and the space before it, if that comes next. */
static bool take(struct parser *parser, char character)
{
    skip_space(parser);
    if (parser->at == parser->end || *parser->at != character)
        return false;
    parser->at++;
    return true;
}

/* Steps over a string in either kind of quotes. Escapes are not needed for any text that is accepted. */
static bool take_string(struct parser *parser, struct token *token)
{
    char quote = '\'';
    if (!take(parser, quote)) {
        quote = '"';
        if (!take(parser, quote))
            return false;
    }
    const char *close = memchr(parser->at, quote, (size_t)(parser->end - parser->at));
    if (!close)
        return false;
    *token = (struct token){parser->at, (size_t)(close - parser->at)};
    parser->at = close + 1;
    return true;
}

/* Steps over a name such as True; the token is empty when none comes next. */
static struct token take_name(struct parser *parser)
{
    skip_space(parser);
    struct token token = {parser->at, 0};
    while (parser->at < parser->end &&
           ((*parser->at >= 'a' && *parser->at <= 'z') || (*parser->at >= 'A' && *parser->at <= 'Z')))
        parser->at++;
    token.length = (size_t)(parser->at - token.start);
    return token;
}

/* Steps over a decimal number that fits, as Python writes it: no sign and no leading zeros. */
static bool take_number(struct parser *parser, uint64_t *number)
{
    skip_space(parser);
    const char *start = parser->at;
    *number = 0;
    while (parser->at < parser->end && isdigit((unsigned char)*parser->at)) {
        unsigned digit = (unsigned)(*parser->at - '0');
        if (*number > (UINT64_MAX - digit) / 10)
            return false;
        *number = *number * 10 + digit;
        parser->at++;
    }
    size_t digits = (size_t)(parser->at - start);
    if (digits == 0 || (digits > 1 && *start == '0'))
        return false;
    /* Python 2 on Windows wrote 3L. */
    if (parser->at < parser->end && *parser->at == 'L')
        parser->at++;
    return true;
}

static enum muster_status read_descr(struct parser *parser)
{
    struct token token;
    if (!take_string(parser, &token))
        return FAULT(parser, "'descr' is not a string; structured types are not supported");
    for (enum muster_dtype dtype = MUSTER_FLOAT32; dtype <= DTYPE_LAST; dtype++) {
        const char *descr = muster__dtype(dtype)->descr;
        if (is(token, descr)) {
            parser->array.dtype = dtype;
            return MUSTER_OK;
        }
        if (token.length == 3 && token.start[0] == '>' && memcmp(token.start + 1, descr + 1, 2) == 0)
            return FAULT(parser, "'>%s' is big-endian; convert with array.astype('%s')", descr + 1, descr);
    }
    return FAULT(parser,
                 "type '%.*s' is not supported; convert to float16, float32, float64, int8, "
                 "int32, int64, uint8 or bool",
                 SHOWN(token));
}

static enum muster_status read_order(struct parser *parser)
{
    struct token name = take_name(parser);
    parser->fortran = is(name, "True");
    if (!parser->fortran && !is(name, "False"))
        return FAULT(parser, "'fortran_order' is neither True nor False");
    return MUSTER_OK;
}

static enum muster_status read_shape(struct parser *parser)
{
    struct muster_array *array = &parser->array;
    if (!take(parser, '('))
        return FAULT(parser, "'shape' is not a tuple");
    while (!take(parser, ')')) {
        if (array->dimensions == MUSTER_DIMENSIONS_MAX)
            return FAULT(parser, "more than %d dimensions", MUSTER_DIMENSIONS_MAX);
        if (!take_number(parser, &array->shape[array->dimensions]))
            return FAULT(parser, "'shape' holds something else than numbers from 0 to 2^64-1");
        array->dimensions++;
        if (take(parser, ','))
            continue;
        /* In Python (3) is a number; only (3,) is a tuple. */
        if (array->dimensions == 1 || !take(parser, ')'))
            return FAULT(parser, "'shape' is not a tuple of numbers");
        break;
    }
    return MUSTER_OK;
}

static const struct {
    const char *key;
    enum muster_status (*read)(struct parser *parser);
} entries[] = {
    {"descr", read_descr},
    {"fortran_order", read_order},
    {"shape", read_shape},
};

enum { ENTRY_COUNT = sizeof(entries) / sizeof(entries[0]) };

static enum muster_status read_entry(struct parser *parser)
{
    struct token key;
    if (!take_string(parser, &key))
        return FAULT(parser, "a key in quotes is missing");
    if (!take(parser, ':'))
        return FAULT(parser, "no ':' after the key '%.*s'", SHOWN(key));
    for (size_t i = 0; i < ENTRY_COUNT; i++) {
        if (!is(key, entries[i].key))
            continue;
        if ((parser->keys_seen & (1U << i)) != 0)
            return FAULT(parser, "the key '%s' is there twice", entries[i].key);
        parser->keys_seen |= 1U << i;
        return entries[i].read(parser);
    }
    return FAULT(parser, "unknown key '%.*s'", SHOWN(key));
}

static enum muster_status read_dictionary(struct parser *parser)
{
    if (!take(parser, '{'))
        return FAULT(parser, "it does not begin with '{'");
    while (!take(parser, '}')) {
        enum muster_status status = read_entry(parser);
        if (status != MUSTER_OK)
            return status;
        if (take(parser, ','))
            continue;
        if (!take(parser, '}'))
            return FAULT(parser, "neither ',' nor '}' after a value");
        break;
    }
    skip_space(parser);
    if (parser->at != parser->end)
        return FAULT(parser, "something follows its '}'");
    for (size_t i = 0; i < ENTRY_COUNT; i++) {
        if ((parser->keys_seen & (1U << i)) == 0)
            return FAULT(parser, "the key '%s' is missing", entries[i].key);
    }
    return MUSTER_OK;
}

/* Finds the header's text, whose end is where the data begins. */
static enum muster_status find_header(const uint8_t *bytes, size_t size, struct parser *parser)
{
    if (size < MAGIC_SIZE + 2 || memcmp(bytes, MAGIC, MAGIC_SIZE) != 0)
        return muster__error(parser->error, MUSTER_FORMAT, "not an npy array: it does not begin as one");
    unsigned major = bytes[6];
    unsigned minor = bytes[7];
    if (major < 1 || major > 3 || minor != 0)
        return muster__error(parser->error, MUSTER_FORMAT,
                             "npy version %u.%u is not supported; 1.0, 2.0 and 3.0 are", major, minor);
    size_t length_size = major == 1 ? 2 : 4;
    const uint8_t *rest = bytes + MAGIC_SIZE + 2;
    size_t rest_size = size - MAGIC_SIZE - 2;
    if (rest_size < length_size)
        return FAULT(parser, "it breaks off");
    size_t length = 0;
    for (size_t i = 0; i < length_size; i++)
        length |= (size_t)rest[i] << (8 * i);
    if (length > HEADER_READ_MAX)
        return FAULT(parser, "it is longer than %d bytes", HEADER_READ_MAX);
    if (length > rest_size - length_size)
        return FAULT(parser, "it breaks off");
    parser->at = (const char *)rest + length_size;
    parser->end = parser->at + length;
    return MUSTER_OK;
}

/* Copies every stride-th element of `from` to `to`, which lies closely packed. */
static inline void gather_elements(uint8_t *to, const uint8_t *from, size_t count, size_t stride,
                                   size_t element)
{
    for (size_t i = 0; i < count; i++)
        memcpy(to + element * i, from + element * i * stride, element);
}

/* A copy of a size that the compiler knows is an assignment. */
static void gather(uint8_t *to, const uint8_t *from, size_t count, size_t stride, size_t element)
{
    switch (element) {
    case 1:
        gather_elements(to, from, count, stride, 1);
        break;
    case 2:
        gather_elements(to, from, count, stride, 2);
        break;
    case 4:
        gather_elements(to, from, count, stride, 4);
        break;
    default:
        gather_elements(to, from, count, stride, 8);
        break;
    }
}

/*
 * Copies an array in Fortran order (first index fastest) to `to` in C order, row by row. The array has
 * elements and at least one dimension. `index` counts through the rows: all indices but the last.
 */
static void transpose(const struct muster_array *array, uint8_t *to, const uint8_t *from)
{
    size_t element = muster_dtype_size(array->dtype);
    size_t strides[MUSTER_DIMENSIONS_MAX];
    size_t count = 1;
    for (uint32_t i = 0; i < array->dimensions; i++) {
        strides[i] = count;
        count *= (size_t)array->shape[i];
    }
    uint32_t last = array->dimensions - 1;
    size_t row = (size_t)array->shape[last];
    uint64_t index[MUSTER_DIMENSIONS_MAX] = {0};
    size_t offset = 0;
    for (size_t done = 0; done < count; done += row) {
        gather(to + done * element, from + offset * element, row, strides[last], element);
        for (uint32_t i = last; i-- > 0;) {
            offset += strides[i];
            if (++index[i] < array->shape[i])
                break;
            offset -= strides[i] * (size_t)array->shape[i];
            index[i] = 0;
        }
    }
}

/* Turns `size` bytes of data into C order where they lie. */
static enum muster_status to_c_order(const struct muster_array *array, uint8_t *data, size_t size,
                                     struct muster_error *error)
{
    if (size == 0 || array->dimensions < 2)
        return MUSTER_OK;
    uint8_t *copy = malloc(size);
    if (!copy)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory for turning %zu bytes into C order",
                             size);
    memcpy(copy, data, size);
    transpose(array, data, copy);
    free(copy);
    return MUSTER_OK;
}

static enum muster_status parse(struct parser *parser, const uint8_t *bytes, size_t size)
{
    enum muster_status status = find_header(bytes, size, parser);
    if (status == MUSTER_OK)
        status = read_dictionary(parser);
    if (status == MUSTER_OK && muster_array_count(&parser->array) == SIZE_MAX)
        return FAULT(parser, "'shape' is bigger than memory");
    return status;
}

enum muster_status muster__npy_parse_header(const uint8_t *bytes, size_t size, struct muster_array *array,
                                            struct muster_error *error)
{
    struct parser parser = {.error = error};
    enum muster_status status = parse(&parser, bytes, size);
    if (status != MUSTER_OK)
        return status;
    if (parser.fortran || (const uint8_t *)parser.end != bytes + size)
        return muster__error(error, MUSTER_FORMAT, "npy header: in Fortran order, or not alone");
    *array = parser.array;
    return MUSTER_OK;
}

enum muster_status muster__npy_parse(uint8_t *bytes, size_t size, struct muster_array *array,
                                     struct muster_error *error)
{
    struct parser parser = {.error = error};
    enum muster_status status = parse(&parser, bytes, size);
    if (status != MUSTER_OK)
        return status;
    size_t element = muster_dtype_size(parser.array.dtype);
    size_t wanted = muster__array_size(&parser.array);
    size_t header_size = (size_t)((const uint8_t *)parser.end - bytes);
    size_t data_size = size - header_size;
    if (wanted != data_size)
        return muster__error(error, MUSTER_FORMAT, "npy header: it says %zu bytes of data, but there are %zu",
                             wanted, data_size);

    uint8_t *data = bytes + header_size;
    if (parser.array.dtype == MUSTER_BOOL && !muster__bools_are_good(data, data_size))
        return muster__error(error, MUSTER_FORMAT, "npy data: a bool is neither 0 nor 1");
    size_t odd = (uintptr_t)data % element;
    if (odd != 0)
        memmove(data - odd, data, data_size);
    data -= odd;
    if (parser.fortran)
        status = to_c_order(&parser.array, data, data_size, error);
    if (status != MUSTER_OK)
        return status;
    parser.array.data = data;
    *array = parser.array;
    return MUSTER_OK;
}
