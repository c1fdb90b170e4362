/*
 * Chaos: a server and its participants, each a process, hold rounds of known arithmetic while participants
 * are killed, stopped and continued, connections are cut, delayed, stalled, half-closed and robbed of their
 * bytes, and the server is killed and started again on its run directory. In the end, all sums have to be
 * right, no process may have worked on an instruction twice, no participant that lived may have ended before
 * the server said good-bye, no process may be left, and the server's memory has to be what it was.
 *
 * What happens in a round, to whom, and how long after its beginning comes from the seed; how far everybody
 * has got by then, from the machine.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <muster/random.h>
#include <muster/run.h>

#include "fault/chaos.h"
#include "support/now.h"
#include "support/port.h"
#include "support/relay.h"

/* The server may grow by this: what its allocator and its connections keep. */
#define GROWTH_KIB (24 * 1024)

#define STUCK_MS       60000 /* without a completed round, it is stuck */
#define FAULT_EVERY_MS 60    /* on average */

enum fault { KILL, STOP, CUT, HALF_CLOSE, DELAY, STALL, DROP, KILL_SERVER, FAULTS };

static const char *const fault_names[FAULTS] = {"killed",  "stopped", "cut",     "half-closed",
                                                "delayed", "stalled", "dropped", "server killed"};

/* A fault that is going to happen. */
struct strike {
    int64_t at;
    enum fault fault;
    size_t whom; /* a participant or a connection, of as many as there are then */
    size_t how;
    int64_t lasts_ms;
};

struct process {
    pid_t pid; /* 0: none */
    uint64_t life;
    int64_t continue_at; /* 0: it is not stopped */
    bool doomed;         /* it was killed */
};

struct chaos {
    uint64_t rounds;
    size_t participants;
    uint64_t seed;
    bool verbose;
    int64_t slowness;

    struct muster_random random;
    char directory[64];
    char run[80];
    uint16_t server_port;
    uint16_t relay_port;
    int reserved; /* keeps the server's port ours while there is no server */
    int signals;
    struct relay *relay;
    struct process server;
    struct process members[PARTICIPANTS_MAX];
    int reports; /* from the server */
    int control; /* to it */
    struct chaos_report report;
    uint64_t shown;
    size_t happened[FAULTS];
    int64_t round_began;
    struct strike next;
    int64_t progress_at; /* when the last round was completed */
    bool finishing;      /* all rounds are done: no more faults */
    int failures;
    int interrupted; /* by this signal */
};

static size_t draw(struct chaos *chaos, size_t below)
{
    return (size_t)(muster_random_next(&chaos->random) % below);
}

static void fail(struct chaos *chaos, const char *text)
{
    chaos->failures++;
    printf("WRONG: %s\n", text);
}

static void die(const char *text)
{
    perror(text);
    exit(CHAOS_FAILED);
}

/* ---- processes ---- */

/* Runs this program in another role; `input` and `output` (-1: ours) are its standard ones. */
static pid_t spawn(char *const *arguments, int input, int output)
{
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid > 0)
        return pid;
    sigset_t none;
    sigemptyset(&none);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0); /* a Ctrl-C is ours alone */
    sigprocmask(SIG_SETMASK, &none, NULL);
    if ((input >= 0 && dup2(input, STDIN_FILENO) < 0) || (output >= 0 && dup2(output, STDOUT_FILENO) < 0))
        _exit(127);
    /* Not the link itself, behind which valgrind has itself. */
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    path[length > 0 ? length : 0] = '\0';
    execv(path, arguments);
    _exit(127);
}

static void number_text(char text[24], uint64_t number)
{
    snprintf(text, 24, "%" PRIu64, number);
}

static void start_server(struct chaos *chaos)
{
    char port[24], life[24], rounds[24], participants[24];
    int report[2], control[2];
    if (pipe2(report, O_CLOEXEC) != 0 || pipe2(control, O_CLOEXEC) != 0)
        die("pipe");
    number_text(port, chaos->server_port);
    number_text(life, ++chaos->server.life);
    number_text(rounds, chaos->rounds);
    number_text(participants, chaos->participants);
    char *arguments[] = {"chaos", "server", chaos->run, port, life, rounds, participants, NULL};
    chaos->server.pid = spawn(arguments, control[0], report[1]);
    chaos->server.doomed = false;
    close(report[1]);
    close(control[0]);
    chaos->reports = report[0];
    chaos->control = control[1];
}

