/* Judging a server's messages, one by one. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "conformance/look.h"
#include "conformance/visit.h"
#include "wire/wire.h"

#define EXPECT(...) checks_expect(visit->checks, __VA_ARGS__)

enum { TOKEN_SIZE = 16 };

static const char *word_for(const Muster__ServerMessage *message)
{
    const ProtobufCMessageDescriptor *descriptor = &muster__server_message__descriptor;
    if (message->content_case == MUSTER__SERVER_MESSAGE__CONTENT__NOT_SET)
        return "a message without content";
    return protobuf_c_message_descriptor_get_field(descriptor, (unsigned)message->content_case)->name;
}

static void judge_welcome(struct visit *visit, const Muster__Welcome *welcome)
{
    size_t size = welcome->session.len;
    if (!EXPECT(CHECK_S_WELCOME_ONCE, !visit->welcomed, "another Welcome came"))
        return;
    visit->welcomed = true;
    EXPECT(CHECK_S_WELCOME, !visit->original, "Welcome came, and we said no Hello");
    EXPECT(CHECK_S_WELCOME, visit->messages == 1, "Welcome is message %llu",
           (unsigned long long)visit->messages);
    EXPECT(CHECK_S_WELCOME, size == 0 || size == TOKEN_SIZE, "the token has %zu bytes", size);
    EXPECT(CHECK_S_WELCOME, strcmp(welcome->name, visit->name) == 0,
           "our name is '%s', and Welcome says '%s'", visit->name, welcome->name);
    EXPECT(CHECK_S_FEATURES, visit->has_features || welcome->heartbeat_ms == 0,
           "Welcome asks for heartbeats, every %llu ms", (unsigned long long)welcome->heartbeat_ms);
    visit->took_token =
        size > 0 && size == visit->token_size && memcmp(welcome->session.data, visit->token, size) == 0;
    visit->token_size = size <= sizeof(visit->token) ? size : 0;
    if (visit->token_size)
        memcpy(visit->token, welcome->session.data, visit->token_size);
    EXPECT(CHECK_S_WELCOME, visit->took_token || welcome->last_turn == 0,
           "the session is new, and Welcome says that turn %llu is over",
           (unsigned long long)welcome->last_turn);
    visit->welcome_last = welcome->last_turn;
}

/* The number of an instruction; whether it is another than the one before. */
static void judge_number(struct visit *visit, uint64_t turn)
{
    unsigned long long number = turn;
    if (visit->original) {
        EXPECT(CHECK_S_ORIGINAL, turn == 0, "we said no Hello, and an instruction has turn %llu", number);
        return;
    }
    bool again = visit->may_repeat && turn == visit->last_turn + 1;
    EXPECT(CHECK_S_TURNS, turn > visit->last_turn || again,
           "an instruction has turn %llu, and the last had %llu", number,
           (unsigned long long)visit->last_turn);
    EXPECT(CHECK_S_TURNS, visit->last_turn > 0 || turn == 1 || visit->instruction || visit->may_repeat,
           "the first instruction of the session has turn %llu", number);
}

static void judge_needs(struct visit *visit, const Muster__ServerMessage *message)
{
    if (visit->has_features)
        return;
    EXPECT(CHECK_S_FEATURES, message->granted == 0 && message->limit == 0,
           "an instruction has granted or limit, and we take no chunks");
    EXPECT(CHECK_S_FEATURES, message->heartbeat_ms == 0, "an instruction asks for heartbeats");
    EXPECT(CHECK_S_FEATURES, visit->announced == 0,
           "an instruction announces %llu bytes, and we take no chunks",
           (unsigned long long)visit->announced);
}

