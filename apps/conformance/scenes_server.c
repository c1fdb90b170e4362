/* The play for a server: what it refuses, a session without features, one with all of them, and the original. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "conformance/scenes.h"
#include "conformance/visit.h"

#define EXPECT(...) checks_expect(visit->checks, __VA_ARGS__)

/* A stranger's token is tried again so often while the name is not free yet. */
enum { TRIES = 50 };

/* ---- what is to be refused ---- */

static void expect_refused(struct visit *visit, enum check check, const char *what)
{
    bool over = visit_await_end(visit);
    EXPECT(check, over && visit->status == MUSTER_PROTOCOL, "%s: %s %s", what,
           over ? "the stream ended with" : "the stream goes on",
           over ? muster_status_name(visit->status) : "");
    if (!over)
        visit_cut(visit);
}

/* Whether there is a server at all. */
static bool other_method(struct visit *visit)
{
    static const struct service other = {.name = "ParticipantManager",
                                         .method = "/ParticipantManager/Disconnect",
                                         .to_server = "ParticipantMessage",
                                         .to_client = "ServerMessage"};
    if (!visit_open_service(visit, &other))
        return false;
    bool over = visit_await_end(visit);
    if (!EXPECT(CHECK_S_REACHED, !over || visit->status != MUSTER_UNAVAILABLE, "%s", visit->text))
        return false;
    EXPECT(CHECK_S_METHOD, over && visit->status == MUSTER_UNSUPPORTED, "/ParticipantManager/Disconnect: %s",
           over ? muster_status_name(visit->status) : "the stream goes on");
    if (!over)
        visit_cut(visit);
    return true;
}

static void first_messages(struct visit *visit)
{
    Muster__ParticipantMessage message = MUSTER__PARTICIPANT_MESSAGE__INIT;
    Muster__Progress progress = MUSTER__PROGRESS__INIT;
    static const uint8_t not_utf8[] = {0x1a, 0x04, 0x0a, 0x02, 0xc3, 0x28};
    static const uint8_t no_message[] = {0x1a, 0x7f, 0x01};
    message.content_case = MUSTER__PARTICIPANT_MESSAGE__CONTENT_PROGRESS;
    message.progress = &progress;
    if (!visit_open(visit))
        return;
    visit_send(visit, &message);
    expect_refused(visit, CHECK_S_BAD_FIRST, "progress as the first message");
    if (!visit_open(visit))
        return;
    visit_send_bytes(visit, not_utf8, sizeof(not_utf8));
    expect_refused(visit, CHECK_S_BAD_TEXT, "a name with the bytes c3 28");
    if (!visit_open(visit))
        return;
    visit_send_bytes(visit, no_message, sizeof(no_message));
    expect_refused(visit, CHECK_S_BAD_BYTES, "a Hello that says it has 127 bytes, and has one");
    if (!visit_open(visit))
        return;
    visit_hello(visit, "a/b", false);
    expect_refused(visit, CHECK_S_BAD_NAME, "the name a/b");
}

static void two_hellos(struct visit *visit)
{
    visit_forget(visit);
    if (!visit_open(visit))
        return;
    visit_hello(visit, visit->name, false);
    visit_await_welcome(visit);
    visit_hello(visit, visit->name, false);
    expect_refused(visit, CHECK_S_BAD_HELLO, "two Hellos");
}

static void name_taken(struct visit *visit)
{
    struct visit other = *visit;
    other.instruction = NULL;
    other.token_size = 0;
    if (!visit_open(&other))
        return;
    visit_hello(&other, visit->name, false);
    int64_t until = inbox_now(visit->inbox) + visit->options->limit_ms;
    struct line *own = visit->line;
    visit->line = other.line; /* events of the other one are what we wait for */
    bool over = visit->over, welcomed = visit->welcomed;
    uint64_t messages = visit->messages;
    visit->welcomed = false;
    visit->messages = 0;
    while (!visit->over && !visit->welcomed && visit_step(visit, until))
        ;
    EXPECT(CHECK_S_NAME_TAKEN, visit->over && visit->status == MUSTER_EXISTS,
           "the name '%s' is in use, and %s %s", visit->name,
           visit->welcomed ? "another has got it" : "the other stream ended with",
           visit->over ? muster_status_name(visit->status) : "");
    if (!visit->over)
        visit_cut(visit);
    visit->line = own;
    visit->over = over;
    visit->welcomed = welcomed;
    visit->messages = messages;
}

/* ---- sessions ---- */

