/* What the HTTP/2 transport can do in a library with servers: listen, and connect. */
#include <config.h>

#include "network/address.h"
#include "network/http2/http2.h"
#include "network/scheme.h"
#include "network/words.h"

const struct transport_ops muster__http2_operations = {
    .listen = muster__http2_listen,
    .close_listener = muster__http2_close_listener,
    .cut_listener = muster__http2_cut_listener,
    .free_listener = muster__http2_free_listener,
    .listener_address = muster__http2_listener_address,
    .silence = QUESTION_SILENT,
    .connect = muster__http2_connect,
    .shut_borrowers = muster__http2_shut_borrowers,
    .lanes = muster__http2_lanes,
    .post = muster__http2_post_to,
    .now = muster__http2_now,
    .set_alarm = muster__http2_set_alarm,
    .release = muster__http2_release,
};

const struct scheme muster__http2_scheme = {
    .prefix = HTTP2_PREFIX, .form = "http2+host:port or http2+[v6]:port", .acquire = muster__http2_acquire};
