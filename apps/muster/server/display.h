/* How far things are, for a person: on a terminal a few lines that are drawn again and again, elsewhere a line
 * for each completed round. */
#ifndef DISPLAY_H
#define DISPLAY_H

#include <stdbool.h>
#include <stddef.h>

#include <muster/muster.h>

/* What the program does now, in one line that is of interest while it lasts. */
void display_stage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Shows the running round in the stage's place: how far it is, whom it waits for and since when. `manager` is
 * the round's, and `more_ms` how long the rounds after this one are likely to take; -1: nobody knows. */
void display_round(struct participant_manager *manager, const struct proxy_round_statistics *round,
                   struct proxy *const *waiting, size_t count, int64_t more_ms);

/* What came of a round: a line that stays, on a terminal until the next one. */
void display_result(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Whether results are shown from now on; they are until somebody says otherwise. */
void display_show_results(bool shown);

/* Ends what is drawn; the last result stays. */
void display_end(void);

/* The stage that the program is in. Any thread; all else is for one. */
void display_copy_stage(char *text, size_t size);

#endif
