/*
 * The MPI transport: streams between the ranks of one MPI world. One thread of the process makes every MPI call,
 * and none of them blocks: it starts operations and tests them, and between two tests it waits on `changed`, for
 * longer and longer while nothing happens. So an idle process costs next to nothing, where a wait in MPI
 * takes a whole core.
 *
 * A file for each: addresses (address.c), MPI's own beginning and end (world.c), what goes out and comes in
 * (parcel.c), listeners (listener.c), how a stream begins (opening.c), its owner's calls (owner.c), and how the thread
 * serves it (stream.c), the thread itself and the clock (transport.c).
 */
#ifndef MUSTER_NETWORK_MPI_H
#define MUSTER_NETWORK_MPI_H

#include <mpi.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "network/transport.h"

#define MPI_NAME_SIZE 64 /* of a listener at its rank, with its NUL */

/* Bytes that a peer may send ahead of what is read of a stream; a message that has begun is sent whole. */
#define STREAM_WINDOW ((uint64_t)4 << 20)

/* A message up to this size goes with its frame, as a copy: cheaper than a message of MPI's own. Together they
   are below the 4 KiB that Open MPI sends at once between processes of one machine. */
#define INSIDE_MAX 3072

enum { STREAM_BUCKETS = 256 };

/* ---- what ranks tell each other: a frame, and the slices of a big message after it ---- */

enum frame_kind { FRAME_OPEN = 1, FRAME_MESSAGE, FRAME_CREDIT, FRAME_LEFT, FRAME_END };

#define FRAME_VERSION 1

/* In the byte order of the machine, as ranks of one world have the same. */
struct frame {
    uint64_t stream; /* the number that its client gave it */
    uint64_t size;   /* of a MESSAGE; that CREDIT gives back; FRAME_VERSION of OPEN */
    uint32_t kind;   /* enum frame_kind */
    uint32_t to_server;
    uint32_t limit;  /* of OPEN and CREDIT: the biggest message that the sender takes */
    uint32_t status; /* of END */
    uint32_t inside; /* bytes behind the frame: of the message, OPEN's name and method, END's text */
    uint32_t count;  /* slices of a MESSAGE, each a message of MPI's own, */
    uint32_t sizes[STREAM_PIECES_MAX]; /* of so many bytes */
};

/* The longest of all. */
#define FRAME_MAX (sizeof(struct frame) + INSIDE_MAX + STREAM_HEAD_MAX)

/* A frame that goes out or has come in, with what belongs to it. */
struct parcel {
    STAILQ_ENTRY(parcel) link;
    struct buffer *body;        /* going out: a reference to what the slices lie in; NULL: to nothing */
    const struct buffer *whose; /* going out: to be recognised */
    uint8_t *data;              /* come in: what the slices fill, one behind the other */
    struct mpi_stream *stream;  /* come in: where it waits to be read */
    unsigned pending;           /* operations of MPI that use it; of the thread alone, as the next */
    bool dropped;               /* to be freed when none does */
    const uint8_t *slices[STREAM_PIECES_MAX];
    struct frame frame;
    uint8_t inside[];
};

STAILQ_HEAD(parcels, parcel);

/* ---- objects ---- */

struct mpi_listener {
    LIST_ENTRY(mpi_listener) link;
    TAILQ_ENTRY(mpi_listener) stopped_link;
    size_t max_message_size;
    const struct listener_events *events;
    void *context;
    size_t streams;
    bool closed;
    bool stopped; /* it is told so, or was */
    char name[MPI_NAME_SIZE];
};

/* One end of a stream. The thread alone frees its parcels and writes what stands under "receiving". */
struct mpi_stream {
    struct stream base;
    LIST_ENTRY(mpi_stream) link;        /* in its bucket, until it has been told of its end */
    TAILQ_ENTRY(mpi_stream) ready_link; /* among those for which there is something to do, */
    bool ready;                         /* if it is */
    unsigned references;                /* its owner's, the transport's until its end, its timer's */
    int rank;                           /* of the peer; constant, as the next four */
    uint64_t number;                    /* that the client gave it */
    struct mpi_listener *listener;      /* NULL: this is the client's end */
    const struct served *served;        /* of the listener */
    uint32_t limit;                     /* the biggest message that may come */
    const struct stream_events *events; /* NULL: not accepted yet, or refused */
    void *context;
    bool accepted; /* or refused; of a client's end, from the start */

    /* Sending. */
    struct parcels queue;
    struct parcel *part;
    uint32_t peers_limit; /* the biggest message that it takes, once something may be sent */
    uint64_t unread;      /* that was sent and the peer has not read yet */
    bool opened;          /* the peer knows of the stream */
    bool closing;         /* no more sends */
    bool said;            /* a client's: the peer knows that we left */
    struct parcel *last;  /* the frame of the end, which must not fail for want of memory; NULL: not needed */

    /* Receiving. */
    struct parcels arrived;
    uint64_t owed; /* that was read and not given back */
    bool paused;
    bool leaving; /* the client leaves behind what has arrived */
    bool left;    /* and this is the last that was read */
    bool ending;  /* the peer's end comes behind what has arrived */
    struct timer timer;

    bool over; /* its owner is to be told of the end, */
    bool told; /* or has been */
    enum muster_status status;
    char text[MUSTER_ERROR_TEXT_SIZE];
};

/* An operation of MPI that is not complete. */
struct operation {
    struct parcel *parcel;
    bool sends;
};

struct mpi_transport {
    struct muster_transport base;
    pthread_t thread;
    size_t users;       /* guarded by process_lock (transport.c), as the next */
    bool prepared;      /* MPI is there, and what follows is constant */
    int rank;           /* in the world, */
    int size;           /* which has so many */
    atomic_llong alarm; /* when the timers are to ring: the thread looks often enough to need no word */

