/* What attackers do to each strategy. */
#ifndef ATTACK_H
#define ATTACK_H

#include "common/dataset.h"
#include "demo_options.h"

/* Trains with each strategy, without attackers and with them, and prints a table; its last line is for
 * programs. The exit status. */
int attack_run(const struct demo_options *options, const struct dataset *dataset);

#endif
