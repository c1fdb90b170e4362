/* The command line. */
#ifndef COMMAND_LINE_H
#define COMMAND_LINE_H

#include "conformance/options.h"

/* Fills the options in; what is wrong ends the program, and so do --help, --list and --version. */
void command_line_parse(int count, char **arguments, struct play_options *options);

#endif
