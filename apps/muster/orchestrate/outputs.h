/* What local workers write, line by line on standard output with the worker's name before it, above the display where there is
 * one. A worker that writes without reading ends waits for the terminal, as it would without this. */
#ifndef ORCHESTRATE_OUTPUTS_H
#define ORCHESTRATE_OUTPUTS_H

struct outputs;

/* NULL: out of memory, threads or descriptors. */
struct outputs *outputs_new(void);

/* A descriptor to write to, for one process, which the caller closes; -1 with errno. `name` is to outlive the outputs. */
int outputs_open(struct outputs *outputs, const char *name);

/* Prints what is there, and ends. NULL is allowed. */
void outputs_free(struct outputs *outputs);

#endif
