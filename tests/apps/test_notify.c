/* What a service manager is told. */
#include <config.h>

#include <criterion/criterion.h>

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/notify.h"

static int manager = -1;
static char directory[] = "/tmp/notify-XXXXXX";
static char path[64];

static void bind_to(struct sockaddr_un *address, size_t length)
{
    manager = socket(AF_UNIX, SOCK_DGRAM, 0);
    cr_assert(manager >= 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    cr_assert_eq(bind(manager, (struct sockaddr *)address, size), 0);
}

static void expect(const char *text)
{
    char said[100] = "";
    ssize_t size = recv(manager, said, sizeof(said) - 1, MSG_DONTWAIT);
    cr_assert_eq(size, (ssize_t)strlen(text));
    cr_assert_str_eq(said, text);
}

static void clean(void)
{
    unsetenv("NOTIFY_SOCKET");
    if (manager >= 0)
        close(manager);
    manager = -1;
    if (*path != '\0') {
        unlink(path);
        rmdir(directory);
    }
}

Test(notify, goes_to_a_path, .timeout = 60, .fini = clean)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cr_assert(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/socket", directory);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    bind_to(&address, strlen(path) + 1);
    setenv("NOTIFY_SOCKET", path, 1);
    notify_ready();
    expect("READY=1\n");
    notify_stopping();
    expect("STOPPING=1\n");
}

Test(notify, goes_to_an_abstract_name, .timeout = 60, .fini = clean)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[64];
    int length = snprintf(name, sizeof(name), "@muster-notify-%d", (int)getpid());
    memcpy(address.sun_path + 1, name + 1, (size_t)length - 1);
    bind_to(&address, (size_t)length);
    setenv("NOTIFY_SOCKET", name, 1);
    notify_ready();
    expect("READY=1\n");
}

Test(notify, nobody_is_told_where_nobody_listens, .timeout = 60, .fini = clean)
{
    char name[300];
    memset(name, 'x', sizeof(name));
    name[0] = '/';
    name[sizeof(name) - 1] = '\0';
    notify_ready();
    setenv("NOTIFY_SOCKET", "", 1);
    notify_ready();
    setenv("NOTIFY_SOCKET", name, 1);
    notify_ready();
    setenv("NOTIFY_SOCKET", "relative", 1);
    notify_ready();
    setenv("NOTIFY_SOCKET", "/nowhere/socket", 1);
    notify_stopping();
}
