/* Command lines: numbers with a range, and the options that several programs have. */
#ifndef ARGUMENTS_H
#define ARGUMENTS_H

#include <argp.h>
#include <stddef.h>
#include <stdint.h>

/* The value of an option that takes a number from `low` to `high`; anything else ends the program with a
 * message. */
double argument_number(const struct argp_state *state, const char *option, const char *text, double low,
                       double high);
/* The same for whole numbers. */
uint64_t argument_whole(const struct argp_state *state, const char *option, const char *text, uint64_t low,
                        uint64_t high);
/* The same for a number of bytes up to `high`, in K, M or G (1024 of each other) if one of them follows. */
uint64_t argument_size(const struct argp_state *state, const char *option, const char *text, uint64_t high);

/* --data, --seed, --participants and --dirichlet, as a child of a program's parser. Its input is a struct
 * dataset_options. */
extern const struct argp data_arguments;

/* --tls-cert, --tls-key, --tls-ca and --token-file, of either program, in the same way; a participant has
 * --tls too. Their input is a struct muster_credentials. */
extern const struct argp server_security_arguments;
extern const struct argp participant_security_arguments;

/* Sets what `--version` prints, and the exit status of a wrong command line. */
void arguments_begin(const char *program);

#endif
