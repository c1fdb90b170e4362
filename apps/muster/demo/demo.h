/* `muster demo`: a federation on this machine, with data, participants and comparisons. */
#ifndef DEMO_H
#define DEMO_H

/* From its command line, of which the first word is its name, to the exit status. */
int demo_main(int count, char **arguments);

#endif
