/* Judging a participant's messages, one by one. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "conformance/guest.h"
#include "conformance/look.h"
#include "text.h"
#include "wire/wire.h"

#define EXPECT(...) checks_expect(guest->checks, __VA_ARGS__)

enum { NAME_MOST = 128, HELLO_MOST = 16384 };

typedef Muster__ParticipantMessage__ContentCase content_case;

static const char *word_for(const Muster__ParticipantMessage *message)
{
    const ProtobufCMessageDescriptor *descriptor = &muster__participant_message__descriptor;
    if (message->content_case == MUSTER__PARTICIPANT_MESSAGE__CONTENT__NOT_SET)
        return message->turn ? "a message with a turn and nothing else" : "the empty message";
    return protobuf_c_message_descriptor_get_field(descriptor, (unsigned)message->content_case)->name;
}

bool guest_chunks(const struct guest *guest)
{
    return guest->has_chunks && guest->offers_chunks;
}

uint64_t guest_newest_answered(const struct guest *guest)
{
    uint64_t turn = guest->turn;
    while (turn > 0 && !guest->turns[turn].answered)
        turn--;
    return turn;
}

static bool is_whole(const struct guest *guest, uint64_t turn)
{
    const struct guest_answer *answer = &guest->answer;
    return guest->turns[turn].answered && (answer->turn != turn || answer->received >= answer->announced);
}

bool guest_is_answered(const struct guest *guest)
{
    return guest->turn > 0 && is_whole(guest, guest->turn);
}

/* ---- Hello ---- */

static const char *name_fault(const char *name)
{
    size_t size = strlen(name);
    if (size > NAME_MOST)
        return "has more than 128 bytes";
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strpbrk(name, "/\\"))
        return "is \".\" or \"..\", or has a slash or a backslash";
    if (strncmp(name, "anonymous-", 10) == 0)
        return "begins with \"anonymous-\", which is the server's to give";
    if (size > 0 && (name[0] == ' ' || name[size - 1] == ' '))
        return "has a blank at an end";
    for (uint32_t character; size > 0;) {
        size_t read = muster__text_read(name, size, &character);
        if (read == 0)
            return NULL; /* another check says so */
        if (character < 0x20 || character == 0x7f || muster__text_is_harmful(character))
            return "has a character that is not seen";
        name += read;
        size -= read;
    }
    return NULL;
}

static void judge_first_hello(struct guest *guest, const Muster__Hello *hello)
{
    EXPECT(CHECK_HELLO, hello->session.len == 0,
           "its first Hello has a session, of %zu bytes: nobody gave it one", hello->session.len);
    EXPECT(CHECK_HELLO, hello->last_turn == 0 && !hello->answer_held,
           "its first Hello says last_turn %llu, answer_held %s: there was no turn",
           (unsigned long long)hello->last_turn, hello->answer_held ? "true" : "false");
}

static void judge_turn_of_hello(struct guest *guest, const Muster__Hello *hello)
{
    uint64_t answered = guest_newest_answered(guest);
    if (guest->was_told_to_leave && hello->last_turn == 0 && !hello->answer_held)
        return; /* it may begin anew */
    EXPECT(CHECK_RESUME_TURN, hello->last_turn >= answered,
           "last_turn is %llu, and it has answered turn %llu", (unsigned long long)hello->last_turn,
           (unsigned long long)answered);
    EXPECT(CHECK_RESUME_TURN, hello->last_turn <= guest->turn,
           "last_turn is %llu, and the newest turn was %llu", (unsigned long long)hello->last_turn,
           (unsigned long long)guest->turn);
    EXPECT(CHECK_RESUME_TURN, !hello->answer_held || hello->last_turn > 0,
           "answer_held is true, and last_turn 0");
}

