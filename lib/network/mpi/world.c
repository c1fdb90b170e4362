/* MPI itself: its beginning, the communicator on which ranks talk to each other, and its end, which comes while
   MPI_Finalize() runs, whoever calls it. */
#include <config.h>

#include <stdlib.h>

#include "network/mpi/mpi.h"
#include "status.h"

enum { CONNECT_MS = 1000 };

/* A process that fails leaves MPI without a word, so that mpirun ends the others too; one that ends well waits
   for them. */
static void finalize(int status, void *context)
{
    int finalized = 0;
    (void)context;
    MPI_Finalized(&finalized);
    if (!finalized && status == EXIT_SUCCESS)
        MPI_Finalize();
}

/* Open MPI does not survive its end while a communicator is half made. It becomes whole at once, if all ranks have
   come to it; one that never has is not waited for. */
static void finish_connecting(struct mpi_transport *transport)
{
    const int64_t until = muster__clock_now() + CONNECT_MS;
    while (!muster__mpi_connected(transport) && muster__clock_now() < until) {
        const struct timespec next = muster__clock_after(1);
        pthread_mutex_lock(&transport->lock);
        pthread_cond_clockwait(&transport->changed, &transport->lock, CLOCK_MONOTONIC, &next);
        pthread_mutex_unlock(&transport->lock);
    }
}

/* The first that MPI_Finalize() does is to delete what is attached to MPI_COMM_SELF. */
static int ends(MPI_Comm self, int key, void *value, void *context)
{
    struct mpi_transport *transport = value;
    (void)self;
    (void)key;
    (void)context;
    pthread_mutex_lock(&transport->lock);
    transport->lost = "MPI has been finalized";
    muster__mpi_wake();
    /* The thread sees it soon: it never blocks in MPI, and events must not block. */
    while (transport->running && !transport->left && !pthread_equal(transport->thread, pthread_self()))
        pthread_cond_wait(&transport->changed, &transport->lock);
    pthread_mutex_unlock(&transport->lock);
    finish_connecting(transport);
    muster__mpi_give_up(transport);
    return MPI_SUCCESS;
}

static enum muster_status initialize(struct muster_error *error)
{
    int initialized = 0, finalized = 0, level = MPI_THREAD_SINGLE;
    sigset_t saved;
    MPI_Initialized(&initialized);
    MPI_Finalized(&finalized);
    if (finalized)
        return muster__error(error, MUSTER_UNAVAILABLE, "MPI has been finalized: it cannot begin again");
    if (!initialized) {
        muster__block_signals(&saved); /* MPI starts threads */
        bool failed = MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &level) != MPI_SUCCESS;
        pthread_sigmask(SIG_SETMASK, &saved, NULL);
        if (failed)
            return muster__error(error, MUSTER_UNAVAILABLE, "MPI could not be initialized");
        on_exit(finalize, NULL);
    }
    MPI_Query_thread(&level);
    if (level < MPI_THREAD_MULTIPLE)
        return muster__error(
            error, MUSTER_UNSUPPORTED,
            "MPI was initialized for %s: call MPI_Init_thread() with MPI_THREAD_MULTIPLE, or "
            "leave it to muster",
            level == MPI_THREAD_SINGLE ? "one thread" : "one thread at a time");
    return MUSTER_OK;
}

enum muster_status muster__mpi_prepare(struct mpi_transport *transport, struct muster_error *error)
{
    int key;
    if (transport->lost)
        return muster__error(error, MUSTER_UNAVAILABLE, "%s: it cannot begin again", transport->lost);
    if (transport->prepared)
        return MUSTER_OK;
    enum muster_status status = initialize(error);
    if (status != MUSTER_OK)
        return status;
    MPI_Comm_rank(MPI_COMM_WORLD, &transport->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &transport->size);
    /* All ranks have to come to this, and nobody is to wait for them here. */
    if (MPI_Comm_idup(MPI_COMM_WORLD, &transport->communicator, &transport->connecting) != MPI_SUCCESS ||
        MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, ends, &key, NULL) != MPI_SUCCESS ||
        MPI_Comm_set_attr(MPI_COMM_SELF, key, transport) != MPI_SUCCESS)
        return muster__error(error, MUSTER_UNAVAILABLE, "MPI has no communicator for us");
    transport->prepared = true;
    return MUSTER_OK;
}

bool muster__mpi_connected(struct mpi_transport *transport)
{
    int done = transport->connected;
    if (!done)
        MPI_Test(&transport->connecting, &done, MPI_STATUS_IGNORE);
    if (done && !transport->connected)
        MPI_Comm_set_errhandler(transport->communicator, MPI_ERRORS_RETURN);
    transport->connected = done;
    return done;
}
