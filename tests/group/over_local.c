/* The tests of groups over the local transport. */
#include <config.h>

#include "group/over.h"

const char *const OVER = "local:";
