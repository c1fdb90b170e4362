/* Progress for a person: on a terminal one line that is drawn again and again, elsewhere plain lines. */
#ifndef PROGRESS_H
#define PROGRESS_H

/* Shows how far things are, on standard output: instead of the line before on a terminal, as a line
 * elsewhere. */
void progress_show(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Shows it on a terminal only: for what is of interest while it lasts. */
void progress_glimpse(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the line that is being redrawn, so that it stays. */
void progress_keep(void);

/* Writes a line to standard error that stays, with the time (UTC) before it unless that is a terminal, and
 * with nothing in it that would begin another line or command a terminal. */
void progress_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
