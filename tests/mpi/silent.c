/* A rank that belongs to the world and answers nobody, until the FIFO in its argument ends. It takes part in the one
   call for which all ranks are needed. */
#include <fcntl.h>
#include <mpi.h>
#include <stddef.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    MPI_Comm communicator;
    MPI_Request request;
    int level;
    char byte;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &level);
    MPI_Comm_idup(MPI_COMM_WORLD, &communicator, &request);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    int fifo = argc > 1 ? open(argv[1], O_RDONLY) : -1;
    while (fifo >= 0 && read(fifo, &byte, 1) > 0)
        ;
    MPI_Comm_free(&communicator);
    MPI_Finalize();
    return 0;
}
