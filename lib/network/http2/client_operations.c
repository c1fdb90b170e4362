/* What the HTTP/2 transport can do in a library for participants alone: connect. It is the only transport there, and
   takes the addresses without a scheme, too. */
#include <config.h>

#include "network/address.h"
#include "network/http2/http2.h"
#include "network/scheme.h"
#include "network/words.h"

const struct transport_ops muster__http2_operations = {
    .silence = QUESTION_SILENT,
    .connect = muster__http2_connect,
    .shut_borrowers = muster__http2_shut_borrowers,
    .now = muster__http2_now,
    .set_alarm = muster__http2_set_alarm,
    .release = muster__http2_release,
};

static const struct scheme http2 = {
    .prefix = HTTP2_PREFIX, .form = "http2+host:port", .acquire = muster__http2_acquire};
static const struct scheme plain = {
    .prefix = "", .form = "host:port or [v6]:port", .acquire = muster__http2_acquire};
/* Not to be taken for hosts. */
static const struct scheme no_local = {.prefix = "local:", .form = "local:NAME"};
static const struct scheme no_mpi = {.prefix = "mpi:", .form = "mpi:RANK"};

const struct scheme *const muster__built_in_schemes[] = {&http2, &no_local, &no_mpi, &plain, NULL};
