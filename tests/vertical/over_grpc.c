/* Ensembles over gRPC. */
#include <config.h>

#include <sched.h>

#include "vertical/over.h"

const char *over_begin(void)
{
    return "127.0.0.1:0";
}

void over_pass(void)
{
    sched_yield();
}

void over_end(void)
{
}
