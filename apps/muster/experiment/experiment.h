/* An experiment: what one file says, whole and checked; the hosts and processes that a launcher starts. */
#ifndef EXPERIMENT_H
#define EXPERIMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include <muster/muster.h>

/* How a host is reached. */
enum reach {
    REACH_HERE,   /* it is this machine */
    REACH_SSH,    /* by ssh */
    REACH_SRUN,   /* by srun, a node of this Slurm job */
    REACH_MPIRUN, /* by mpirun */
};

struct experiment_host {
    const char *name; /* how the file calls it; "here" for this machine */
    enum reach reach;
    const char *target;         /* [USER@]HOST, or the node */
    const char *port;           /* for ssh; NULL: its own default */
    const char *const *options; /* more for ssh, srun or mpirun, with NULL behind them; may be NULL */
    const char *muster;         /* this program, there */
    const char *directory;      /* where processes run there; NULL: where the agent begins */
};

/* What happens when a process has ended before it should. */
enum restart { RESTART_NEVER, RESTART_ON_FAILURE, RESTART_ALWAYS };

struct experiment_process {
    const char *name; /* "server", "participant-07": unique, and fit to be a file's name */
    const char *role; /* "server", "participant", "coordinator", "node", "master" or "member" */
    size_t rank;      /* among those of its section */
    size_t count;     /* of its section */
    size_t host;      /* index */
    /* With NULL behind them. {server} in them is not replaced yet, all other placeholders are. */
    const char *const *arguments;   /* [0] is the program */
    const char *const *environment; /* NAME=VALUE, besides the launcher's own; NULL: none */
    const char *directory;          /* where it runs; NULL: where its host says */
    const char *listen;  /* of the one that serves, which is the first process: HOST:PORT; otherwise NULL */
    const char *address; /* how others reach that one, a host; NULL: the launcher finds it */
    bool monitored;      /* it has the monitor of the run, and tells its port */
    bool decides;        /* when all of those have ended, the run has */
    bool shown;          /* its lines appear where the launcher runs */
    enum restart restart;
    size_t restarts; /* so many failed starts in a row are followed by another */
};

struct experiment {
    const char *name;
    const char *run; /* the run directory; NULL: none is kept */
    const struct experiment_host *hosts;
    size_t host_count;
    const struct experiment_process *processes;
    size_t process_count;
    int64_t stop_within_ms;
    json_t *resolved; /* what experiment.json keeps of the file: all settings, resolved */
    const char *text; /* the file as it is; NULL: there is none */
};

/* Is told of a mistake: "FILE:LINE:COLUMN: what is wrong". */
typedef void experiment_mistake(void *context, const char *line);

/* Reads and checks a file. Each assignment is KEY=VALUE, and goes before what the file says. INVALID when there
 * were mistakes, each of which was told; IO with *error. Out of memory it says so and ends the program. The experiment is freed by
 * experiment_free(). */
enum muster_status experiment_read(const char *path, char *const *assignments, size_t assignment_count,
                                   experiment_mistake *tell, void *context, struct experiment **experiment,
                                   struct muster_error *error);
void experiment_free(struct experiment *experiment);

#endif