/* Joins; a name that is about to be free is tried again. */
static bool join(struct visit *visit, bool resume)
{
    for (int i = 0; i < TRIES; i++) {
        if (visit_join(visit, resume))
            return true;
        if (!visit->over || visit->status != MUSTER_EXISTS)
            return false;
        visit_listen(visit);
    }
    return EXPECT(CHECK_S_REACHED, false, "the name '%s' does not become free", visit->name);
}

/* The next instruction; false: there is none, or we were sent away. */
static bool next(struct visit *visit)
{
    const Muster__ParticipantMessage empty = MUSTER__PARTICIPANT_MESSAGE__INIT;
    if (visit_await_instruction(visit))
        return true;
    if (!visit->told_to_leave || !visit_await_end(visit))
        return false;
    visit->may_repeat = true;
    if (!visit->original)
        return join(visit, visit->token_size > 0) && visit_await_instruction(visit);
    if (!visit_open(visit))
        return false;
    visit->spoke = true;
    visit_send(visit, &empty);
    return visit_await_instruction(visit);
}

static void skip(struct visit *visit, enum check check)
{
    if (visit->over)
        checks_skip(visit->checks, check, "the stream was over: %s %s", muster_status_name(visit->status),
                    visit->text);
    else
        checks_skip(visit->checks, check, "no instruction came within %lld s",
                    (long long)(visit->options->wait_ms / 1000));
}

/* Breaks the stream while an instruction is not answered, as if it had not come. */
static void resume(struct visit *visit)
{
    uint64_t turn = visit->instruction->turn;
    if (visit->token_size == 0) {
        checks_skip(visit->checks, CHECK_S_RESUME, "the server keeps no sessions");
        checks_skip(visit->checks, CHECK_S_AGAIN, "the server keeps no sessions");
        visit_answer(visit);
        return;
    }
    visit_cut(visit);
    visit->last_turn = turn - 1;
    visit->may_repeat = true;
    if (!join(visit, true))
        return;
    if (!EXPECT(CHECK_S_RESUME, visit->took_token, "we showed the session's token, and got another")) {
        visit->last_turn = 0;
        return;
    }
    EXPECT(CHECK_S_RESUME, visit->welcome_last + 1 == turn || visit->welcome_last == turn,
           "turn %llu ran, and Welcome says that turn %llu is over", (unsigned long long)turn,
           (unsigned long long)visit->welcome_last);
    bool over = visit->welcome_last >= turn;
    if (!next(visit))
        return;
    if (over)
        checks_skip(visit->checks, CHECK_S_AGAIN, "the server had given the turn up");
    else
        EXPECT(CHECK_S_AGAIN, visit->instruction->turn == turn, "turn %llu ran, and turn %llu came",
               (unsigned long long)turn, (unsigned long long)visit->instruction->turn);
    visit_answer(visit);
}

static void answer_nothing(struct visit *visit)
{
    visit_answer_nothing(visit);
    expect_refused(visit, CHECK_S_BAD_ANSWER, "an answer to a turn that never was");
}

static void plain_session(struct visit *visit)
{
    static const enum check list[] = {CHECK_S_TURNS,  CHECK_S_ONE,   CHECK_S_FAILURE,
                                      CHECK_S_RESUME, CHECK_S_AGAIN, CHECK_S_BAD_ANSWER};
    const Muster__ParticipantMessage empty = MUSTER__PARTICIPANT_MESSAGE__INIT;
    visit->has_features = false;
    visit_forget(visit);
    if (!visit_open(visit))
        return;
    visit_hello(visit, visit->name, false);
    if (!EXPECT(CHECK_S_REACHED, visit_await_welcome(visit), "Welcome did not come: %s",
                visit->over ? visit->text : "nothing did"))
        return;
    visit_listen(visit); /* nothing is to come before the empty message */
    checks_pass(visit->checks, CHECK_S_INITIATIVE);
    name_taken(visit);
    visit_send(visit, &empty);
    if (next(visit)) {
        visit_listen(visit); /* one at a time */
        visit_answer(visit);
    }
    if (next(visit)) {
        visit_answer_unknown(visit);
        bool goes_on = next(visit);
        if (goes_on || visit->over)
            EXPECT(CHECK_S_FAILURE, goes_on || visit->status == MUSTER_OK, "the stream ended: %s",
                   visit->text);
        if (goes_on)
            resume(visit);
    }
    if (next(visit))
        answer_nothing(visit);
    for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++)
        skip(visit, list[i]);
    if (!visit->over)
        visit_leave(visit);
}

/* ---- with chunks ---- */

