/* An experiment while it is being made out of a file: what its sections share. */
#ifndef DRAFT_H
#define DRAFT_H

#include <jansson.h>

#include "experiment.h"
#include "layout.h"
#include "memory.h"
#include "mistakes.h"
#include "tree.h"
#include "values.h"

enum { PROCESSES_MAX = 10000 };

/* Index of this machine among the hosts. */
enum { HERE = 0 };

struct draft {
    struct memory *memory;
    struct mistakes mistakes;
    struct experiment *experiment;
    const struct tree *root;
    json_t *resolved;
    const char *seed;
    const char *run_here; /* the run directory's absolute path */
    /* Guarded by who fills them: hosts.c and processes.c. */
    struct experiment_host *hosts;
    const struct tree **host_places; /* where each is defined; NULL: nowhere */
    size_t host_count;
    bool given; /* the hosts are those of a job, and some may have nothing to do */
    struct experiment_process *processes;
    size_t process_room, bytes;
};

/* ---- hosts.c ---- */

void hosts_read(struct draft *draft);
/* The index of a host by what a node says; this machine's after a mistake. */
size_t hosts_find(struct draft *draft, const struct tree *node);
/* The host of the process with this rank: `own` and `section` are mappings with "hosts", either may be NULL. */
size_t hosts_of_rank(struct draft *draft, const struct tree *own, const struct tree *section, size_t rank);
/* After all processes are there: hosts without any, and hosts that cannot reach the one that serves. */
void hosts_check(struct draft *draft, const struct tree *serving, const char *section);

/* ---- processes.c ---- */

/* How processes of a section are called: "participant-07" of ten or more. */
const char *process_name(struct draft *draft, const char *name, size_t rank, size_t count);
/* Whether a name can be that of a file, too. */
bool process_name_fits(const char *name);

/* Fills in what "restart", "restarts", "show" and "directory" say; `rule` goes before the section, and may be NULL. */
void process_fill(struct draft *draft, struct experiment_process *process, const struct tree *section,
                  const struct tree *rule);
/* Adds a process, whose name, role, rank, count and host are set. Placeholders are replaced in the arguments, and in the
 * environment of the section and then of the rule. */
void process_add(struct draft *draft, struct experiment_process process, const struct texts *arguments,
                 const struct tree *section, const struct tree *rule);
/* The rule that is for a rank, among those of the section's "for"; NULL. Only one is. */
const struct tree *process_rule(const struct tree *section, size_t rank);
/* Tells of ranks that are not there, or in two rules. False: there are too many to go on. */
bool process_check_rules(struct draft *draft, const struct tree *section, size_t count);
/* The value of a whole number, or `otherwise` when there is none, or a mistake in it. */
size_t process_whole(const struct tree *section, const char *key, size_t otherwise);
/* Adds --tls-cert and so on, for one of muster's own programs. */
void process_add_credentials(struct draft *draft, struct texts *arguments, bool serves);
/* Where a process of this host keeps its part of the run. */
const char *process_run(struct draft *draft, size_t host, const char *part);

/* ---- settings_section.c ---- */

/* Settings of a section, as its program takes them. */
struct section_settings;

/* What the launcher itself says of a setting: a section may not, and is told where to say it instead. */
struct owned_setting {
    const char *key;
    const char *text;    /* the value; NULL: none */
    const char *instead; /* "say run at the top of the file" */
};

/* Reads and checks the settings of a section, and adds them to what is resolved; NULL after a mistake. `owned` has an entry
 * without a key behind the last. */
struct section_settings *settings_section_read(struct draft *draft, const char *kind, const char *section,
                                               const struct layout *keys, const struct owned_setting *owned);
/* Checks what a rule of the section adds. */
void settings_section_check_rules(struct draft *draft, const struct section_settings *settings,
                                  const struct layout *rule_keys);
/* What the file says of a setting, or NULL. */
const char *settings_section_value(const struct section_settings *settings, const char *key);
/* Adds --set KEY=VALUE. */
void settings_section_add(struct draft *draft, struct texts *arguments, const char *key, const char *value);
/* Adds it for each, with those of a rule in place of the section's. `rule` may be NULL. */
void settings_section_arguments(struct draft *draft, const struct section_settings *settings,
                                const struct tree *rule, struct texts *arguments);

/* ---- sections ---- */

/* Begins the arguments of one of muster's own programs, such as "vertical master". */
void serving_begin(struct draft *draft, const char *command, struct texts *arguments);
/* Checks "monitor" and "record". */
void serving_check_output(struct draft *draft);
/* Adds --monitor and --record. */
void serving_add_output(struct draft *draft, struct texts *arguments);
/* Adds the process that serves, whose name and role are set. */
void serving_add(struct draft *draft, const struct tree *section, struct experiment_process process,
                 const struct texts *arguments);

void federated_read(struct draft *draft);
void decentralized_read(struct draft *draft);
void vertical_read(struct draft *draft);

#endif
