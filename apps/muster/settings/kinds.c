/* The kinds that this build has. */
#include <config.h>

#include <string.h>

#include "coordinator/coordinator_options.h"
#include "node/node_options.h"
#include "settings.h"
#ifdef HAVE_VERTICAL_APPS
#include "vertical/master_options.h"
#include "vertical/member.h"
#endif

static const struct settings_kind *const kinds[] = {
    &server_kind, &coordinator_kind, &node_kind,
#ifdef HAVE_VERTICAL_APPS
    &master_kind, &member_kind,
#endif
};

const struct settings_kind *kind_of_section(const char *section)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (strcmp(kinds[i]->section, section) == 0)
            return kinds[i];
    }
    return NULL;
}
