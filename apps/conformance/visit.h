/* Our visit to the server that is judged: a stream on which we are the participant, and what the server has said. */
#ifndef VISIT_H
#define VISIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conformance/checks.h"
#include "conformance/inbox.h"
#include "conformance/options.h"

enum { VISIT_TOKEN_SIZE = 64, VISIT_MESSAGE_MAX = 8 << 20, VISIT_PAYLOAD_MAX = 256 << 20 };

struct visit {
    struct checks *checks;
    struct inbox *inbox;
    const struct play_options *options;
    const struct connection_options *connection;
    const char *name;

    struct line *line;
    bool over; /* the stream has ended: status and text say how */
    enum muster_status status;
    char text[MUSTER_ERROR_TEXT_SIZE];
    uint64_t messages; /* of this stream */
    bool original;     /* we are a participant of the original */
    bool has_features; /* we said so: all there are */
    bool spoke;        /* we have passed the initiative */
    bool welcomed;
    bool told_to_leave;

    /* The session. */
    uint8_t token[VISIT_TOKEN_SIZE]; /* of the last Welcome */
    size_t token_size;
    uint64_t last_turn;    /* of the instructions that we have whole */
    uint64_t welcome_last; /* what Welcome said */
    bool took_token;       /* Welcome had the token that we showed */

    /* The instruction that came last. */
    Muster__ServerMessage *instruction; /* NULL: none */
    bool may_repeat;                    /* it may come again: the stream has broken */
    bool answered;
    bool cancelled;
    uint64_t announced; /* bytes that follow in chunks */
    uint64_t received;
    uint8_t *data; /* these bytes; NULL: none */
    size_t *sizes; /* of the data of each array */
    bool has_grant;
    uint64_t grant;
    uint64_t limit;
};

/* Takes one event and judges it; false: the time is over. */
bool visit_step(struct visit *visit, int64_t until);
/* Judges what comes for as long as it has to be quiet. */
void visit_listen(struct visit *visit);

/* A stream, of participants or for another service. False, with a check that says so: there is none. */
bool visit_open(struct visit *visit);
bool visit_open_service(struct visit *visit, const struct service *service);
void visit_send(struct visit *visit, const Muster__ParticipantMessage *message);
void visit_send_bytes(struct visit *visit, const void *bytes, size_t size);
/* Hello: `resume`: with the token and what we have of the session. */
void visit_hello(struct visit *visit, const char *name, bool resume);
/* Hello, Welcome and the empty message. False: we were not let in. */
bool visit_join(struct visit *visit, bool resume);

/* Waits for Welcome, for an instruction that is whole, or for the end. */
bool visit_await_welcome(struct visit *visit);
bool visit_await_instruction(struct visit *visit);
bool visit_await_end(struct visit *visit);

/* An answer of the instruction's kind, with what it had; or that we do not know it; or to a turn that never was. */
void visit_answer(struct visit *visit);
void visit_answer_unknown(struct visit *visit);
void visit_answer_nothing(struct visit *visit);
/* The same with its arrays announced; and then so many bytes of their data. False: there are no arrays. */
bool visit_announce(struct visit *visit, uint64_t *size);
/* An answer that announces more than the instruction grants, all of it zeros; 0: that would be too much. */
uint64_t visit_announce_beyond(struct visit *visit);
void visit_chunk(struct visit *visit, uint64_t offset, size_t size);

/* Ends our side and waits for the end; or breaks the stream. */
void visit_leave(struct visit *visit);
void visit_cut(struct visit *visit);
void visit_forget(struct visit *visit);

/* The arrays of an instruction; NULL: it is a payload. */
Muster__Arrays *visit_arrays(const Muster__ServerMessage *instruction);

/* visit_judge.c */
void visit_judge(struct visit *visit, const uint8_t *bytes, size_t size);

#endif
