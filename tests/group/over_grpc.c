/* The tests of groups over gRPC. */
#include <config.h>

#include "group/over.h"

const char *const OVER = "127.0.0.1:0";
