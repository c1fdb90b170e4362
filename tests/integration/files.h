/* Certificates and tokens in a directory of the test, and those who show them at a door. */
#ifndef MUSTER_TESTS_INTEGRATION_FILES_H
#define MUSTER_TESTS_INTEGRATION_FILES_H

#include "integration/fixture.h"

#define TEXT_SIZE    300
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define DIRECTORY "/tmp/muster-doors-XXXXXX"

/* Of the test that runs. */
extern char directory[sizeof(DIRECTORY)];

/* Fresh certificates for each test, by the script beside this file. */
void make_files(void);

/* The path of one of them; a few at a time. "" and NULL: none. */
const char *in_directory(const char *name);

void remove_files(void);

#define FILES_TEST(suite, name) Test(suite, name, .init = make_files, .fini = remove_files)

struct muster_credentials credentials(const char *certificate, const char *ca, const char *token);
void door_open_with(struct door *door, struct muster_credentials shown);

/* Joins, has one turn, and leaves; the status of the joining, and its text. */
enum muster_status visit(struct door *door, struct muster_credentials shown, const char *name,
                         struct muster_error *error);

void expect_refusal(struct door *door, struct muster_credentials shown, const char *name,
                    enum muster_status status, const char *text);

/* A server's warnings, which come on network threads. */
struct told {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t count; /* of those about what is looked for */
    const char *about;
    char text[TEXT_SIZE];
};

void note_told(void *context, const char *text);
size_t times_told(struct told *told);
void expect_turn(struct door *door, struct muster_credentials shown, const char *name, const char *called,
                 size_t n);

#endif