static void start_member(struct chaos *chaos, size_t number)
{
    struct process *member = &chaos->members[number];
    char port[24], text[24], life[24], file[128];
    number_text(port, chaos->relay_port);
    number_text(text, number);
    number_text(life, ++member->life);
    snprintf(file, sizeof(file), "%s/worked-%zu-%" PRIu64, chaos->directory, number, member->life);
    char *arguments[] = {"chaos", "participant", port, text, life, file, NULL};
    member->pid = spawn(arguments, -1, -1);
    member->doomed = false;
    member->continue_at = 0;
}

static void server_ended(struct chaos *chaos, int status)
{
    if (chaos->reports >= 0)
        close(chaos->reports);
    if (chaos->control >= 0)
        close(chaos->control);
    chaos->reports = chaos->control = -1;
    chaos->server.pid = 0;
    if (chaos->server.doomed) {
        start_server(chaos);
    } else if (!chaos->finishing || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fail(chaos, "the server ended by itself");
        chaos->interrupted = SIGTERM;
    }
}

static void member_ended(struct chaos *chaos, size_t number, int status)
{
    struct process *member = &chaos->members[number];
    char text[96];
    bool good = chaos->finishing && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    member->pid = 0;
    if (!good && !member->doomed) {
        snprintf(text, sizeof(text), "participant %zu (life %" PRIu64 ") ended by itself: %s %d", number,
                 member->life, WIFEXITED(status) ? "exit" : "signal",
                 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
        fail(chaos, text);
    }
    if (!good)
        start_member(chaos, number);
}

static void reap(struct chaos *chaos)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == chaos->server.pid)
            server_ended(chaos, status);
        for (size_t i = 0; i < chaos->participants; i++) {
            if (pid == chaos->members[i].pid)
                member_ended(chaos, i, status);
        }
    }
}

static bool any_process(const struct chaos *chaos)
{
    bool any = chaos->server.pid != 0;
    for (size_t i = 0; i < chaos->participants; i++)
        any = any || chaos->members[i].pid;
    return any;
}

/* ---- faults ---- */

/* Seven draws each, whatever comes of it: of a round, the seed alone decides what happens, to whom and when,
   counted from its beginning. */
static struct strike draw_strike(struct chaos *chaos, int64_t after)
{
    static const enum fault menu[] = {KILL,       KILL,  STOP,  STOP,  CUT,   CUT,   CUT,   CUT,  HALF_CLOSE,
                                      HALF_CLOSE, DELAY, DELAY, DELAY, STALL, STALL, STALL, DROP, DROP};
    struct strike strike = {.at = after + (int64_t)draw(chaos, 2 * FAULT_EVERY_MS) * chaos->slowness};
    bool server = draw(chaos, 25) == 0;
    strike.fault = menu[draw(chaos, sizeof(menu) / sizeof(*menu))];
    if (server)
        strike.fault = KILL_SERVER;
    strike.whom = draw(chaos, SIZE_MAX);
    strike.how = draw(chaos, 3);
    /* Mostly short, and now and then long enough for keepalive to notice. */
    bool is_long = draw(chaos, 12) == 0;
    strike.lasts_ms = (int64_t)draw(chaos, is_long ? 3500 : 300);
    return strike;
}

/* A round begins: what happens in it does not depend on how long those before have taken. */
static void plan_round(struct chaos *chaos, int64_t now)
{
    muster_random_seed(&chaos->random, chaos->seed * 1000003 + chaos->report.round);
    chaos->round_began = now;
    chaos->next = draw_strike(chaos, now);
}

static void continue_member(struct process *member)
{
    if (member->pid && member->continue_at)
        kill(member->pid, SIGCONT);
    member->continue_at = 0;
}

static void strike_member(struct chaos *chaos, const struct strike *strike)
{
    struct process *member = &chaos->members[strike->whom % chaos->participants];
    if (!member->pid || member->doomed)
        return;
    chaos->happened[strike->fault]++;
    if (strike->fault == KILL) {
        member->doomed = true;
        kill(member->pid, SIGKILL);
    } else if (!member->continue_at) {
        member->continue_at = now_ms() + strike->lasts_ms;
        kill(member->pid, SIGSTOP);
    }
}

static void strike_connection(struct chaos *chaos, const struct strike *strike)
{
    int64_t until = now_ms() + strike->lasts_ms;
    if (relay_connections(chaos->relay) == 0)
        return;
    size_t n = strike->whom % relay_connections(chaos->relay);
    chaos->happened[strike->fault]++;
    if (strike->fault == CUT)
        relay_cut(chaos->relay, n);
    else if (strike->fault == HALF_CLOSE)
        relay_half_close(chaos->relay, n, strike->how == 0);
    else if (strike->fault == DELAY)
        relay_delay(chaos->relay, n, strike->lasts_ms / 10);
    else if (strike->fault == STALL)
        relay_stall(chaos->relay, n, strike->how != 0, strike->how != 1, until);
    else
        relay_drop(chaos->relay, n, until);
}

