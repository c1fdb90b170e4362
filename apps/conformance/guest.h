/* The participant that is judged: what it has said so far, what it was told, and what it may say next. Each message
 * is judged when it is taken from the inbox, on the main thread. */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conformance/checks.h"
#include "conformance/inbox.h"
#include "conformance/options.h"

enum { GUEST_TURNS_MAX = 64, GUEST_NAME_SIZE = 160, GUEST_TOKEN_SIZE = 16 };

/* What we say that we take: the biggest message that we send may come back. */
#define GUEST_MESSAGE_MAX ((size_t)16 << 20)

struct guest_turn {
    Muster__ServerMessage__ContentCase kind;
    uint64_t granted;
    uint64_t limit;
    bool answered; /* the answer came; its data may follow in chunks */
    bool given_up; /* cancelled, or a newer one came */
};

/* The answer whose data follows in chunks. */
struct guest_answer {
    uint64_t turn; /* 0: none */
    uint64_t announced;
    uint64_t received;
    uint64_t grant;   /* the number under which chunks come */
    bool was_granted; /* under another number, the next: of which chunks may be on their way */
    uint64_t former_grant;
    uint64_t limit; /* 0: all */
    bool granted;
    bool begun; /* a chunk of this grant has come */
};

struct guest {
    struct checks *checks;
    struct inbox *inbox;
    const struct play_options *options;
    bool (*start)(
        struct guest *guest); /* starts the program that was named, if it does not run; may be NULL */
    void *starter;
    bool child_ended;
    char child_text[MUSTER_ERROR_TEXT_SIZE];

    bool refused;      /* its stream was ended for its fault: it is not to come back by itself */
    struct line *line; /* its open stream; NULL */
    uint64_t streams;
    int64_t opened_at;
    bool original;
    uint64_t messages; /* of this stream, like all up to `heartbeat_ms` */
    bool good_texts;   /* of the message that is judged */
    bool said_hello;
    bool welcomed;
    bool ready; /* the empty message came */
    bool told_to_leave;
    bool was_told_to_leave; /* in the stream before */
    enum muster_status end_status;
    char end_text[MUSTER_ERROR_TEXT_SIZE];
    bool offers_chunks; /* we said so in Welcome, like the next two */
    bool offers_asks;
    uint64_t heartbeat_ms;

    char called[GUEST_NAME_SIZE]; /* in its last Hello, like all up to `has_heartbeats` */
    uint8_t shown[GUEST_TOKEN_SIZE];
    size_t shown_size;
    uint64_t last_turn;
    bool answer_held;
    uint64_t max_message_size;
    uint64_t max_payload_size;
    bool has_chunks;
    bool has_heartbeats;

    bool has_session; /* a Welcome was sent */
    char name[GUEST_NAME_SIZE];
    uint64_t rank;
    uint8_t token[GUEST_TOKEN_SIZE];

    uint64_t turn; /* the newest of the session; 0: none */
    struct guest_turn turns[GUEST_TURNS_MAX];
    struct guest_answer answer;
    unsigned asks_left;
    uint64_t alive_count;
};

/* Takes one event and judges it; false: the time is over. */
bool guest_step(struct guest *guest, int64_t until);

/* Ends its stream because of what it did. */
void guest_refuse(struct guest *guest, const char *why);

/* judge.c: a message of its open stream. */
void guest_judge(struct guest *guest, const uint8_t *bytes, size_t size);

/* judge_chunk.c: what is special about answers in chunks. */
void guest_judge_announced(struct guest *guest, uint64_t turn, uint64_t announced);
void guest_judge_chunk(struct guest *guest, uint64_t turn, const Muster__Chunk *chunk);

/* Whether both sides have said "chunks". */
bool guest_chunks(const struct guest *guest);
/* The newest turn whose answer has come; 0: none. */
uint64_t guest_newest_answered(const struct guest *guest);
/* Whether the answer of the newest turn is there, with all its data. */
bool guest_is_answered(const struct guest *guest);

#endif
