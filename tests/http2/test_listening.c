/* Listeners: one that cannot be watched. */
#include <config.h>

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "conformance/fixture.h"
#include "http2/loops.h"

Test(listening, a_door_that_cannot_be_watched_is_explained)
{
    static const struct listener_events none;
    static const char address[] = "http2+127.0.0.1:0";
    struct muster_error error = {MUSTER_OK, ""};
    struct listener *listener;
    uint16_t port;
    begin();
    watching_fails(ENOSPC);
    enum muster_status status = fixture.transport->ops->listen(fixture.transport, address, LIMIT, NULL, &none,
                                                               NULL, &listener, &port, &error);
    watching_fails(0);
    cr_assert_eq(status, MUSTER_UNAVAILABLE, "%s", muster_status_name(status));
    cr_assert_not_null(strstr(error.text, address), "%s", error.text);
    cr_assert_not_null(strstr(error.text, "max_user_watches"), "%s", error.text);
    conclude();
}
