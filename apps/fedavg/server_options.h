/* The server's command line. */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

#include "common/dataset.h"
#include "common/log.h"

/* As many as a record has. */
enum { RECORD_SINKS_MAX = 16 };

/* What the command line says. Strings are its own. */
struct server_options {
    struct dataset_options data;
    struct muster_credentials credentials;
    struct log_options log;
    const char *listen;
    const char *monitor; /* NULL: none */
    const char *sinks[RECORD_SINKS_MAX];
    size_t sink_count;
    const char *port_file; /* NULL: none */
    const char *metrics;   /* NULL: none */
    const char *run;       /* NULL: none */
    bool overwrite;
    size_t rounds;
    uint64_t model_size; /* bytes that the model is padded to; less than it has: no padding */
    uint64_t max_message_size;
    double fraction;
    size_t enough;           /* answers that complete a round; 0: all */
    size_t at_least;         /* answers with which the model moves; 0: one */
    size_t min_participants; /* 0: all users of the data to start with, then whoever is left */
    int64_t wait_ms;
    int64_t deadline_ms;
    int64_t stop_within_ms;
    int64_t grace_ms;
    int64_t heartbeat_ms;
    int32_t come_back_seconds;
    size_t epochs;
    size_t batch_size;
    double learning_rate;
    double mu;
    double server_rate; /* 0: the plain mean of FedAvg */
    double average;     /* 0: none */
    double stragglers;  /* percent */
    double default_weight;
    double max_weight; /* 0: as many samples as the biggest user of the data has */
    bool baselines;
    bool list_participant_options;
};

/* Reads the command line; a wrong one ends the program with a message. */
void server_options_parse(int count, char **arguments, struct server_options *options);

#endif
