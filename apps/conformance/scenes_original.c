/* The play for a participant of the original protocol. */
#include <config.h>

#include "conformance/host.h"
#include "conformance/scenes.h"

#define EXPECT(...) checks_expect(guest->checks, __VA_ARGS__)

static bool unknown_instruction(struct guest *guest)
{
    static char type[] = "muster.conformance.unknown";
    Muster__ServerMessage message = MUSTER__SERVER_MESSAGE__INIT;
    Muster__Payload payload = MUSTER__PAYLOAD__INIT;
    payload.type = type;
    message.content_case = MUSTER__SERVER_MESSAGE__CONTENT_PAYLOAD;
    message.payload = &payload;
    bool answered = host_turn(guest, &message);
    return EXPECT(CHECK_UNKNOWN, answered,
                  "what is no train_config was not answered: unknown_instruction is to be");
}

void scenes_original(struct guest *guest)
{
    if (!host_turn_train(guest) || !host_turn_train(guest) || !unknown_instruction(guest) ||
        !scene_new_fields(guest) || !host_turn_train(guest))
        host_cut(guest);
    if (scene_reconnect(guest) && guest->ready)
        host_turn_train(guest);
    scene_good_bye(guest);
}
