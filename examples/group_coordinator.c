/*
 * A coordinator of groups. The members of a group register with it, and learn from it who the others are
 * and where they listen. Then they talk to each other directly, and need it only when one is lost, comes
 * back or leaves.
 *
 * cc -o group_coordinator group_coordinator.c $(pkg-config --cflags --libs muster) -pthread
 * ./group_coordinator --listen 0.0.0.0:8090 --file groups
 *
 * It can be killed at any time. Started again with the same file, it knows ranks and epochs, and members
 * that run do not notice. For TLS and a token, fill in options.credentials as in 07_tls.c.
 */
#define _POSIX_C_SOURCE 200809L
#include <muster/muster.h>

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "usage: group_coordinator [OPTION...]\n"
    "  --listen ADDRESS   where members register (127.0.0.1:8090; port 0: any)\n"
    "  --file FILE        keep names, ranks and epochs in FILE, for a coordinator that is started again\n"
    "  --grace SECONDS    wait so long for a member whose connection broke (60)\n";

static const char *const states[] = {"is present", "is lost", "has finished"};

/* Called on any thread; it must not block for long. */
static void print_event(void *context, const struct muster_coordinator_event *event)
{
    (void)context;
    if (event->epoch == 0)
        printf("%s: %s %s: %s\n", event->group, event->member.name, states[event->member.state], event->text);
    else
        printf("%s, epoch %llu: rank %u, %s, %s: %s\n", event->group, (unsigned long long)event->epoch,
               event->member.rank, event->member.name, states[event->member.state], event->text);
    fflush(stdout);
}

static int64_t seconds_in(const char *text)
{
    unsigned seconds;
    char more;
    if (sscanf(text, "%u%c", &seconds, &more) == 1 && seconds >= 1)
        return (int64_t)seconds * 1000;
    fprintf(stderr, "group_coordinator: %s: expected a number of seconds from 1\n", text);
    exit(2);
}

static void parse(int argc, char **argv, struct muster_coordinator_options *options)
{
    static const struct option list[] = {{"listen", 1, NULL, 'l'},
                                         {"file", 1, NULL, 'f'},
                                         {"grace", 1, NULL, 'g'},
                                         {"help", 0, NULL, 'h'},
                                         {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "", list, NULL)) != -1;) {
        if (option == 'l')
            options->listen = optarg;
        else if (option == 'f')
            options->file = optarg;
        else if (option == 'g')
            options->grace_ms = seconds_in(optarg);
        else {
            fputs(usage, option == 'h' ? stdout : stderr);
            exit(option == 'h' ? 0 : 2);
        }
    }
    if (optind < argc) {
        fputs(usage, stderr);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct muster_coordinator_options options;
    struct muster_coordinator *coordinator;
    struct muster_error error;
    sigset_t signals;
    int number;
    muster_coordinator_options_init(&options);
    options.on_event = print_event;
    parse(argc, argv, &options);

    /* Before there are other threads: these wait for nobody but sigwait(). */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (muster_coordinator_start(&options, &coordinator, &error) != MUSTER_OK) {
        fprintf(stderr, "group_coordinator: %s\n", error.text);
        return 1;
    }
    printf("coordinating on port %u; Ctrl-C ends it\n", muster_coordinator_port(coordinator));
    fflush(stdout);
    sigwait(&signals, &number);
    muster_coordinator_free(coordinator); /* members go on, and look for the next one */
    return 0;
}
