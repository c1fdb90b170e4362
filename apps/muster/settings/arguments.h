/* Settings of a kind as options of a command line. */
#ifndef SETTINGS_ARGUMENTS_H
#define SETTINGS_ARGUMENTS_H

#include <argp.h>

#include "kind.h"

/* A child of a program's parser, with --set KEY=VALUE, an option for each row, and those for TLS, tokens and the log. Its
 * input are settings of this kind, which it checks at the end; a message names the option, where a file would be told the
 * key. A program has one kind. NULL when out of memory. One thread. */
const struct argp *settings_arguments(const struct settings_kind *kind);

/* Reads the command line of a program that takes nothing but these options, from their defaults on; a wrong one ends the
 * program with a message. `documentation` is for --help. */
void settings_parse(const struct settings_kind *kind, const char *documentation, int count, char **arguments,
                    void *settings);

#endif
