/* Knows of each thread whether it runs the user's code. */
#include <config.h>

#include "callback.h"

static _Thread_local bool in_callback;

bool muster__callback_begin(void)
{
    bool outer = in_callback;
    in_callback = true;
    return outer;
}

void muster__callback_end(bool outer)
{
    in_callback = outer;
}

bool muster__in_callback(void)
{
    return in_callback;
}
