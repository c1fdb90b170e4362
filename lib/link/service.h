/* The services that streams are for. */
#ifndef MUSTER_LINK_SERVICE_H
#define MUSTER_LINK_SERVICE_H

#include "network/transport.h"

/* The method of participants, as proto/stream.proto has it. */
#define CONNECT_SERVICE "ParticipantManager"
#define CONNECT_METHOD  "/" CONNECT_SERVICE "/Connect"

extern const struct service muster__connect_service;

#endif
