/* Options have to be written out. */
#ifndef WRITTEN_OUT_H
#define WRITTEN_OUT_H

#include <argp.h>

/* argp takes --port for --port-file, and a later release that has a --port would mean something else by it. So a long
 * option that `parser` does not have exactly ends the program with a message, which names the nearest. For use before
 * argp_parse(). */
void written_out_check(const struct argp *parser, int count, char **arguments);

#endif
