/* What an asynchronous training keeps between two rounds: the answers that were accepted, and who trains on what. */
#ifndef JOURNAL_H
#define JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

struct training;

/* Who was told to train on which version, and did not answer yet, at the time when the server died. */
struct outstanding {
    char *name;
    uint64_t version;
};

struct journal {
    int file;      /* of outstanding.jsonl; -1: none */
    uint64_t next; /* number of the next answer's file */
    struct outstanding *outstanding;
    size_t count;
};

/* What is kept of an answer beside its arrays. */
struct kept {
    uint64_t version; /* that it was trained on */
    const char *name; /* of the participant */
    double loss;      /* NaN: it said none */
};

/* Takes an answer that was kept into the training. */
typedef enum muster_status journal_answer(void *context, const struct muster_message *answer,
                                          const struct kept *kept, struct muster_error *error);

/* Opens the run's journal, and gives the answers that were accepted since the last round to `take`, in their order. Without
 * a run it keeps nothing. */
enum muster_status journal_open(struct journal *journal, const struct training *training,
                                journal_answer *take, void *context, struct muster_error *error);

/* An answer is accepted: it is on the disk when this returns. IO with *error: it is to be refused. */
enum muster_status journal_keep(struct journal *journal, const struct training *training,
                                const struct muster_message *answer, const struct kept *kept,
                                struct muster_error *error);

/* Somebody was told to train on a version, or does it no longer. */
void journal_note(struct journal *journal, const char *name, uint64_t version);
void journal_note_end(struct journal *journal, const char *name);

/* Which version somebody is to be told to train on again; UINT64_MAX: any. It is asked once. */
uint64_t journal_again(struct journal *journal, const char *name);

/* A round was completed: what was kept before it is of no use. `outstanding` are those that train now. */
void journal_begin_round(struct journal *journal, const struct training *training,
                         const struct outstanding *outstanding, size_t count);

/* Removes what another run has left. */
void journal_discard(const struct training *training);

void journal_close(struct journal *journal);

#endif
