/* A terminal: a block of lines at its end that is drawn again and again in its place, and lines above it that
 * stay. The cursor is always at the start of the line below the block, so that nothing has to be put right
 * when the process ends, in whatever way. */
#ifndef TERMINAL_H
#define TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* The most bytes of a block, and of one of its lines. */
enum { TERMINAL_BLOCK_SIZE = 8192, TERMINAL_LINE_SIZE = 1024 };

/* Whether standard output is a terminal on which lines can be drawn again. */
bool terminal_is_there(void);

/* How many columns a line of a block may have now. */
size_t terminal_columns(void);

/* How many columns a text takes at most: what is not ASCII counts as two. */
size_t terminal_width(const char *text);

/* Draws the lines of `text`, separated by '\n', in the place of the block before; "": only removes that. A line
 * that is too long is cut. Does nothing where there is no terminal. Any thread. */
void terminal_draw(const char *text);

/* Lets the block stay as it is; the next one begins below it. */
void terminal_keep(void);

/* Writes a line to standard output or standard error, above the block if that is a terminal. Any thread. */
void terminal_print(FILE *to, const char *line);

#endif
