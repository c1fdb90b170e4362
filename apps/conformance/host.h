/* What we say to the participant that is judged, and how we wait for what it says. */
#ifndef HOST_H
#define HOST_H

#include "conformance/guest.h"

/* What Welcome says. */
struct welcome {
    bool anew; /* another token, whatever it showed */
    bool chunks;
    bool asks;
    uint64_t heartbeat_ms;
    uint64_t last_turn; /* of a session that goes on */
};

/* So many milliseconds from now. */
int64_t host_after(const struct guest *guest, int64_t milliseconds);

/* Waits until it has opened a stream and said its first message. */
bool host_arrive(struct guest *guest, int64_t limit_ms);

/* Lets it in, and waits for the initiative. False: it did not pass it, or has gone. */
bool host_welcome(struct guest *guest, const struct welcome *welcome);

/* Begins a turn: the message gets its number. False: there is no stream. */
bool host_instruct(struct guest *guest, Muster__ServerMessage *message);

/* Waits for the answer of the newest turn, and for its data. False: it did not come in time. */
bool host_await_answer(struct guest *guest);

/* Both; a fault is one of ANSWERS or STAYS. */
bool host_turn(struct guest *guest, Muster__ServerMessage *message);

/* Instructions of each kind, with the model of the command line. */
Muster__ServerMessage host_train(struct guest *guest, Muster__Arrays *arrays);
bool host_turn_train(struct guest *guest);

/* The data of an announced instruction, in chunks. */
bool host_send_data(struct guest *guest);

/* Lets the chunks of the newest turn's answer come. */
void host_grant(struct guest *guest, uint64_t number, uint64_t limit);

void host_cancel(struct guest *guest);

/* Breaks its stream, as if the network had; or ends it. */
void host_cut(struct guest *guest);
void host_close(struct guest *guest);

void host_send(struct guest *guest, const ProtobufCMessage *message);

/* Judges what comes for as long as it has to be quiet. */
void host_listen(struct guest *guest);

#endif
