/* Hello and Welcome. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "link/hello.h"

enum { FEATURES_MAX = 4 };

static size_t list_features(const struct abilities *own, char *features[FEATURES_MAX])
{
    /* protobuf-c wants no constants. */
    static char chunks[] = FEATURE_CHUNKS, refused[] = FEATURE_REFUSED, heartbeats[] = FEATURE_HEARTBEATS,
                asks[] = FEATURE_ASKS;
    size_t count = 0;
    if (own->max_payload_size)
        features[count++] = chunks;
    if (own->hears_refusals)
        features[count++] = refused;
    if (own->sends_heartbeats)
        features[count++] = heartbeats;
    if (own->asks)
        features[count++] = asks;
    return count;
}

struct buffer *muster__hello_pack(const struct abilities *own, const char *name,
                                  const struct participant_label *labels, size_t label_count)
{
    char *features[FEATURES_MAX];
    Muster__Hello hello = MUSTER__HELLO__INIT;
    Muster__Label *packed = calloc(label_count + 1, sizeof(*packed));
    Muster__Label **pointers = calloc(label_count + 1, sizeof(*pointers));
    struct buffer *buffer = NULL;
    if (!packed || !pointers)
        goto cleanup;
    for (size_t i = 0; i < label_count; i++) {
        muster__label__init(&packed[i]);
        packed[i].name = (char *)(labels[i].name ? labels[i].name : "");
        packed[i].value = (char *)(labels[i].value ? labels[i].value : "");
        pointers[i] = &packed[i];
    }
    hello.name = (char *)(name ? name : "");
    hello.labels = pointers;
    hello.n_labels = label_count;
    hello.max_message_size = own->max_message_size;
    hello.max_payload_size = own->max_payload_size;
    hello.features = features;
    hello.n_features = list_features(own, features);
    buffer = muster__pack_hello(&hello);
cleanup:
    free(packed);
    free(pointers);
    return buffer;
}

struct buffer *muster__welcome_encode(const struct abilities *own, const Muster__Welcome *rest)
{
    char *features[FEATURES_MAX];
    Muster__Welcome welcome = *rest;
    welcome.max_message_size = own->max_message_size;
    welcome.max_payload_size = own->max_payload_size;
    welcome.features = features;
    welcome.n_features = list_features(own, features);
    return muster__encode_welcome(&welcome);
}

/* Features that are not known are of a later release. */
static struct abilities read_abilities(char *const *features, size_t count, uint64_t max_message_size,
                                       uint64_t max_payload_size, size_t own_max_message_size)
{
    struct abilities peer = {.max_message_size = own_max_message_size};
    if (max_message_size && max_message_size < own_max_message_size)
        peer.max_message_size = (size_t)max_message_size;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(features[i], FEATURE_CHUNKS) == 0)
            peer.max_payload_size = max_payload_size ? max_payload_size : UINT64_MAX;
        else if (strcmp(features[i], FEATURE_REFUSED) == 0)
            peer.hears_refusals = true;
        else if (strcmp(features[i], FEATURE_HEARTBEATS) == 0)
            peer.sends_heartbeats = true;
        else if (strcmp(features[i], FEATURE_ASKS) == 0)
            peer.asks = true;
    }
    return peer;
}

struct abilities muster__hello_read(const Muster__Hello *hello, size_t max_message_size)
{
    return read_abilities(hello->features, hello->n_features, hello->max_message_size,
                          hello->max_payload_size, max_message_size);
}

struct abilities muster__welcome_read(const Muster__Welcome *welcome, size_t max_message_size)
{
    return read_abilities(welcome->features, welcome->n_features, welcome->max_message_size,
                          welcome->max_payload_size, max_message_size);
}