    pthread_mutex_t lock; /* guards what follows, and all of listeners and streams */
    pthread_cond_t changed;
    bool woken;
    bool running;     /* the thread */
    bool stopping;    /* it is to end when all is sent, */
    int64_t stop_at;  /* or at this time */
    const char *lost; /* why there is no MPI any more; NULL: there is */
    bool left;        /* the thread makes no more calls of MPI */
    LIST_HEAD(, mpi_listener) listeners;
    TAILQ_HEAD(, mpi_listener) stopped;
    LIST_HEAD(, mpi_stream) streams[STREAM_BUCKETS];
    TAILQ_HEAD(, mpi_stream) ready;
    uint64_t numbers; /* of clients' streams, and of listeners without a name */

    /* Of the thread alone; between two threads of nobody. */
    bool connected; /* the communicator is there */
    MPI_Comm communicator;
    MPI_Request connecting;
    struct parcel *awaited; /* the next frame; */
    int came_from;          /* the rank that it has come from; -1: it has not */
    size_t count;           /* operations, */
    size_t sends;           /* those that send among them, */
    size_t room;            /* and how many the next four have room for */
    MPI_Request *requests;
    struct operation *operations;
    int *completed;
    MPI_Status *statuses;
};

/* ---- address.c ---- */

/* What mpi:, mpi:RANK, mpi:/NAME and mpi:RANK/NAME say. */
struct mpi_address {
    bool any;                 /* it is mpi: alone */
    int rank;                 /* our own where none is given */
    char name[MPI_NAME_SIZE]; /* "" where none is given */
};

/* INVALID, with a text: it is none, or of a rank that is not in the world. */
enum muster_status muster__mpi_parse(const struct mpi_transport *transport, const char *text,
                                     struct mpi_address *address, struct muster_error *error);

/* ---- world.c ---- */

/* Initialises MPI unless the program has, and begins to connect the ranks. */
enum muster_status muster__mpi_prepare(struct mpi_transport *transport, struct muster_error *error);

/* Whether all ranks are connected. On the thread. */
bool muster__mpi_connected(struct mpi_transport *transport);

/* ---- parcel.c: on the thread, without the lock ---- */

/* NULL when out of memory. `inside` bytes will be behind its frame. Any thread. */
struct parcel *muster__mpi_parcel_new(enum frame_kind kind, size_t inside);

/* The same, of a stream. */
struct parcel *muster__mpi_frame_new(const struct mpi_stream *stream, enum frame_kind kind, size_t inside);

/* Frees it, now or when MPI has done with it. NULL is allowed. */
void muster__mpi_drop(struct parcel *parcel);

/* Makes room for what one frame and its slices need. False when out of memory. */
bool muster__mpi_make_room(struct mpi_transport *transport);

/* Sends a parcel, for which there is room, to a rank, behind all before it, and drops it. False: MPI refuses. */
bool muster__mpi_post(struct mpi_transport *transport, struct parcel *parcel, int rank);

/* Lets the operations go on; true: something happened. */
bool muster__mpi_progress(struct mpi_transport *transport);

/* Gives up all operations: MPI is about to end. */
void muster__mpi_give_up(struct mpi_transport *transport);

/* ---- listener.c ---- */

transport_listen muster__mpi_listen;
void muster__mpi_close_listener(struct listener *listener);
void muster__mpi_cut_listener(struct listener *listener);
void muster__mpi_free_listener(struct listener *listener);
void muster__mpi_listener_address(struct listener *listener, char *text, size_t size);

/* The open listener of this name; NULL: there is none. With the lock held. */
struct mpi_listener *muster__mpi_find_listener(struct mpi_transport *transport, const char *name);

/* One stream less. With the lock held. */
void muster__mpi_listener_left(struct mpi_listener *listener);

/* ---- opening.c ---- */

transport_connect muster__mpi_connect;

/* Handles an OPEN, and drops it. On the thread, without the lock. */
void muster__mpi_arrived_open(struct mpi_transport *transport, struct parcel *parcel, int rank);

/* The end of a stream with a rank that is the server's, or the client's; NULL: there is none. With the lock held. */
struct mpi_stream *muster__mpi_find(struct mpi_transport *transport, int rank, uint64_t number, bool server);

/* ---- owner.c ---- */

/* With the transport's reference. NULL when out of memory. */
struct mpi_stream *muster__mpi_stream_new(int rank, uint64_t number, bool server);

/* Gives back so many references. With the lock held. */
void muster__mpi_unreference(struct mpi_stream *stream, unsigned count);

/* ---- stream.c ---- */

/* Handles a frame that has come; the slices of a message may follow later. On the thread, without the lock. */
void muster__mpi_arrived(struct mpi_transport *transport, struct parcel *parcel, int rank);

/* What follows: with the lock held. There is something to do for a stream: it is served soon. */
void muster__mpi_wake_stream(struct mpi_stream *stream);

/* Does it; on the thread, which lets go of the lock meanwhile. */
void muster__mpi_serve(struct mpi_stream *stream);

/* What our end's owner, and what the peer will be told of the end. */
void muster__mpi_set_own(struct mpi_stream *stream, enum muster_status status, const char *text);
void muster__mpi_set_peers(struct mpi_stream *stream, enum muster_status status, const char *text);

/* Ends a stream at both ends at once; each is told its status. */
void muster__mpi_break(struct mpi_stream *stream, enum muster_status own, enum muster_status peers,
                       const char *text);

/* ---- transport.c ---- */

/* The one of the process. */
extern struct mpi_transport muster__mpi;

/* With the lock held. The thread has something to do. */
void muster__mpi_wake(void);

#endif
