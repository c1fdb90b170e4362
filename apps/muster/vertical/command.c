/* The command `muster vertical`: a master or a member. */
#include <config.h>

#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "Usage: muster vertical COMMAND [OPTION...]\n"
    "Learns from columns that different parties hold.\n\n"
    "  master       has the labels, and trains with members that connect\n"
    "  member       has some columns of the records, and learns the weights of these\n\n"
    "Each lists its options with --help.\n";

int vertical_command(int count, char **arguments)
{
    static char master[] = "muster vertical master", member[] = "muster vertical member";
    const char *name = count > 1 ? arguments[1] : "";
    if (strcmp(name, "master") == 0) {
        arguments[1] = master;
        return master_command(count - 1, arguments + 1);
    }
    if (strcmp(name, "member") == 0) {
        arguments[1] = member;
        return member_command(count - 1, arguments + 1);
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "-?") == 0) {
        fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    if (*name == '\0')
        fputs(usage, stderr);
    else
        fprintf(stderr, "muster vertical: '%s' is neither master nor member; --help says more\n", name);
    return 2;
}
