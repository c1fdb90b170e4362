/* The settings of a coordinator: their table and defaults. */
#include <config.h>

#include "coordinator_options.h"

#include "common/arguments.h"
#include "settings/rows.h"

#define FIELD(name) offsetof(struct coordinator_options, name)

enum { GROUP_ALL = 1 };

static const char *const headers[] = {[GROUP_ALL] = "Groups:"};

static const struct setting table[] = {
    TEXT("listen", "listen", "HOST:PORT", GROUP_ALL, listen, false,
         "Where members register (default 127.0.0.1:8090); port 0: a free one"),
    TEXT("file", "file", "FILE", GROUP_ALL, file, false,
         "Keep names, ranks and epochs in FILE, for a coordinator that is started again: then members that "
         "run do "
         "not notice"),
    SECONDS("grace", "grace", GROUP_ALL, grace_ms, 0.001, MANY, false,
            "How long a member whose connection broke is waited for before it is lost (default 60)"),
    WHOLE("max_groups", "max-groups", "N", GROUP_ALL, groups, 1, 65536, false,
          "The most groups at a time (default 64)"),
    WHOLE("max_members", "max-members", "N", GROUP_ALL, members, 1, 65536, false,
          "The most members of a group (default 4096)"),
    TEXT("port_file", "port-file", "FILE", GROUP_ALL, port_file, false,
         "Write the port to FILE once members can connect. FILE is a new file, which appears when it is "
         "complete, "
         "or an existing pipe"),
};

static const struct setting *row(size_t index)
{
    return index < sizeof(table) / sizeof(*table) ? &table[index] : NULL;
}

static void init(void *made)
{
    struct coordinator_options *options = made;
    *options = (struct coordinator_options){
        .log = LOG_OPTIONS_INIT,
        .listen = "127.0.0.1:8090",
        .grace_ms = 60000,
        .groups = 64,
        .members = 4096,
    };
}

const struct settings_kind coordinator_kind = {
    .section = "coordinator",
    .program = "muster coordinator",
    .size = sizeof(struct coordinator_options),
    .texts = offsetof(struct coordinator_options, texts),
    .row = row,
    .init = init,
    .headers = headers,
    .groups = GROUP_ALL,
    .set_group = GROUP_ALL,
    .set_help = "Set what an option says by its name, with _ for -, as in --set port_file=port",
    .security = &server_security_arguments,
    .credentials = offsetof(struct coordinator_options, credentials),
    .log = offsetof(struct coordinator_options, log),
};
