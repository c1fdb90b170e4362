/* The conformance suite over our HTTP/2. */
#include <config.h>

#include "conformance/sockets.h"

const struct scheme *const sockets_scheme = &muster__http2_scheme;
