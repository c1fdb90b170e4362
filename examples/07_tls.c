/*
 * Lesson 7: TLS and a token. The server shows a certificate, and the participant checks who signed it. The
 * participant shows a token, and the server checks that. Both read the files again when they change, without
 * a restart.
 *
 *     07_tls DIRECTORY
 *
 * DIRECTORY has server.pem and server.key (for 127.0.0.1), ca.pem, whose key signed server.pem, and token, a
 * random line. These commands make them:
 *
 *     openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=ca -keyout ca.key -out ca.pem
 *     openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=server -CA ca.pem -CAkey ca.key \
 *         -addext subjectAltName=IP:127.0.0.1 -keyout server.key -out server.pem
 *     openssl rand -hex 16 >token
 */
#include <muster/muster.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static char address[32];
static char certificate[4096], key[4096], authority[4096], token[4096];

static void fail(const struct muster_error *error)
{
    fprintf(stderr, "%s\n", error->text);
    exit(EXIT_FAILURE);
}

/* ---- the participant ---- */

static void *take_part(void *unused)
{
    struct participant_options options;
    struct participant *participant;
    const struct muster_message *instruction;
    struct muster_error error;

    /* Without the token the server refuses the participant. */
    participant_options_init(&options);
    options.credentials.ca = authority;
    if (participant_connect(address, &options, &participant, &error) != MUSTER_OK)
        printf("%s: %s\n", muster_status_name(error.status), error.text);

    options.name = "ada";
    options.credentials.token_file = token;
    if (participant_connect(address, &options, &participant, &error) != MUSTER_OK)
        fail(&error);
    while (participant_consume(participant, MUSTER_NO_LIMIT, &instruction, &error) == MUSTER_OK)
        participant_dispatch(participant, instruction, NULL);
    participant_free(participant);
    return unused;
}

/* ---- the server ---- */

int main(int argc, char **argv)
{
    struct participant_manager_options options;
    struct participant_manager *manager;
    struct muster_error error;
    if (argc != 2)
        return fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]), 2;
    snprintf(certificate, sizeof(certificate), "%s/server.pem", argv[1]);
    snprintf(key, sizeof(key), "%s/server.key", argv[1]);
    snprintf(authority, sizeof(authority), "%s/ca.pem", argv[1]);
    snprintf(token, sizeof(token), "%s/token", argv[1]);

    participant_manager_options_init(&options);
    options.listen = "127.0.0.1:0";
    options.credentials.certificate = certificate;
    options.credentials.key = key;
    options.credentials.token_file = token;
    if (participant_manager_start(&options, &manager, &error) != MUSTER_OK)
        fail(&error);
    snprintf(address, sizeof(address), "127.0.0.1:%d", participant_manager_port(manager));
    pthread_t thread;
    pthread_create(&thread, NULL, take_part, NULL);

    struct proxy **proxies;
    size_t count;
    if (participant_manager_get_participants(manager, 1, 60000, &proxies, &count, &error) != MUSTER_OK)
        fail(&error);
    const struct muster_message instruction = {.kind = MUSTER_TRAIN};
    if (proxy_run(proxies[0], &instruction, 10000, NULL, &error) != MUSTER_OK)
        fail(&error);
    printf("%s has answered over TLS\n", proxy_name(proxies[0]));

    proxy_release_all(proxies, count);
    participant_manager_free(manager);
    pthread_join(thread, NULL);
}
