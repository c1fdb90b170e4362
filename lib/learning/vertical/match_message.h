/*
 * The messages of a matching. Beside "vertical" and "task", each has the text "step" and the integer "round",
 * and an answer has those of its instruction:
 *
 * | step  | instruction                           | answer                                        |
 * |-------|---------------------------------------|-----------------------------------------------|
 * | ids   |                                       | array: its ids, as in ids.h; bool "left"      |
 * | joint | array: the joint ids                  | integer "joint": how many of them it has      |
 * | hide  | integer "parties": how many they are  | array: its ids as points, n x 32              |
 * | pass  | array: another's list of points       | array: the same under its key, in a new order |
 * | mark  | array: which of that list are joint   | array: which of the list before it; round 0:  |
 * |       |                                       | integer "joint"                               |
 *
 * Ids and points are of MUSTER_UINT8, marks of MUSTER_BOOL.
 */
#ifndef MUSTER_VERTICAL_MATCH_MESSAGE_H
#define MUSTER_VERTICAL_MATCH_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

#include <muster/message.h>
#include <muster/status.h>

#include "learning/vertical/note.h"

#define MATCH_IDS   "ids"
#define MATCH_JOINT "joint"
#define MATCH_HIDE  "hide"
#define MATCH_PASS  "pass"
#define MATCH_MARK  "mark"

#define MATCH_LEFT    "left"
#define MATCH_PARTIES "parties"

/* Begins one, an instruction or an answer. */
void muster__match_message(struct muster__vertical_note *note, const char *step, size_t round);

/* The array: `rows` x `width`, or one of `rows` if `width` is 1. The data stays the caller's. */
void muster__match_set_array(struct muster__vertical_note *note, enum muster_dtype dtype, size_t rows,
                             size_t width, const void *data);

bool muster__match_is(const struct muster_message *message, const char *step, size_t round);

/* The only array of the message; FORMAT if that is another one than muster__match_set_array() makes. */
enum muster_status muster__match_array(const struct muster_message *message, enum muster_dtype dtype,
                                       size_t width, const void **data, size_t *rows,
                                       struct muster_error *error);

#endif
