/* Reading messages: in any pieces, as protobuf-c does, and so that what was read can be written. */
#include <config.h>

#include <string.h>

#include "fuzz/message.h"
#include "text.h"
#include "wire/array.h"
#include "wire/reader.h"
#include "wire/wire.h"

/* ---- memory: what the library takes for one message ---- */

static size_t allocated;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
    allocated += size;
    return __real_malloc(size);
}

/* A field costs at most the entry in a table and the alignment of its data, or what protobuf-c makes of
   it. */
static size_t allowed(size_t size)
{
    enum { LEAST = 4096, EACH = 192, TIMES = 3 };
    size_t fields = size / 2 < WIRE_FIELDS_MAX ? size / 2 : WIRE_FIELDS_MAX;
    return LEAST + EACH * fields + TIMES * size;
}

/* ---- pieces ---- */

enum { PIECES_MAX = 8 };

/* Each in memory of its own, so that a tool sees who reads beyond it. */
static size_t cut(struct input *input, struct piece pieces[PIECES_MAX])
{
    size_t cuts[PIECES_MAX];
    size_t count = take_byte(input) % PIECES_MAX + 1;
    for (size_t i = 0; i + 1 < count; i++)
        cuts[i] = take_size(input);
    cuts[count - 1] = input->left;
    for (size_t i = 0; i < count; i++) {
        struct input part = take_bytes(input, i + 1 < count ? cuts[i] : input->left);
        uint8_t *copy = malloc(part.left ? part.left : 1);
        CHECK(copy);
        if (part.left)
            memcpy(copy, part.at, part.left);
        pieces[i] = (struct piece){copy, part.left};
    }
    return count;
}

static void free_pieces(const struct piece *pieces, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)pieces[i].data);
}

static uint8_t *join(const struct piece *pieces, size_t count, size_t *size)
{
    struct reader reader = muster__reader(pieces, count);
    *size = reader.left;
    uint8_t *bytes = malloc(*size ? *size : 1);
    CHECK(bytes);
    muster__read_bytes(&reader, bytes, *size);
    return bytes;
}

/* ---- whether two are the same ---- */

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_bytes(const void *a, const void *b, size_t size)
{
    return size == 0 || memcmp(a, b, size) == 0;
}

static bool same_array(const struct muster_array *a, const struct muster_array *b)
{
    size_t size = muster_array_count(a) * muster_dtype_size(a->dtype);
    return a->dtype == b->dtype && a->dimensions == b->dimensions &&
           same_bytes(a->shape, b->shape, a->dimensions * sizeof(a->shape[0])) &&
           (!a->data || !b->data ? !a->data && !b->data : same_bytes(a->data, b->data, size));
}

static bool same_value(const struct muster_value *a, const struct muster_value *b)
{
    if (a->kind != b->kind || !same_text(a->name, b->name))
        return false;
    switch (a->kind) {
    case MUSTER_VALUE_INTEGER:
        return a->integer == b->integer;
    case MUSTER_VALUE_BOOL:
        return a->boolean == b->boolean;
    case MUSTER_VALUE_TEXT:
        return same_text(a->text, b->text);
    case MUSTER_VALUE_BYTES:
        return a->size == b->size && same_bytes(a->bytes, b->bytes, a->size);
    }
    return false;
}

static const struct muster_value *find_value(const struct muster_message *message, const char *name)
{
    size_t i = 0;
    while (i < message->value_count && strcmp(message->values[i].name, name) != 0)
        i++;
    CHECK(i < message->value_count);
    return &message->values[i];
}

static bool same_message(const struct muster_message *a, const struct muster_message *b)
{
    if (a->kind != b->kind || a->array_count != b->array_count || a->scalar_count != b->scalar_count ||
        a->value_count != b->value_count || !a->array_names != !b->array_names || a->size != b->size ||
        a->code != b->code || a->reconnect_seconds != b->reconnect_seconds || !same_text(a->type, b->type) ||
        !same_text(a->text, b->text))
        return false;
    for (size_t i = 0; i < a->array_count; i++) {
        if (!same_array(&a->arrays[i], &b->arrays[i]) ||
            (a->array_names && !same_text(a->array_names[i], b->array_names[i])))
            return false;
    }
    for (size_t i = 0; i < a->value_count; i++) { /* numbers come first when they were written */
        if (!same_value(&a->values[i], find_value(b, a->values[i].name)))
            return false;
    }
    for (size_t i = 0; i < a->scalar_count; i++) {
        if (!same_text(a->scalars[i].name, b->scalars[i].name) ||
            !same_bytes(&a->scalars[i].value, &b->scalars[i].value, sizeof(double)))
            return false;
    }
    return !a->data || !b->data ? !a->data && !b->data : same_bytes(a->data, b->data, a->size);
}