static void judge_return(struct guest *guest, const Muster__Hello *hello)
{
    bool resumes = hello->session.len > 0;
    bool same = hello->session.len == GUEST_TOKEN_SIZE &&
                memcmp(hello->session.data, guest->token, GUEST_TOKEN_SIZE) == 0;
    EXPECT(CHECK_RESUME_TOKEN, !resumes || same,
           "its Hello has another session, of %zu bytes, than Welcome gave it", hello->session.len);
    EXPECT(CHECK_RESUME_NAME, strcmp(hello->name, guest->name) == 0 || (!resumes && !*hello->name),
           "it comes back as '%s', and its name is '%s'", hello->name, guest->name);
    EXPECT(CHECK_RESUME_NAME, hello->former_rank == 0 || hello->former_rank == guest->rank + 1,
           "former_rank is %llu, and its rank was %llu (one more is to be sent)",
           (unsigned long long)hello->former_rank, (unsigned long long)guest->rank);
    if (same)
        judge_turn_of_hello(guest, hello);
    else if (!resumes)
        EXPECT(CHECK_RESUME_TURN, hello->last_turn == 0 && !hello->answer_held,
               "last_turn or answer_held is set, and no session");
}

static void read_features(struct guest *guest, const Muster__Hello *hello)
{
    guest->has_chunks = guest->has_heartbeats = false;
    for (size_t i = 0; i < hello->n_features; i++) {
        guest->has_chunks |= strcmp(hello->features[i], "chunks") == 0;
        guest->has_heartbeats |= strcmp(hello->features[i], "heartbeats") == 0;
    }
}

static void judge_hello(struct guest *guest, const Muster__Hello *hello, size_t size)
{
    const char *fault = name_fault(hello->name);
    guest->said_hello = true;
    EXPECT(CHECK_HELLO, size <= HELLO_MOST, "Hello has %zu bytes, more than 16 KiB", size);
    EXPECT(CHECK_HELLO, !fault, "the name '%s' %s", hello->name, fault ? fault : "");
    if (guest->has_session)
        judge_return(guest, hello);
    else
        judge_first_hello(guest, hello);
    read_features(guest, hello);
    snprintf(guest->called, sizeof(guest->called), "%s", hello->name);
    guest->shown_size = hello->session.len <= GUEST_TOKEN_SIZE ? hello->session.len : 0;
    if (guest->shown_size)
        memcpy(guest->shown, hello->session.data, guest->shown_size);
    guest->last_turn = hello->last_turn;
    guest->answer_held = hello->answer_held;
    guest->max_message_size = hello->max_message_size;
    guest->max_payload_size = hello->max_payload_size;
}

/* ---- answers ---- */

static bool is_of_kind(Muster__ServerMessage__ContentCase kind, const Muster__ParticipantMessage *message)
{
    switch (message->content_case) {
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_RESULT:
        return kind == MUSTER__SERVER_MESSAGE__CONTENT_TRAIN_CONFIG;
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_EVALUATE_RESULT:
        return kind == MUSTER__SERVER_MESSAGE__CONTENT_EVALUATE_CONFIG;
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_PAYLOAD:
        return kind == MUSTER__SERVER_MESSAGE__CONTENT_PAYLOAD;
    default: /* a failure, or that it does not know it */
        return true;
    }
}

/* What is in an answer, or a report, as every server reads it; the bytes that follow in chunks. */
static uint64_t judge_inside(struct guest *guest, enum check check, const uint8_t *bytes, size_t size)
{
    const struct piece piece = {bytes, size};
    struct envelope envelope;
    struct muster_error error;
    enum muster_status status = muster__decode(TO_SERVER, &piece, 1, &envelope, &error);
    if (!EXPECT(check, status == MUSTER_OK, "turn %llu: %s", (unsigned long long)guest->turn, error.text))
        return 0;
    uint64_t announced = envelope.announced;
    muster__envelope_clear(&envelope);
    return announced;
}

