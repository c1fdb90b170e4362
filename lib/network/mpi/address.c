/* Addresses of the MPI transport: a rank of the world, and the name of one of its listeners. */
#include <config.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "network/mpi/mpi.h"
#include "status.h"

#define PREFIX "mpi:"

static enum muster_status refuse(const char *text, struct muster_error *error)
{
    return muster__error(
        error, MUSTER_INVALID,
        "'%.80s' is no address of MPI: write it as mpi:RANK or mpi:RANK/NAME, with a name of at "
        "most %d printable characters",
        text, MPI_NAME_SIZE - 1);
}

enum muster_status muster__mpi_parse(const struct mpi_transport *transport, const char *text,
                                     struct mpi_address *address, struct muster_error *error)
{
    const char *rest = text + strlen(PREFIX);
    bool has_rank = isdigit((unsigned char)*rest);
    char *end = (char *)(uintptr_t)rest;
    unsigned long rank = has_rank ? strtoul(rest, &end, 10) : (unsigned long)transport->rank;
    const char *name = *end == '/' ? end + 1 : "";
    if ((*end && *end != '/') || (*end == '/' && !*name) || strlen(name) >= MPI_NAME_SIZE)
        return refuse(text, error);
    for (const char *c = name; *c; c++) {
        if (!isgraph((unsigned char)*c))
            return refuse(text, error);
    }
    if (rank >= (unsigned long)transport->size)
        return muster__error(
            error, MUSTER_INVALID,
            "'%.80s': this MPI world has the ranks 0 to %d (was the program started with mpirun -n?)", text,
            transport->size - 1);
    address->any = !*rest;
    address->rank = (int)rank;
    strcpy(address->name, name);
    return MUSTER_OK;
}