static bool same_packed(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
    size_t size = protobuf_c_message_get_packed_size(a);
    uint8_t *packed[2] = {malloc(size + 1), malloc(size + 1)};
    CHECK(packed[0] && packed[1]);
    bool same = protobuf_c_message_get_packed_size(b) == size &&
                protobuf_c_message_pack(a, packed[0]) == size &&
                protobuf_c_message_pack(b, packed[1]) == size && memcmp(packed[0], packed[1], size) == 0;
    free(packed[0]);
    free(packed[1]);
    return same;
}

static bool same_chunk(struct reader a, struct reader b)
{
    if (a.left != b.left)
        return false;
    uint8_t *bytes[2] = {malloc(a.left + 1), malloc(a.left + 1)};
    CHECK(bytes[0] && bytes[1]);
    size_t size = a.left;
    muster__read_bytes(&a, bytes[0], size);
    muster__read_bytes(&b, bytes[1], size);
    bool same = memcmp(bytes[0], bytes[1], size) == 0;
    free(bytes[0]);
    free(bytes[1]);
    return same;
}

static bool same_envelope(const struct envelope *a, const struct envelope *b)
{
    return a->content == b->content && a->turn == b->turn && a->grant == b->grant &&
           (a->limit == b->limit || a->content == CONTENT_CHUNK) && /* it has none */
           a->announced == b->announced && a->offset == b->offset &&
           a->progress == b->progress && /* -0 is written as 0 */
           same_message(&a->message, &b->message) && same_chunk(a->chunk, b->chunk) &&
           !a->unpacked == !b->unpacked && (!a->unpacked || same_packed(a->unpacked, b->unpacked));
}

/* ---- writing what was read ---- */

static size_t count_fields(const struct muster_message *message)
{
    size_t fields = 2 + (message->array_names ? 3 : 2) * message->array_count + 3 * message->scalar_count +
                    4 * message->value_count;
    for (size_t i = 0; i < message->array_count; i++)
        fields += message->arrays[i].dtype == MUSTER_BFLOAT16;
    return fields;
}

/* One of those that are written without a body. */
static struct buffer *bodiless(size_t encode(uint8_t head[STREAM_HEAD_MAX]))
{
    uint8_t head[STREAM_HEAD_MAX];
    size_t size = encode(head);
    struct buffer *body = muster__buffer_new(size);
    CHECK(body);
    memcpy(body->data, head, size);
    return body;
}

static struct buffer *write_body(enum direction direction, const struct envelope *envelope)
{
    const struct muster_message *message = &envelope->message;
    const struct encoding encoding = {.max_message_size = SIZE_MAX};
    struct buffer *body = NULL;
    switch (envelope->content) {
    case CONTENT_HELLO:
        return muster__encode_hello(NULL, envelope->hello);
    case CONTENT_WELCOME:
        return muster__encode_welcome(envelope->welcome);
    case CONTENT_CANCEL:
        return muster__encode_cancel();
    case CONTENT_GRANT:
        return muster__buffer_new(0); /* all of it is in the head */
    case CONTENT_PROGRESS:
        CHECK(muster__report_check(message, NULL) == MUSTER_OK);
        return muster__encode_progress(envelope->progress, message);
    case CONTENT_ALIVE:
        return bodiless(muster__encode_alive);
    case CONTENT_ASK:
        return bodiless(muster__encode_ask);
    case CONTENT_REFUSED:
        return muster__encode_refused(envelope->message.text);
    default:
        break;
    }
    enum muster_status status = muster__encode(direction, message, &encoding, &body, NULL);
    bool goes = message->kind != MUSTER_EMPTY || direction == TO_SERVER;
    bool fits = count_fields(message) <= WIRE_FIELDS_MAX;
    CHECK(status == (goes && fits ? MUSTER_OK : MUSTER_INVALID));
    return body;
}

/* What goes before the body, or before a chunk's data. */
static size_t write_head(enum direction direction, const struct envelope *envelope,
                         uint8_t head[STREAM_HEAD_MAX])
{
    if (envelope->content == CONTENT_CHUNK)
        return muster__encode_chunk(direction, envelope->turn, envelope->grant, envelope->offset,
                                    envelope->chunk.left, head);
    if (envelope->content == CONTENT_GRANT)
        return muster__encode_grant(envelope->turn, envelope->grant, envelope->limit, head);
    if (direction == TO_PARTICIPANT)
        return muster__encode_instruction_head(envelope->turn, envelope->grant, envelope->limit,
                                               envelope->heartbeat_ms, head);
    return muster__encode_turn(direction, envelope->turn, head);
}