/* The turn that an answer is for; 0: none, and why is said. */
static uint64_t judge_turn(struct guest *guest, const Muster__ParticipantMessage *message)
{
    unsigned long long turn = message->turn;
    const char *word = word_for(message);
    if (guest->original) {
        EXPECT(CHECK_ANSWER_TURN, turn == 0, "%s has the turn %llu, which the original does not know", word,
               turn);
        bool waits = guest->turn > 0 && !guest->turns[guest->turn].answered;
        return EXPECT(CHECK_ANSWER_ONCE, waits, "%s answers nothing: each instruction was answered", word)
                   ? guest->turn
                   : 0;
    }
    bool named =
        EXPECT(CHECK_ANSWER_TURN, turn > 0, "%s has no turn; the newest is %llu", word,
               (unsigned long long)guest->turn) &&
        EXPECT(CHECK_ANSWER_TURN, turn <= guest->turn, "%s answers turn %llu, and the newest is %llu", word,
               turn, (unsigned long long)guest->turn);
    if (!named)
        return guest->turns[guest->turn].answered ? 0 : guest->turn; /* what it may have meant */
    if (!EXPECT(CHECK_ANSWER_ONCE, !guest->turns[turn].answered, "%s answers turn %llu again", word, turn))
        return 0;
    if (guest->turns[turn].given_up)
        EXPECT(CHECK_CANCEL, guest_newest_answered(guest) < turn,
               "turn %llu was given up, and it answers it after it has answered turn %llu", turn,
               (unsigned long long)guest_newest_answered(guest));
    return turn;
}

static void judge_answer(struct guest *guest, const Muster__ParticipantMessage *message, const uint8_t *bytes,
                         size_t size)
{
    uint64_t turn = judge_turn(guest, message);
    if (turn == 0)
        return;
    guest->turns[turn].answered = true;
    EXPECT(CHECK_ANSWER_KIND, is_of_kind(guest->turns[turn].kind, message), "turn %llu is answered with %s",
           (unsigned long long)turn, word_for(message));
    uint64_t announced = guest->good_texts ? judge_inside(guest, CHECK_ARRAYS, bytes, size) : 0;
    if (announced > 0)
        guest_judge_announced(guest, turn, announced);
}

/* ---- what is said beside answers ---- */

static void judge_progress(struct guest *guest, uint64_t turn, double fraction)
{
    EXPECT(CHECK_PROGRESS, fraction >= 0 && fraction <= 1, "turn %llu: its fraction is %g",
           (unsigned long long)turn, fraction);
    if (!EXPECT(CHECK_PROGRESS, turn > 0 && turn <= guest->turn, "it is of turn %llu, and the newest is %llu",
                (unsigned long long)turn, (unsigned long long)guest->turn))
        return;
    EXPECT(CHECK_PROGRESS, !guest->turns[turn].answered, "it is of turn %llu, which it has answered",
           (unsigned long long)turn);
}

/* Whether it may think that it works on something: a heartbeat may be on its way behind the last chunk, too. */
static bool is_busy(const struct guest *guest)
{
    for (uint64_t turn = guest_newest_answered(guest); turn <= guest->turn; turn++) {
        if (turn > 0 && (!is_whole(guest, turn) || guest->answer.turn == turn))
            return true;
    }
    return false;
}

static void judge_alive(struct guest *guest, uint64_t turn)
{
    guest->alive_count++;
    EXPECT(CHECK_ALIVE_UNASKED, guest->has_heartbeats && guest->heartbeat_ms > 0,
           guest->has_heartbeats ? "it was not asked for heartbeats" : "its Hello has no \"heartbeats\"");
    EXPECT(CHECK_ALIVE_UNASKED, is_busy(guest), "every turn was answered");
    EXPECT(CHECK_ALIVE_UNASKED, turn == 0, "it has a turn");
}

static void judge_ask(struct guest *guest, uint64_t turn)
{
    EXPECT(CHECK_ASK, guest->offers_asks, "Welcome had no \"asks\"");
    EXPECT(CHECK_ASK, turn == 0, "it has a turn");
    if (EXPECT(CHECK_ASK, guest->asks_left > 0, "one stands already, and no instruction has come since"))
        guest->asks_left--;
}

/* ---- in which order ---- */

