/* The checks: each has a name and a sentence of what is expected, and becomes what the play makes of it. */
#ifndef CHECKS_H
#define CHECKS_H

#include <stdbool.h>
#include <stddef.h>

/* Who is judged by a check. */
enum judged { JUDGES_FULL = 1, JUDGES_ORIGINAL = 2, JUDGES_SERVER = 4 };

/* X(name in code, who is judged, name for people, what is expected) */
#define CHECK_MAP(X)                                                                                         \
    X(CONNECTS, 3, "connects", "The participant opens a stream within the limit.")                           \
    X(ONE_STREAM, 3, "one-stream", "It has one stream open at a time.")                                      \
    X(STAYS, 3, "stays", "It keeps its stream open until the server ends it.")                               \
    X(MALFORMED, 7, "well-formed", "Each message is one of the protocol's type.")                            \
    X(FIELDS, 7, "known-fields",                                                                             \
      "It sends only fields that the protocol has, and one content in each message.")                        \
    X(TEXTS, 7, "texts", "Strings are UTF-8 without NUL.")                                                   \
    X(SIZE, 7, "message-size", "No message is bigger than the other side said that it takes.")               \
    X(FIRST, 3, "first-message",                                                                             \
      "The first message of a stream is Hello, or empty in the original protocol.")                          \
    X(HELLO, 1, "hello",                                                                                     \
      "Hello has a name and labels that are allowed, and says nothing of a session that "                    \
      "there is not.")                                                                                       \
    X(HELLO_ONCE, 1, "hello-once", "A stream has one Hello.")                                                \
    X(WAITS, 1, "waits-for-welcome", "It sends nothing between Hello and Welcome.")                          \
    X(INITIATIVE, 1, "initiative", "It sends the empty message after Welcome, once.")                        \
    X(ARRAYS, 7, "arrays", "Arrays are .npy files of the protocol's types, and no two names are the same.")  \
    X(ANSWERS, 3, "answers", "Each instruction is answered within the limit.")                               \
    X(ANSWER_TURN, 3, "answer-turn", "An answer has the turn of its instruction; none in the original.")     \
    X(ANSWER_KIND, 3, "answer-kind",                                                                         \
      "An answer is of its instruction's kind, a failure, or unknown_instruction.")                          \
    X(ANSWER_ONCE, 3, "answer-once", "No instruction is answered twice.")                                    \
    X(UNKNOWN, 3, "unknown-instruction", "What it does not know is answered, too.")                          \
    X(NEW_FIELDS, 3, "new-fields", "Fields that it does not know do not stop it: later releases add some.")  \
    X(BIG_MESSAGE, 1, "big-message",                                                                         \
      "It takes messages as big as its Hello says (the check stops at 8 MiB).")                              \
    X(CANCEL, 1, "cancel", "After a cancel it goes on with the next instruction, and not with the old one.") \
    X(NEWER, 1, "newer-instruction", "A newer instruction takes the place of the older one.")                \
    X(PROGRESS, 1, "progress",                                                                               \
      "Progress is from 0 to 1, about a turn that runs, and has few numbers beside.")                        \
    X(ALIVE, 1, "heartbeats", "With the feature it sends Alive during a turn as often as asked.")            \
    X(ALIVE_UNASKED, 1, "heartbeats-asked", "It sends Alive only when asked to, and only during a turn.")    \
    X(ASK, 1, "ask", "It sends Ask only to a server that hears it, and once before each instruction.")       \
    X(CHUNKS_FEATURE, 1, "chunks-feature",                                                                   \
      "It announces data, and sends chunks, only where both sides said "                                     \
      "\"chunks\".")                                                                                         \
    X(CHUNKS_IN, 1, "chunks-in", "It puts an instruction in chunks together, and answers it.")               \
    X(GRANTED, 1, "granted", "Chunks that the instruction grants are sent at once, under grant 0.")          \
    X(CHUNK_GRANT, 1, "chunk-grant", "No chunk is sent before it is granted, and each names its grant.")     \
    X(CHUNK_OFFSET, 1, "chunk-offset", "Chunks come in order, without gaps, and none is empty.")             \
    X(CHUNK_SIZE_, 1, "chunk-size", "There are as many bytes as were announced.")                            \
    X(CHUNK_LIMIT, 1, "chunk-limit",                                                                         \
      "No chunk goes beyond the limit of its grant, and a moved one is followed.")                           \
    X(CHUNK_AGAIN, 1, "chunk-again", "Under a Grant with a new number it begins from the first byte.")       \
    X(CHUNK_TURN, 1, "chunk-turn", "Chunks are of a turn whose answer has announced them.")                  \
    X(RECONNECT, 3, "reconnect-in",                                                                          \
      "At reconnect_in it ends its side, and comes back, not before the time.")                              \
    X(RESUME_TOKEN, 1, "resume-token", "It comes back with the session's token, or with none.")              \
    X(RESUME_NAME, 1, "resume-name", "It comes back under its name, and its rank.")                          \
    X(RESUME_TURN, 1, "resume-turn", "last_turn and answer_held say what it has.")                           \
    X(RESUME_AGAIN, 1, "resume-again", "An answer that was lost with the connection is sent again.")         \
    X(RESUME_OVER, 1, "resume-over", "Of a turn that Welcome calls over it sends nothing more.")             \
    X(NEW_SESSION, 1, "new-session", "Where Welcome has another token, it begins anew with turn 1.")         \
    X(GOOD_BYE, 3, "good-bye", "When the server ends the stream with OK, it does not come back.")            \
    X(S_REACHED, 4, "reached", "The server lets a participant in.")                                          \
    X(S_WELCOME, 4, "welcome",                                                                               \
      "Its first message is Welcome, with a token of 16 bytes or none, our name, and "                       \
      "no turn that is over.")                                                                               \
    X(S_WELCOME_ONCE, 4, "welcome-once", "A stream has one Welcome.")                                        \
    X(S_INITIATIVE, 4, "initiative", "No instruction comes before the empty message.")                       \
    X(S_TURNS, 4, "turn-numbers", "Instructions are numbered from 1, each one more than the last.")          \
    X(S_ONE, 4, "one-at-a-time", "The next instruction comes after our answer, or after a cancel.")          \
    X(S_FEATURES, 4, "features", "Nothing comes that needs a feature which we did not announce.")            \
    X(S_KNOWN_TURN, 4, "known-turn", "Cancel, Grant, chunks and Refused are about a turn that there was.")   \
    X(S_FAILURE, 4, "failure",                                                                               \
      "A failure, or unknown_instruction, is taken for an answer: the stream goes on.")                      \
    X(S_CHUNKS_IN, 4, "chunks-in",                                                                           \
      "An instruction in chunks is whole: in order, without gaps, nothing more.")                            \
    X(S_GRANT, 4, "grant", "An answer that waits for a Grant gets one.")                                     \
    X(S_RESUME, 4, "resume", "With our token we resume the session; Welcome says which turn is over.")       \
    X(S_AGAIN, 4, "instruction-again",                                                                       \
      "An instruction that we did not get whole is sent again, in the same turn.")                           \
    X(S_STALE, 4, "unknown-token", "A token that it does not know is no error, and gets another one.")       \
    X(S_BAD_FIRST, 4, "refuses-first",                                                                       \
      "A first message that is neither Hello nor empty ends the stream with "                                \
      "INVALID_ARGUMENT.")                                                                                   \
    X(S_BAD_HELLO, 4, "refuses-hello", "A second Hello ends the stream with INVALID_ARGUMENT.")              \
    X(S_BAD_NAME, 4, "refuses-name", "A name with a slash ends the stream with INVALID_ARGUMENT.")           \
    X(S_BAD_TEXT, 4, "refuses-text", "A string that is not UTF-8 ends the stream with INVALID_ARGUMENT.")    \
    X(S_BAD_BYTES, 4, "refuses-bytes", "Bytes that are no message end the stream with INVALID_ARGUMENT.")    \
    X(S_BAD_ANSWER, 4, "refuses-answer",                                                                     \
      "An answer that nobody asked for ends the stream with INVALID_ARGUMENT.")                              \
    X(S_BAD_CHUNK, 4, "refuses-chunk",                                                                       \
      "A chunk that was never granted ends the stream with INVALID_ARGUMENT.")                               \
    X(S_NAME_TAKEN, 4, "name-taken", "A name that is in use is refused with ALREADY_EXISTS.")                \
    X(S_METHOD, 4, "other-method", "Another method ends with UNIMPLEMENTED.")                                \
    X(S_ORIGINAL, 4, "original",                                                                             \
      "A participant of the original gets no Welcome, and instructions without a turn.")

enum check {
#define CHECK_ENUM(name, judged, title, expected) CHECK_##name,
    CHECK_MAP(CHECK_ENUM)
#undef CHECK_ENUM
        CHECKS
};

enum verdict { NOT_REACHED, PASSED, FAILED, NOT_APPLICABLE };

enum { CHECK_TEXT_SIZE = 512 };

struct checks {
    enum judged judged;
    struct {
        enum verdict verdict;
        unsigned faults; /* how often it failed */
        char text[CHECK_TEXT_SIZE];
    } of[CHECKS];
};

/* It was looked at, and nothing was wrong so far. */
void checks_pass(struct checks *checks, enum check check);

/* Passed, unless it fails; the first text is kept. Gives `holds` back. */
bool checks_expect(struct checks *checks, enum check check, bool holds, const char *text, ...)
    __attribute__((format(printf, 4, 5)));

/* Why it cannot be looked at; what it became before stays. */
void checks_skip(struct checks *checks, enum check check, const char *text, ...)
    __attribute__((format(printf, 3, 4)));

/* Prints all that are of who is judged, and a line with their numbers; how many have failed. */
unsigned checks_print(const struct checks *checks);

/* Prints names and expectations, by who is judged. */
void checks_list(void);

#endif