static void write_again(enum direction direction, const struct envelope *envelope)
{
    uint8_t head[STREAM_HEAD_MAX];
    struct buffer *body = NULL;
    uint8_t *chunk = NULL;
    struct piece pieces[2] = {{head, write_head(direction, envelope, head)}};
    CHECK(pieces[0].size <= sizeof(head));
    if (envelope->content == CONTENT_CHUNK) {
        struct reader reader = envelope->chunk;
        pieces[1].size = reader.left;
        pieces[1].data = chunk = malloc(reader.left + 1);
        CHECK(chunk);
        muster__read_bytes(&reader, chunk, reader.left);
    } else if ((body = write_body(direction, envelope))) {
        pieces[1] = (struct piece){body->data, body->size};
    }
    struct envelope again;
    if (body || chunk) {
        CHECK(muster__decode(direction, pieces, 2, &again, NULL) == MUSTER_OK);
        CHECK(same_envelope(envelope, &again));
        muster__envelope_clear(&again);
    }
    muster__buffer_release(body);
    free(chunk);
}

/* ---- protobuf-c's view ---- */

/* Contents in a message; protobuf-c merges several, which nobody sends. */
static size_t count_contents(const ProtobufCMessageDescriptor *descriptor, struct reader reader)
{
    struct field field;
    size_t count = 0;
    while (reader.left && muster__read_field(&reader, &field)) {
        const ProtobufCFieldDescriptor *known =
            protobuf_c_message_descriptor_get_field(descriptor, field.number);
        count += known && known->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
    }
    return count;
}

static void compare_array(const Muster__NDArray *theirs, const struct muster_array *ours)
{
    struct muster_array array;
    if (theirs->header.len) {
        CHECK(muster__npy_parse_header(theirs->header.data, theirs->header.len, &array, NULL) == MUSTER_OK);
    } else {
        CHECK(muster__npy_parse(theirs->ndarray.data, theirs->ndarray.len, &array, NULL) == MUSTER_OK);
    }
    CHECK(same_array(&array, ours));
}

static void compare_scalar(const Muster__Scalar *theirs, const struct muster_message *ours, size_t *scalar)
{
    const struct muster_value *value;
    switch (theirs->exact_case) {
    case MUSTER__SCALAR__EXACT_INTEGER:
        value = find_value(ours, theirs->name);
        CHECK(value->kind == MUSTER_VALUE_INTEGER && value->integer == theirs->integer);
        CHECK(muster_message_integer(ours, theirs->name, ~theirs->integer) == theirs->integer);
        break;
    case MUSTER__SCALAR__EXACT_BOOLEAN:
        value = find_value(ours, theirs->name);
        CHECK(value->kind == MUSTER_VALUE_BOOL && value->boolean == !!theirs->boolean);
        CHECK(muster_message_bool(ours, theirs->name, !theirs->boolean) == !!theirs->boolean);
        break;
    default:
        CHECK(*scalar < ours->scalar_count);
        CHECK(same_text(theirs->name, ours->scalars[*scalar].name));
        CHECK(same_bytes(&theirs->value, &ours->scalars[(*scalar)++].value, sizeof(double)));
        break;
    }
}

static size_t compare_value(const Muster__Value *theirs, const struct muster_message *ours)
{
    size_t size;
    const void *bytes;
    switch (theirs->kind_case) {
    case MUSTER__VALUE__KIND_TEXT:
        CHECK(same_text(muster_message_text(ours, theirs->name, NULL), theirs->text));
        return 1;
    case MUSTER__VALUE__KIND_DATA:
        bytes = muster_message_bytes(ours, theirs->name, &size);
        CHECK(bytes && size == theirs->data.len && same_bytes(bytes, theirs->data.data, size));
        return 1;
    default:
        return 0;
    }
}

static void compare_arrays(const Muster__Arrays *theirs, const struct muster_message *ours)
{
    size_t scalars = 0, values = 0;
    CHECK(theirs->n_theta == ours->array_count);
    CHECK(theirs->n_names == (ours->array_names ? ours->array_count : 0));
    for (size_t i = 0; i < theirs->n_theta; i++)
        compare_array(theirs->theta[i], &ours->arrays[i]);
    for (size_t i = 0; i < theirs->n_names; i++)
        CHECK(same_text(theirs->names[i], ours->array_names[i]));
    for (size_t i = 0; i < theirs->n_scalars; i++)
        compare_scalar(theirs->scalars[i], ours, &scalars);
    for (size_t i = 0; i < theirs->n_values; i++)
        values += compare_value(theirs->values[i], ours);
    CHECK(scalars == ours->scalar_count);
    CHECK(values + theirs->n_scalars - scalars == ours->value_count);
    CHECK(muster_arrays_match(ours, ours, NULL) == MUSTER_OK);
}

