/*
 * The probe: finds out why a client's channel does not come up. C-core tells that to a call that does not
 * wait until the server is there, and to nobody else. The probe is such a call beside the stream's own; when
 * the channel does come up, credentials that refuse themselves end it before anything of it is sent.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/string_util.h>
#include <grpc/support/time.h>

#include "network/grpc.h"

/* C-core tells a new call what it knows already; it tries again after a while of its own. */
#define INTERVAL_MS 1000

struct probe {
    struct tag tag;
    struct grpc_stream *stream; /* the call in flight, or the timer, is one of its `pending` */
    struct timer timer;
    atomic_bool connected;
    grpc_call *call; /* this and below: guarded by the stream's lock; NULL: none is in flight */
    bool waits;      /* the timer runs, or is about to be told */
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_status_code code;
    grpc_slice details;
};

/* ---- credentials that come into play once there is a connection ---- */

static int refuse_metadata(void *state, grpc_auth_metadata_context context,
                           grpc_credentials_plugin_metadata_cb done, void *user_data,
                           grpc_metadata metadata[GRPC_METADATA_CREDENTIALS_PLUGIN_SYNC_MAX],
                           size_t *metadata_count, grpc_status_code *status, const char **details)
{
    struct probe *probe = state;
    (void)context;
    (void)done;
    (void)user_data;
    (void)metadata;
    probe->connected = true;
    *metadata_count = 0;
    *status = GRPC_STATUS_CANCELLED;
    *details = gpr_strdup("connected");
    return 1; /* at once: `done` is not called */
}

static void forget_state(void *state)
{
    (void)state; /* the probe outlives its calls */
}

static char *describe_state(void *state)
{
    (void)state;
    return gpr_strdup("probe");
}

static bool set_credentials(struct probe *probe)
{
    grpc_metadata_credentials_plugin plugin = {.get_metadata = refuse_metadata,
                                               .debug_string = describe_state,
                                               .destroy = forget_state,
                                               .state = probe,
                                               .type = "probe"};
    grpc_call_credentials *credentials =
        grpc_metadata_credentials_create_from_plugin(plugin, GRPC_PRIVACY_AND_INTEGRITY, NULL);
    grpc_call_error result = grpc_call_set_credentials(probe->call, credentials);
    grpc_call_credentials_release(credentials);
    return result == GRPC_CALL_OK;
}

/* ---- the call; with the stream's lock held but for the completions ---- */

static void drop_call(struct probe *probe)
{
    grpc_call_unref(probe->call);
    probe->call = NULL;
    grpc_metadata_array_destroy(&probe->initial);
    grpc_metadata_array_destroy(&probe->trailing);
    grpc_slice_unref(probe->details);
}

static void start_call(struct probe *probe)
{
    struct grpc_stream *stream = probe->stream;
    probe->details = grpc_empty_slice();
    grpc_metadata_array_init(&probe->initial);
    grpc_metadata_array_init(&probe->trailing);
    probe->call = grpc_channel_create_call(
        stream->client->channel, NULL, GRPC_PROPAGATE_DEFAULTS, stream->transport->queue,
        grpc_slice_from_static_string(CONNECT_METHOD), NULL, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    grpc_op ops[3] = {{0}};
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[1].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[1].data.recv_initial_metadata.recv_initial_metadata = &probe->initial;
    ops[2].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[2].data.recv_status_on_client.trailing_metadata = &probe->trailing;
    ops[2].data.recv_status_on_client.status = &probe->code;
    ops[2].data.recv_status_on_client.status_details = &probe->details;
    HANDED_OVER(&probe->tag);
    if (set_credentials(probe) &&
        grpc_call_start_batch(probe->call, ops, 3, &probe->tag, NULL) == GRPC_CALL_OK)
        stream->pending++;
    else
        drop_call(probe);
}

static void timer_expired(struct timer *timer)
{
    struct probe *probe = CONTAINER(timer, struct probe, timer);
    struct grpc_stream *stream = probe->stream;
    pthread_mutex_lock(&stream->lock);
    probe->waits = false;
    if (!stream->over)
        start_call(probe);
    muster__grpc_leave(stream);
}

static void wait_a_while(struct probe *probe)
{
    struct muster_transport *transport = &probe->stream->transport->base;
    probe->waits = true;
    probe->stream->pending++;
    muster__timer_start(transport, &probe->timer, muster__transport_after(transport, INTERVAL_MS),
                        timer_expired);
}

/* As C-core 1.51 words it; what is not recognised is waited out, as everything else. */
static bool is_refusal(const char *text)
{
    return strcasestr(text, "handshake failed") || strstr(text, "is not in peer certificate");
}

static void probe_complete(struct tag *tag, bool ok)
{
    struct probe *probe = CONTAINER(tag, struct probe, tag);
    struct grpc_stream *stream = probe->stream;
    (void)ok;
    pthread_mutex_lock(&stream->lock);
    char *text = grpc_slice_to_c_string(probe->details);
    drop_call(probe);
    if (!stream->over && !probe->connected) {
        if (is_refusal(text))
            grpc_call_cancel_with_status(stream->call, GRPC_STATUS_UNAUTHENTICATED, text, NULL);
        else
            wait_a_while(probe);
    }
    gpr_free(text);
    muster__grpc_leave(stream);
}

void muster__grpc_start_probe(struct grpc_stream *stream)
{
    struct probe *probe = calloc(1, sizeof(*probe));
    if (!probe)
        return; /* the stream does without */
    stream->client->probe = probe;
    probe->stream = stream;
    probe->tag.complete = probe_complete;
    start_call(probe);
}

void muster__grpc_end_probe(struct grpc_stream *stream)
{
    struct probe *probe = stream->client ? stream->client->probe : NULL;
    if (!probe)
        return;
    if (probe->call)
        grpc_call_cancel(probe->call, NULL);
    else if (probe->waits && muster__timer_stop(&stream->transport->base, &probe->timer))
        stream->pending--; /* never the last: we are told of the stream's end */
}

void muster__grpc_free_probe(struct probe *probe)
{
    free(probe);
}