/* Not in the last quarter: its memory is to be judged. */
static void strike_server(struct chaos *chaos)
{
    if (chaos->report.round >= chaos->rounds - chaos->rounds / 4 || !chaos->server.pid ||
        chaos->server.doomed)
        return;
    chaos->happened[KILL_SERVER]++;
    chaos->server.doomed = true;
    kill(chaos->server.pid, SIGKILL);
}

static void strike(struct chaos *chaos, const struct strike *strike)
{
    if (chaos->verbose)
        printf("round %" PRIu64 " %+" PRId64 " ms: %s %zu %zu %" PRId64 "\n", chaos->report.round + 1,
               strike->at - chaos->round_began, fault_names[strike->fault],
               strike->whom % chaos->participants, strike->how, strike->lasts_ms);
    if (strike->fault == KILL || strike->fault == STOP)
        strike_member(chaos, strike);
    else if (strike->fault == KILL_SERVER)
        strike_server(chaos);
    else
        strike_connection(chaos, strike);
}

/* What is due by now; *until: when the next is. */
static void let_things_happen(struct chaos *chaos, int64_t now, int64_t *until)
{
    for (size_t i = 0; i < chaos->participants; i++) {
        struct process *member = &chaos->members[i];
        if (member->continue_at && (member->continue_at <= now || chaos->finishing))
            continue_member(member);
        if (member->continue_at && member->continue_at < *until)
            *until = member->continue_at;
    }
    if (chaos->finishing)
        return;
    if (chaos->next.at <= now) {
        strike(chaos, &chaos->next);
        chaos->next = draw_strike(chaos, chaos->next.at);
    }
    if (chaos->next.at < *until)
        *until = chaos->next.at;
}

/* ---- the loop ---- */

static void show(struct chaos *chaos)
{
    printf("round %" PRIu64 "/%" PRIu64 ":", chaos->report.round, chaos->rounds);
    for (size_t i = 0; i < FAULTS; i++)
        printf(" %zu %s%s", chaos->happened[i], fault_names[i], i + 1 < FAULTS ? "," : "\n");
    fflush(stdout);
    chaos->shown = chaos->report.round;
}

static void read_report(struct chaos *chaos)
{
    struct chaos_report report;
    if (read(chaos->reports, &report, sizeof(report)) != sizeof(report)) {
        close(chaos->reports); /* the server has ended, and we are about to be told */
        chaos->reports = -1;
        return;
    }
    if (report.round < chaos->report.round)
        fail(chaos, "a completed round was lost");
    bool begins = report.round > chaos->report.round;
    chaos->report = report;
    if (begins) {
        chaos->progress_at = now_ms();
        plan_round(chaos, chaos->progress_at);
    }
    if (report.round >= chaos->shown + 20 || (report.done && report.round > chaos->shown))
        show(chaos);
    if (report.done) {
        chaos->finishing = true;
        relay_heal(chaos->relay);
    }
}

static void read_signal(struct chaos *chaos)
{
    struct signalfd_siginfo signal;
    if (read(chaos->signals, &signal, sizeof(signal)) != sizeof(signal))
        die("signalfd");
    if (signal.ssi_signo == SIGCHLD)
        reap(chaos);
    else
        chaos->interrupted = (int)signal.ssi_signo;
}

static void step(struct chaos *chaos)
{
    static struct pollfd polled[RELAY_POLLED_MAX + 2];
    int64_t now = now_ms();
    int64_t until = chaos->progress_at + STUCK_MS * chaos->slowness;
    if (until <= now) {
        show(chaos);
        fail(chaos, "no round was completed for a minute");
        chaos->interrupted = SIGALRM;
        return;
    }
    let_things_happen(chaos, now, &until);
    size_t count = relay_poll(chaos->relay, polled, now, &until);
    polled[count] = (struct pollfd){.fd = chaos->signals, .events = POLLIN};
    polled[count + 1] = (struct pollfd){.fd = chaos->reports, .events = POLLIN};
    int64_t left = until > now ? until - now : 0;
    if (poll(polled, count + 2, (int)(left < 60000 ? left : 60000)) < 0 && errno != EINTR)
        die("poll");
    relay_work(chaos->relay, polled, now_ms());
    if (chaos->finishing && chaos->control >= 0) { /* what was to be cut is cut */
        close(chaos->control);
        chaos->control = -1;
    }
    if (polled[count + 1].revents)
        read_report(chaos);
    if (polled[count].revents)
        read_signal(chaos);
}