/* What was announced is there: its arrays are as if they had come whole. */
static void make_whole(struct visit *visit)
{
    Muster__Arrays *arrays = visit_arrays(visit->instruction);
    uint64_t offset = 0;
    for (size_t i = 0; arrays && visit->data && visit->sizes && i < arrays->n_theta; i++) {
        Muster__NDArray *array = arrays->theta[i];
        size_t head = array->header.len, size = visit->sizes[i];
        uint8_t *whole = head ? malloc(head + size) : NULL;
        if (!whole)
            continue;
        memcpy(whole, array->header.data, head);
        memcpy(whole + head, visit->data + offset, size);
        offset += size;
        free(array->ndarray.data);
        array->ndarray = (ProtobufCBinaryData){head + size, whole};
        free(array->header.data);
        array->header = (ProtobufCBinaryData){0, NULL};
    }
}

static void begin_instruction(struct visit *visit, Muster__ServerMessage *message)
{
    if (visit->instruction)
        muster__server_message__free_unpacked(visit->instruction, NULL);
    visit->instruction = message;
    visit->may_repeat = visit->answered = visit->cancelled = visit->has_grant = false;
    visit->received = 0;
    visit->grant = 0;
    visit->limit = message->limit;
    free(visit->data);
    visit->data =
        visit->announced && visit->announced <= VISIT_PAYLOAD_MAX ? calloc(1, visit->announced) : NULL;
    if (visit->announced == 0)
        visit->last_turn = message->turn;
}

/* Takes the message over. */
static void judge_instruction(struct visit *visit, Muster__ServerMessage *message, const uint8_t *bytes,
                              size_t size)
{
    const struct piece piece = {bytes, size};
    struct envelope envelope;
    struct muster_error error = {MUSTER_OK, ""};
    EXPECT(CHECK_S_INITIATIVE, visit->spoke, "%s came before our empty message", word_for(message));
    EXPECT(CHECK_S_WELCOME, visit->original || visit->welcomed, "%s came before Welcome", word_for(message));
    EXPECT(CHECK_S_ONE, !visit->instruction || visit->answered || visit->cancelled || visit->may_repeat,
           "turn %llu came, and turn %llu was neither answered nor cancelled",
           (unsigned long long)message->turn,
           visit->instruction ? (unsigned long long)visit->instruction->turn : 0);
    judge_number(visit, message->turn);
    visit->announced = 0;
    if (EXPECT(CHECK_ARRAYS, muster__decode(TO_PARTICIPANT, &piece, 1, &envelope, &error) == MUSTER_OK,
               "turn %llu: %s", (unsigned long long)message->turn, error.text)) {
        visit->announced = envelope.announced;
        free(visit->sizes);
        visit->sizes = calloc(envelope.message.array_count + 1, sizeof(*visit->sizes));
        for (size_t i = 0; visit->sizes && i < envelope.message.array_count; i++)
            visit->sizes[i] = muster__array_size(&envelope.message.arrays[i]);
        muster__envelope_clear(&envelope);
    }
    judge_needs(visit, message);
    begin_instruction(visit, message);
}

static bool is_known(const struct visit *visit, uint64_t turn)
{
    return visit->instruction && turn > 0 && turn <= visit->instruction->turn;
}

static void judge_chunk(struct visit *visit, uint64_t turn, const Muster__Chunk *chunk)
{
    unsigned long long number = turn, offset = chunk->offset;
    EXPECT(CHECK_S_FEATURES, visit->has_features, "a chunk came, and we take none");
    if (!EXPECT(CHECK_S_KNOWN_TURN, is_known(visit, turn), "a chunk is of turn %llu", number) ||
        turn != visit->instruction->turn)
        return; /* of one that was given up */
    EXPECT(CHECK_S_CHUNKS_IN, visit->announced > 0, "turn %llu has a chunk, and announces nothing", number);
    EXPECT(CHECK_S_CHUNKS_IN, offset == visit->received,
           "turn %llu: a chunk has the offset %llu, and %llu is next", number, offset,
           (unsigned long long)visit->received);
    EXPECT(CHECK_S_CHUNKS_IN, chunk->data.len > 0, "turn %llu: a chunk is empty", number);
    if (visit->data && offset == visit->received && offset <= visit->announced &&
        chunk->data.len <= visit->announced - offset)
        memcpy(visit->data + offset, chunk->data.data, chunk->data.len);
    visit->received += chunk->data.len;
    EXPECT(CHECK_S_CHUNKS_IN, visit->received <= visit->announced,
           "turn %llu: %llu bytes came, and %llu were announced", number, (unsigned long long)visit->received,
           (unsigned long long)visit->announced);
    if (visit->received < visit->announced)
        return;
    visit->last_turn = turn;
    if (visit->received == visit->announced)
        make_whole(visit);
}

