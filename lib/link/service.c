/* The services that streams are for. */
#include <config.h>

#include "link/service.h"

const struct service muster__connect_service = {
    .name = CONNECT_SERVICE,
    .method = CONNECT_METHOD,
    .to_server = "ParticipantMessage",
    .to_client = "ServerMessage",
};