/* ---- what came of it ---- */

static void check_sums(struct chaos *chaos)
{
    struct muster_run *run;
    struct muster_error error;
    size_t count;
    if (muster_run_open(chaos->run, "chaos", false, &run, &error) != MUSTER_OK) {
        fail(chaos, error.text);
        return;
    }
    const struct muster_named_array *state = muster_run_state(run, &count);
    const int64_t *sums = NULL;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(state[i].name, "sums") == 0 && state[i].array.shape[0] == chaos->rounds)
            sums = state[i].array.data;
    }
    if (!sums || muster_run_round(run) != chaos->rounds)
        fail(chaos, "not all rounds are there");
    for (uint64_t round = 1; sums && round <= chaos->rounds; round++) {
        int64_t sum = 0;
        for (size_t i = 0; i < chaos->participants; i++)
            sum += chaos_value(round, (int64_t)i);
        if (sum != sums[round - 1])
            fail(chaos, "a sum is wrong");
    }
    muster_run_close(run);
}

static int compare_records(const void *a, const void *b)
{
    const struct chaos_record *left = a, *right = b;
    return left->id < right->id ? -1 : left->id > right->id;
}

/* What one process worked on; *worked: how much. */
static void check_file(struct chaos *chaos, const char *path, size_t *worked, bool *seen)
{
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &status) != 0)
        die(path);
    size_t count = (size_t)status.st_size / sizeof(struct chaos_record);
    struct chaos_record *records = calloc(count + 1, sizeof(*records));
    if (!records || read(file, records, count * sizeof(*records)) != (ssize_t)(count * sizeof(*records)))
        die(path);
    close(file);
    qsort(records, count, sizeof(*records), compare_records);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && records[i].id == records[i - 1].id)
            fail(chaos, "an instruction was worked on twice by the same process");
        if (records[i].round - 1 < chaos->rounds)
            seen[records[i].round - 1] = true;
    }
    *worked += count;
    free(records);
}

static size_t check_work(struct chaos *chaos)
{
    size_t worked = 0;
    bool *seen = calloc(chaos->rounds, sizeof(*seen));
    if (!seen)
        die("calloc");
    for (size_t i = 0; i < chaos->participants; i++) {
        memset(seen, 0, chaos->rounds * sizeof(*seen));
        for (uint64_t life = 1; life <= chaos->members[i].life; life++) {
            char path[128];
            snprintf(path, sizeof(path), "%s/worked-%zu-%" PRIu64, chaos->directory, i, life);
            if (access(path, F_OK) == 0)
                check_file(chaos, path, &worked, seen);
        }
        for (uint64_t round = 0; round < chaos->rounds; round++) {
            if (!seen[round])
                fail(chaos, "an answer is in a sum that nobody worked on");
        }
    }
    free(seen);
    return worked;
}

static void check_memory(struct chaos *chaos)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    (void)chaos; /* a sanitizer keeps what is freed */
#else
    if (chaos->report.end_kib > chaos->report.idle_kib + GROWTH_KIB)
        fail(chaos, "the server has grown");
#endif
}

static void check_processes(struct chaos *chaos)
{
    if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD)
        fail(chaos, "a process is left");
}

static void judge(struct chaos *chaos, int64_t began)
{
    check_sums(chaos);
    size_t worked = check_work(chaos);
    check_memory(chaos);
    check_processes(chaos);
    printf("%" PRIu64 " rounds of %zu in %.1f s; %zu instructions worked on; server: %" PRIu64
           " lives, %ld KiB idle, %ld KiB at the end\n",
           chaos->rounds, chaos->participants, (double)(now_ms() - began) / 1000, worked, chaos->server.life,
           chaos->report.idle_kib, chaos->report.end_kib);
}

/* ---- beginning and end ---- */

static void set_up(struct chaos *chaos)
{
    sigset_t signals;
    const char *temporary = getenv("TMPDIR");
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    chaos->signals = signalfd(-1, &signals, SFD_CLOEXEC);
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* whoever is left behind by a child is seen */
    snprintf(chaos->directory, sizeof(chaos->directory), "%.40s/muster-chaos-XXXXXX",
             temporary && strlen(temporary) <= 40 ? temporary : "/tmp");
    if (chaos->signals < 0 || !mkdtemp(chaos->directory))
        die("setting up");
    snprintf(chaos->run, sizeof(chaos->run), "%s/run", chaos->directory);
    chaos->server_port = reserve_port(&chaos->reserved);
    chaos->relay = relay_new(chaos->server_port, &chaos->relay_port);
    if (!chaos->relay)
        die("the relay");
    chaos->progress_at = now_ms();
    plan_round(chaos, chaos->progress_at);
    start_server(chaos);
    for (size_t i = 0; i < chaos->participants; i++)
        start_member(chaos, i);
}