static void judge_grant(struct visit *visit, uint64_t turn, const Muster__Grant *grant)
{
    EXPECT(CHECK_S_FEATURES, visit->has_features, "a Grant came, and we take no chunks");
    if (!EXPECT(CHECK_S_KNOWN_TURN, is_known(visit, turn), "a Grant is of turn %llu",
                (unsigned long long)turn) ||
        turn != visit->instruction->turn)
        return;
    visit->has_grant = true;
    visit->grant = grant->number;
    visit->limit = grant->limit;
}

/* True: the message was taken over. */
static bool judge_content(struct visit *visit, Muster__ServerMessage *message, const uint8_t *bytes,
                          size_t size)
{
    switch (message->content_case) {
    case MUSTER__SERVER_MESSAGE__CONTENT_WELCOME:
        judge_welcome(visit, message->welcome);
        return false;
    case MUSTER__SERVER_MESSAGE__CONTENT_TRAIN_CONFIG:
    case MUSTER__SERVER_MESSAGE__CONTENT_EVALUATE_CONFIG:
    case MUSTER__SERVER_MESSAGE__CONTENT_PAYLOAD:
        judge_instruction(visit, message, bytes, size);
        return true;
    case MUSTER__SERVER_MESSAGE__CONTENT_CHUNK:
        judge_chunk(visit, message->turn, message->chunk);
        return false;
    case MUSTER__SERVER_MESSAGE__CONTENT_GRANT:
        judge_grant(visit, message->turn, message->grant);
        return false;
    case MUSTER__SERVER_MESSAGE__CONTENT_CANCEL:
        EXPECT(CHECK_S_KNOWN_TURN, visit->original || is_known(visit, message->turn),
               "a cancel is of turn %llu", (unsigned long long)message->turn);
        visit->cancelled |= visit->instruction && message->turn == visit->instruction->turn;
        return false;
    case MUSTER__SERVER_MESSAGE__CONTENT_REFUSED:
        EXPECT(CHECK_S_FEATURES, visit->has_features, "Refused came, and we did not ask for it");
        EXPECT(CHECK_S_KNOWN_TURN, is_known(visit, message->turn), "Refused is of turn %llu",
               (unsigned long long)message->turn);
        return false;
    case MUSTER__SERVER_MESSAGE__CONTENT_RECONNECT_IN:
        visit->told_to_leave = true;
        return false;
    default:
        EXPECT(CHECK_FIELDS, false, "message %llu of the stream has no content",
               (unsigned long long)visit->messages);
        return false;
    }
}

void visit_judge(struct visit *visit, const uint8_t *bytes, size_t size)
{
    char text[LOOK_TEXT_SIZE] = "";
    enum look_fault fault = look_at(&muster__server_message__descriptor, bytes, size, text);
    Muster__ServerMessage *message = muster__server_message__unpack(NULL, size, bytes);
    bool taken = false;
    visit->messages++;
    EXPECT(CHECK_SIZE, size <= VISIT_MESSAGE_MAX, "a message has %zu bytes, and our Hello says %d", size,
           VISIT_MESSAGE_MAX);
    EXPECT(CHECK_TEXTS, fault != LOOK_TEXT, "%s", text);
    EXPECT(CHECK_FIELDS, fault != LOOK_UNKNOWN, "%s", text);
    if (EXPECT(CHECK_MALFORMED, message && fault != LOOK_MALFORMED, "message %llu of the stream: %s",
               (unsigned long long)visit->messages, fault ? text : "its bytes are no ServerMessage"))
        taken = judge_content(visit, message, bytes, size);
    if (message && !taken)
        muster__server_message__free_unpacked(message, NULL);
}
