/* What changes a tree after it was read: values from the environment, and those of --set. */
#ifndef VALUES_H
#define VALUES_H

#include "tree.h"

/* Replaces ${NAME} and ${NAME:-DEFAULT} in all texts by what the environment has; $${ stands for ${. A value that is nothing
 * but one of those is then as if it had been written without quotes. */
void values_from_environment(struct memory *memory, struct tree *tree, struct mistakes *mistakes);

/* Sets a value: KEY=VALUE, where KEY is such as server.rounds or hosts.0.ssh, and VALUE is YAML. What is not there is added.
 * The assignment has to outlive the tree. */
void values_assign(struct memory *memory, struct tree *tree, const char *assignment,
                   struct mistakes *mistakes);

#endif