static void judge_first(struct guest *guest, const Muster__ParticipantMessage *message, size_t size)
{
    bool empty = message->content_case == MUSTER__PARTICIPANT_MESSAGE__CONTENT__NOT_SET && message->turn == 0;
    bool hello = message->content_case == MUSTER__PARTICIPANT_MESSAGE__CONTENT_HELLO;
    enum profile profile = guest->options->profile;
    if (!EXPECT(CHECK_FIRST, empty || hello, "its first message is %s", word_for(message)) ||
        !EXPECT(CHECK_FIRST, profile == PROFILE_ANY || (profile == PROFILE_FULL) == hello,
                hello ? "it says Hello, which the original does not have"
                      : "it is empty, as in the original")) {
        guest_refuse(guest, "the first message is to be Hello, or an empty one");
        return;
    }
    if (!guest->has_session)
        guest->original = empty;
    if (hello)
        judge_hello(guest, message->hello, size);
    guest->ready = empty;
}

/* Before the initiative is passed. */
static void judge_early(struct guest *guest, const Muster__ParticipantMessage *message)
{
    bool empty = message->content_case == MUSTER__PARTICIPANT_MESSAGE__CONTENT__NOT_SET && message->turn == 0;
    if (!guest->welcomed)
        EXPECT(CHECK_WAITS, false, "it sent %s", word_for(message));
    else
        EXPECT(CHECK_INITIATIVE, empty, "after Welcome it sent %s", word_for(message));
    guest->ready |= empty;
}

static void judge_open(struct guest *guest, const Muster__ParticipantMessage *message, const uint8_t *bytes,
                       size_t size)
{
    switch (message->content_case) {
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_RESULT:
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_EVALUATE_RESULT:
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_PAYLOAD:
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_FAILURE:
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_UNKNOWN_INSTRUCTION:
        judge_answer(guest, message, bytes, size);
        break;
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_PROGRESS:
        judge_progress(guest, message->turn, message->progress->fraction);
        if (guest->good_texts)
            judge_inside(guest, CHECK_PROGRESS, bytes, size);
        break;
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_CHUNK:
        guest_judge_chunk(guest, message->turn, message->chunk);
        break;
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_ALIVE:
        judge_alive(guest, message->turn);
        break;
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_ASK:
        judge_ask(guest, message->turn);
        break;
    default:
        EXPECT(guest->original ? CHECK_ANSWER_KIND : CHECK_INITIATIVE, false, "it sent %s among answers",
               word_for(message));
    }
}

void guest_judge(struct guest *guest, const uint8_t *bytes, size_t size)
{
    char text[LOOK_TEXT_SIZE] = "";
    enum look_fault fault = look_at(&muster__participant_message__descriptor, bytes, size, text);
    Muster__ParticipantMessage *message = muster__participant_message__unpack(NULL, size, bytes);
    guest->messages++;
    guest->good_texts = fault != LOOK_TEXT;
    EXPECT(CHECK_SIZE, size <= GUEST_MESSAGE_MAX, "a message has %zu bytes, and %zu is the limit", size,
           GUEST_MESSAGE_MAX);
    EXPECT(CHECK_TEXTS, fault != LOOK_TEXT, "%s", text);
    EXPECT(CHECK_FIELDS, fault != LOOK_UNKNOWN, "%s", text);
    if (!EXPECT(CHECK_MALFORMED, message && fault != LOOK_MALFORMED, "message %llu of the stream: %s",
                (unsigned long long)guest->messages, fault ? text : "its bytes are no ParticipantMessage"))
        guest_refuse(guest, "the message is malformed");
    else if (guest->messages == 1)
        judge_first(guest, message, size);
    else if (message->content_case == MUSTER__PARTICIPANT_MESSAGE__CONTENT_HELLO)
        EXPECT(CHECK_HELLO_ONCE, false, "message %llu of the stream is another Hello",
               (unsigned long long)guest->messages);
    else if (!guest->ready)
        judge_early(guest, message);
    else
        judge_open(guest, message, bytes, size);
    if (message)
        muster__participant_message__free_unpacked(message, NULL);
}
