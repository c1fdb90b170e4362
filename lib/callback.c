/* Knows of each thread whether it runs the user's code. */
#include <config.h>

#include "callback.h"

static _Thread_local bool in_callback;
static _Thread_local unsigned warnings; /* that this thread is in */

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

void muster__callback_warn(void (*on_warning)(void *context, const char *text), void *context,
                           const char *text)
{
    if (!on_warning || warnings == 2)
        return;
    bool outer = muster__callback_begin();
    warnings++;
    on_warning(context, text);
    warnings--;
    muster__callback_end(outer);
}

bool muster__in_callback(void)
{
    return in_callback;
}
