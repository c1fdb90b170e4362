/* Kinds of settings: those of a server, of a node, of the master and of the members of vertical learning, of a coordinator.
 * Each is a struct with a table of its fields, and all are set in the same way, whether a command line or a file says it. */
#ifndef KIND_H
#define KIND_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

#include <muster/muster.h>

#include "setting.h"

/* A text that settings own. */
struct kept_text;

struct settings_kind {
    const char *section; /* of an experiment file, such as "nodes" */
    const char *program; /* how it is started: "muster node" */
    size_t size;         /* of the struct */
    size_t texts;        /* offset in it of a struct kept_text *, which init() sets to NULL */
    const struct setting *(*row)(size_t index); /* NULL beyond the last */
    /* Fills in the defaults. */
    void (*init)(void *settings);
    /* Sets a key that has no row, *known; NULL: there are none. */
    enum muster_status (*other)(void *settings, const char *key, const char *text, bool *known,
                                struct muster_error *error);
    /* Checks what only all settings together tell, and fills in what follows from others. INVALID with *error, whose text
     * begins with a key, and a blank or a colon behind it. NULL: there is nothing to check. */
    enum muster_status (*check)(void *settings, struct muster_error *error);
    /* Frees what is not a text. NULL: there is nothing. */
    void (*clear)(void *settings);
    /* Keys that no row has, for somebody who looked for one: "; --help lists them, ..." NULL: none. */
    const char *hint;

    /* ---- as options of a command line: see arguments.h ---- */
    const char *const *headers;  /* of the groups of rows, by their numbers, from 1 */
    int groups;                  /* so many */
    int set_group;               /* that of --set */
    const char *set_help;        /* what it says of --set */
    const struct argp *security; /* of a server or of a participant; NULL: none */
    size_t credentials, log;     /* offsets of a struct muster_credentials, and of a struct log_options */
};

/* The kind of a section; NULL: there is none of this name in this build. */
const struct settings_kind *kind_of_section(const char *section);

/* Settings with the defaults, to be freed by kind_free(); NULL when out of memory. Those that are part of something else are
 * filled in with kind->init(), and given back with kind_clear(). */
void *kind_new(const struct settings_kind *kind);
void kind_free(const struct settings_kind *kind, void *settings);
void kind_clear(const struct settings_kind *kind, void *settings);

/* The row of a key; NULL. */
const struct setting *kind_find(const struct settings_kind *kind, const char *key);

/* Sets what `key`, such as "select.fraction" or "rounds", means to what `text` says; a text is copied. INVALID with *error,
 * which begins with the key, and says what was expected or which key comes nearest; UNSUPPORTED in this build;
 * OUT_OF_MEMORY. */
enum muster_status kind_set(const struct settings_kind *kind, void *settings, const char *key,
                            const char *text, struct muster_error *error);

/* The same for KEY=VALUE. */
enum muster_status kind_assign(const struct settings_kind *kind, void *settings, const char *assignment,
                               struct muster_error *error);

/* Checks all settings together, at last: see struct settings_kind. */
enum muster_status kind_check(const struct settings_kind *kind, void *settings, struct muster_error *error);

/* Keeps a copy of a text as long as the settings live; NULL when out of memory. */
const char *kind_keep(const struct settings_kind *kind, void *settings, const char *text);

#endif