static void kill_all(struct chaos *chaos)
{
    if (chaos->server.pid)
        kill(chaos->server.pid, SIGKILL);
    for (size_t i = 0; i < chaos->participants; i++) {
        if (chaos->members[i].pid)
            kill(chaos->members[i].pid, SIGKILL);
    }
    while (waitpid(-1, NULL, 0) > 0)
        ;
}

static void remove_directory(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(directory), entry->d_name, 0);
    }
    if (directory)
        closedir(directory);
    rmdir(path);
}

static int clean_up(struct chaos *chaos)
{
    kill_all(chaos);
    relay_free(chaos->relay);
    close(chaos->reserved);
    if (chaos->failures == 0) {
        remove_directory(chaos->run);
        remove_directory(chaos->directory);
    } else {
        printf("what was written is in %s\n", chaos->directory);
    }
    bool interrupted = chaos->interrupted == SIGINT || chaos->interrupted == SIGTERM;
    if (chaos->failures)
        printf("not ok: chaos with seed %" PRIu64 "\n", chaos->seed);
    else if (!interrupted)
        printf("ok: chaos with seed %" PRIu64 "\n", chaos->seed);
    return chaos->failures ? 1 : interrupted ? 128 + chaos->interrupted : 0;
}

static const char help[] =
    "usage: chaos [--seed=N] [--rounds=N] [--participants=N] [--verbose]\n"
    "\n"
    "Runs rounds that add numbers while processes are killed and connections break. Ends "
    "with \"ok\" if all sums\n"
    "are right, no instruction was worked on twice, and no process is left.\n"
    "\n"
    "  --seed=N          seed of the faults; that of a failed run repeats its faults, at "
    "the same times from the\n"
    "                    beginning of each round (random)\n"
    "  --rounds=N        number of rounds (20)\n"
    "  --participants=N  number of participants, each a process; at most 64 (20)\n"
    "  --verbose         log every fault: the round and the time in it, what, to whom, "
    "and for how long\n"
    "  --help            this text\n";

static uint64_t parse_number(const char *text, uint64_t least, uint64_t most)
{
    char *end;
    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || number < least || number > most) {
        fprintf(stderr, "chaos: '%s' is not a number from %" PRIu64 " to %" PRIu64 "\n", text, least, most);
        exit(2);
    }
    return number;
}

static void parse(struct chaos *chaos, int count, char **arguments)
{
    static const struct option options[] = {{"seed", required_argument, NULL, 's'},
                                            {"rounds", required_argument, NULL, 'r'},
                                            {"participants", required_argument, NULL, 'p'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(count, arguments, "", options, NULL)) != -1) {
        if (option == 's') {
            chaos->seed = parse_number(optarg, 0, UINT64_MAX);
        } else if (option == 'r') {
            chaos->rounds = parse_number(optarg, 1, 1000000);
        } else if (option == 'p') {
            chaos->participants = parse_number(optarg, 1, PARTICIPANTS_MAX);
        } else if (option == 'v') {
            chaos->verbose = true;
        } else if (option == 'h') {
            fputs(help, stdout);
            exit(0);
        } else {
            exit(2);
        }
    }
    if (optind < count) {
        fprintf(stderr, "chaos: what is '%s'? --help tells\n", arguments[optind]);
        exit(2);
    }
}

int main(int count, char **arguments)
{
    static struct chaos chaos = {
        .rounds = 20, .participants = 20, .slowness = 1, .reports = -1, .control = -1};
    const char *slowness = getenv("MUSTER_TEST_SLOWNESS");
    if (count == 7 && strcmp(arguments[1], "server") == 0)
        return chaos_server(arguments + 2);
    if (count == 6 && strcmp(arguments[1], "participant") == 0)
        return chaos_participant(arguments + 2);
    if (slowness)
        chaos.slowness = (int64_t)parse_number(slowness, 1, 100);
    if (getrandom(&chaos.seed, sizeof(chaos.seed), 0) != sizeof(chaos.seed))
        die("getrandom");
    chaos.seed %= 1000000;
    parse(&chaos, count, arguments);
    printf("seed %" PRIu64 "\n", chaos.seed);
    int64_t began = now_ms();
    set_up(&chaos);
    while (!chaos.interrupted && (!chaos.finishing || any_process(&chaos)))
        step(&chaos);
    if (!chaos.interrupted)
        judge(&chaos, began);
    return clean_up(&chaos);
}
