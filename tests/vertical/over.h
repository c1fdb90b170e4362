/* What the ensembles of this program meet over. */
#ifndef MUSTER_TESTS_VERTICAL_OVER_H
#define MUSTER_TESTS_VERTICAL_OVER_H

/* An address to listen on, again and again, until over_end(). One at a time. */
const char *over_begin(void);
/* Time passes by itself, or a little of it here. */
void over_pass(void);
void over_end(void);

#endif