/* Sends what was announced, as it is granted; whether all of it went. */
static bool send_all(struct visit *visit, uint64_t size)
{
    int64_t until = inbox_now(visit->inbox) + visit->options->limit_ms;
    uint64_t offset = 0, number = visit->grant;
    bool at_once = size <= visit->instruction->granted;
    while (offset < size && !visit->over && !visit->cancelled) {
        uint64_t end = visit->limit && visit->limit < size ? visit->limit : size;
        if (visit->grant != number) {
            number = visit->grant;
            offset = 0;
        }
        if ((at_once || visit->has_grant) && offset < end) {
            size_t part = end - offset < 65536 ? (size_t)(end - offset) : 65536;
            visit_chunk(visit, offset, part);
            offset += part;
        } else if (!visit_step(visit, until)) {
            break;
        }
    }
    return offset == size;
}

static bool announce(struct visit *visit)
{
    uint64_t size;
    if (!visit_announce(visit, &size)) {
        checks_skip(visit->checks, CHECK_S_GRANT,
                    "the server's instruction had no small arrays to send back");
        visit_answer(visit);
        return true;
    }
    bool sent = send_all(visit, size) || visit->cancelled;
    return EXPECT(CHECK_S_GRANT, sent, "turn %llu: our answer announces %llu bytes, granted was %llu, and %s",
                  (unsigned long long)visit->instruction->turn, (unsigned long long)size,
                  (unsigned long long)visit->instruction->granted,
                  visit->has_grant ? "the Grant stopped short" : "no Grant came");
}

static void ungranted_chunk(struct visit *visit)
{
    if (visit_announce_beyond(visit) == 0) {
        checks_skip(visit->checks, CHECK_S_BAD_CHUNK, "the server grants nearly everything in advance");
        return;
    }
    visit_chunk(visit, 0, 64);
    expect_refused(visit, CHECK_S_BAD_CHUNK, "a chunk that nothing has granted");
}

static void full_session(struct visit *visit)
{
    visit->has_features = true;
    if (!join(visit, false))
        return;
    if (next(visit)) {
        checks_pass(visit->checks, visit->announced ? CHECK_S_CHUNKS_IN : CHECK_S_TURNS);
        if (announce(visit) && next(visit) && announce(visit) && next(visit))
            ungranted_chunk(visit);
    }
    skip(visit, CHECK_S_GRANT);
    skip(visit, CHECK_S_BAD_CHUNK);
    checks_skip(visit->checks, CHECK_S_CHUNKS_IN, "no instruction was big enough for chunks");
    if (!visit->over)
        visit_leave(visit);
}

static void unknown_token(struct visit *visit)
{
    static const uint8_t token[16] = "no such session";
    visit_forget(visit);
    memcpy(visit->token, token, sizeof(token));
    visit->token_size = sizeof(token);
    visit->last_turn = 0;
    visit->has_features = false;
    for (int i = 0; i < TRIES; i++) {
        if (!visit_open(visit))
            return;
        visit_hello(visit, visit->name, true);
        if (visit_await_welcome(visit) || !visit->over || visit->status != MUSTER_EXISTS)
            break;
        visit_listen(visit);
    }
    EXPECT(CHECK_S_STALE, visit->welcomed && !visit->took_token, "%s",
           visit->welcomed ? "Welcome has our token" : "Welcome did not come");
    if (!visit->over)
        visit_leave(visit);
}

static void original(struct visit *visit)
{
    const Muster__ParticipantMessage empty = MUSTER__PARTICIPANT_MESSAGE__INIT;
    visit_forget(visit);
    visit->has_features = false;
    visit->original = true;
    if (!visit_open(visit))
        return;
    visit->spoke = true;
    visit_send(visit, &empty);
    if (!next(visit)) {
        skip(visit, CHECK_S_ORIGINAL);
    } else {
        visit_answer(visit);
        bool goes_on = next(visit);
        EXPECT(CHECK_S_ORIGINAL, goes_on || !visit->over || visit->status == MUSTER_OK,
               "after our answer the stream ended: %s", visit->text);
        if (goes_on)
            visit_answer(visit);
    }
    if (!visit->over)
        visit_leave(visit);
}

void scenes_server(struct checks *checks, struct inbox *inbox, const struct play_options *options,
                   const struct connection_options *connection)
{
    struct visit visit = {.checks = checks,
                          .inbox = inbox,
                          .options = options,
                          .connection = connection,
                          .name = options->name};
    if (other_method(&visit)) {
        first_messages(&visit);
        two_hellos(&visit);
        plain_session(&visit);
        full_session(&visit);
        unknown_token(&visit);
        original(&visit);
    }
    visit_forget(&visit);
}
