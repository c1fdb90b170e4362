/*
 * Calls that wait, on threads of their own. Python hears signals on its main thread only, and not while that is inside
 * of a call: so such a call runs here, and the main thread looks up from its wait now and then. A thread that has
 * nothing to do is kept for the next call. muster_build.py adds a function for each call.
 */
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

struct worker {
    sem_t begin, done;
    struct muster_job *job; /* whoever has taken the worker writes it, before `begin` */
    struct worker *next;    /* guarded by `lock`, while it is idle */
};

struct muster_job {
    int64_t (*run)(struct muster_job *job);
    int64_t result;
    struct worker *worker;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct worker *idle;

static bool wait_until(sem_t *semaphore, int64_t milliseconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += milliseconds / 1000;
    until.tv_nsec += milliseconds % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    return sem_clockwait(semaphore, CLOCK_MONOTONIC, &until) == 0;
}

static void *work(void *context)
{
    struct worker *worker = context;
    for (;;) {
        while (sem_wait(&worker->begin) != 0)
            ;
        worker->job->result = worker->job->run(worker->job);
        sem_post(&worker->done);
    }
    return NULL;
}

/* A forked process has none of these threads. */
static void forget_workers(void)
{
    pthread_mutex_init(&lock, NULL);
    idle = NULL;
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, forget_workers);
}

static struct worker *new_worker(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct worker *worker = calloc(1, sizeof(*worker));
    pthread_t thread;
    pthread_once(&once, watch_forks);
    if (!worker)
        return NULL;
    sem_init(&worker->begin, 0, 0);
    sem_init(&worker->done, 0, 0);
    if (pthread_create(&thread, NULL, work, worker) != 0) {
        free(worker);
        return NULL;
    }
    pthread_detach(thread);
    return worker;
}

/* NULL: there is no memory for a thread; the job is freed. */
static struct muster_job *muster_job_begin(struct muster_job *job)
{
    pthread_mutex_lock(&lock);
    job->worker = idle;
    if (idle)
        idle = idle->next;
    pthread_mutex_unlock(&lock);
    if (!job->worker)
        job->worker = new_worker();
    if (!job->worker) {
        free(job);
        return NULL;
    }
    job->worker->job = job;
    sem_post(&job->worker->begin);
    return job;
}

/* Whether it is done; waits for so long, or until a signal comes. It says so again: a signal's handler may raise in
 * between, and then nobody has heard it. */
bool muster_job_wait(struct muster_job *job, int64_t milliseconds)
{
    bool done = wait_until(&job->worker->done, milliseconds);
    if (done)
        sem_post(&job->worker->done);
    return done;
}

/* What the call returned; only after muster_job_wait() was true. */
int64_t muster_job_end(struct muster_job *job)
{
    struct worker *worker = job->worker;
    int64_t result = job->result;
    while (sem_wait(&worker->done) != 0)
        ;
    free(job);
    pthread_mutex_lock(&lock);
    worker->next = idle;
    idle = worker;
    pthread_mutex_unlock(&lock);
    return result;
}

/* ---- how connecting ends ---- */

/* Opened once, by the first of on_admitted and on_ready: then the participant is admitted, or refused. */
struct muster_gate {
    void *handle; /* of the participant's object in Python */
    sem_t opened;
    bool open; /* guarded by `lock` */
};

struct muster_gate *muster_gate_new(void *handle)
{
    struct muster_gate *gate = calloc(1, sizeof(*gate));
    if (gate) {
        gate->handle = handle;
        sem_init(&gate->opened, 0, 0);
    }
    return gate;
}

void *muster_gate_handle(void *gate)
{
    return ((struct muster_gate *)gate)->handle;
}

void muster_gate_open(void *context, struct participant *participant)
{
    struct muster_gate *gate = context;
    (void)participant;
    pthread_mutex_lock(&lock);
    bool first = !gate->open;
    gate->open = true;
    pthread_mutex_unlock(&lock);
    if (first)
        sem_post(&gate->opened);
}

/* Whether it is open; waits for so long, or until a signal comes. */
bool muster_gate_wait(struct muster_gate *gate, int64_t milliseconds)
{
    return wait_until(&gate->opened, milliseconds);
}

void muster_gate_free(struct muster_gate *gate)
{
    sem_destroy(&gate->opened);
    free(gate);
}

/* ---- memory ---- */

/*
 * By default glibc gives the memory of gRPC's buffers back to the system after each big message, and takes it again for
 * the next: that costs more than the message. So its two thresholds are set to where it moves them itself in a process
 * that frees blocks of 32 MiB. Who has set them in the environment knows better.
 */
void muster_python_keep_memory(void)
{
#ifdef M_TRIM_THRESHOLD
    if (getenv("MALLOC_TRIM_THRESHOLD_") || getenv("MALLOC_MMAP_THRESHOLD_") || getenv("GLIBC_TUNABLES"))
        return;
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
#endif
}

void muster_python_free(void *memory)
{
    free(memory);
}