static void compare_progress(const Muster__Progress *theirs, const struct envelope *ours)
{
    size_t scalars = 0;
    CHECK(same_bytes(&theirs->fraction, &ours->progress, sizeof(double)));
    CHECK(theirs->n_scalars <= MUSTER_REPORT_NUMBERS_MAX);
    for (size_t i = 0; i < theirs->n_scalars; i++) {
        CHECK(strlen(theirs->scalars[i]->name) <= MUSTER_REPORT_NAME_MAX);
        compare_scalar(theirs->scalars[i], &ours->message, &scalars);
    }
    CHECK(scalars == ours->message.scalar_count);
    CHECK(theirs->n_scalars - scalars == ours->message.value_count);
}

/* What is shown of a text is text, has nothing that commands a terminal, and is shown as it is. */
static void check_harmless(const char *text)
{
    char shown[16], again[16];
    muster_text_harmless(text, shown, sizeof(shown));
    CHECK(muster__text_is_good(shown, strlen(shown)) && strlen(shown) <= strlen(text));
    CHECK(strcmp(muster_text_harmless(shown, again, sizeof(again)), shown) == 0);
    for (const char *at = shown; *at; at++)
        CHECK((unsigned char)*at >= 0x20 && *at != 0x7f);
}

static void compare_rest(const struct unpacked *theirs, const struct envelope *ours)
{
    const struct muster_message *message = &ours->message;
    if (theirs->payload) {
        CHECK(same_text(theirs->payload->type, message->type));
        CHECK(theirs->payload->announced == ours->announced);
        CHECK((ours->announced ? ours->announced : theirs->payload->data.len) == message->size);
        CHECK(!message->data || same_bytes(theirs->payload->data.data, message->data, message->size));
    }
    if (theirs->failure) {
        CHECK(theirs->failure->code == message->code && same_text(theirs->failure->text, message->text));
        check_harmless(message->text);
    }
    if (theirs->refused) {
        CHECK(same_text(theirs->refused->text, message->text));
        check_harmless(message->text);
    }
    if (theirs->progress)
        compare_progress(theirs->progress, ours);
    if (theirs->chunk) {
        const struct piece piece = {theirs->chunk->data.data, theirs->chunk->data.len};
        CHECK(theirs->chunk->offset == ours->offset);
        CHECK(same_chunk(muster__reader(&piece, 1), ours->chunk));
    }
    if (theirs->hello_or_welcome)
        CHECK(same_packed(theirs->hello_or_welcome, ours->unpacked));
    CHECK(theirs->reconnect_seconds == message->reconnect_seconds);
}

static void compare(const struct unpacked *theirs, const struct envelope *ours)
{
    uint64_t grant = theirs->chunk           ? theirs->chunk->grant
                     : theirs->grant_message ? theirs->grant_message->number
                                             : theirs->grant;
    uint64_t limit = theirs->grant_message ? theirs->grant_message->limit : theirs->limit;
    CHECK(theirs->turn == ours->turn && grant == ours->grant && limit == ours->limit);
    CHECK(theirs->content == ours->content && theirs->kind == ours->message.kind);
    if (theirs->arrays)
        compare_arrays(theirs->arrays, &ours->message);
    else
        compare_rest(theirs, ours);
}

void fuzz_message(enum direction direction, const ProtobufCMessageDescriptor *descriptor,
                  void (*look)(const ProtobufCMessage *message, struct unpacked *unpacked),
                  const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct piece pieces[PIECES_MAX];
    size_t count = cut(&input, pieces);
    struct envelope envelope;
    struct muster_error error;
    size_t message_size;
    uint8_t *bytes = join(pieces, count, &message_size);
    allocated = 0;
    enum muster_status status = muster__decode(direction, pieces, count, &envelope, &error);
    CHECK(allocated <= allowed(message_size));
    if (status == MUSTER_OK) {
        ProtobufCMessage *message = protobuf_c_message_unpack(descriptor, NULL, message_size, bytes);
        if (message && count_contents(descriptor, muster__reader(pieces, count)) <= 1) {
            struct unpacked unpacked = {.content = CONTENT_MESSAGE, .kind = MUSTER_EMPTY};
            look(message, &unpacked);
            compare(&unpacked, &envelope);
        }
        if (message)
            protobuf_c_message_free_unpacked(message, NULL);
        if (!envelope.announced)
            write_again(direction, &envelope);
        muster__envelope_clear(&envelope);
    } else {
        CHECK((status == MUSTER_PROTOCOL || status == MUSTER_INVALID) && error.status == status &&
              error.text[0]);
    }
    free(bytes);
    free_pieces(pieces, count);
}
