/* Admission: who becomes a participant. */
#include <config.h>

#include <string.h>

#include "callback.h"
#include "proxy/admission.h"
#include "proxy/manager.h"
#include "proxy/name.h"
#include "proxy/proxy.h"
#include "status.h"

enum muster_status muster__admission_let_in(struct proxy *proxy, struct stream *stream,
                                            struct muster_error *error)
{
    struct participant_manager *manager = muster__proxy_manager(proxy);
    const char *const *names;
    /* Who shows no credentials spends no allowance either. */
    enum muster_status status = stream->ops->authenticate(stream, &names, error);
    if (status != MUSTER_OK)
        return status;
    return muster__registry_count(&manager->registry, muster__proxy_place(proxy), proxy_peer(proxy),
                                  manager->transport->ops->now(manager->transport), error);
}

/* ---- names, and what else a Hello says ---- */

static bool is_given(const char *name)
{
    return strncmp(name, GIVEN_NAME, strlen(GIVEN_NAME)) == 0;
}

/* A participant that has shown a certificate bears one of its names: it cannot pose as another. */
static enum muster_status bind_name(struct stream *stream, const char **name, struct muster_error *error)
{
    const char *const *names;
    enum muster_status status = stream->ops->authenticate(stream, &names, error);
    if (status != MUSTER_OK || !names)
        return status;
    if (!**name)
        *name = names[0];
    for (size_t i = 0; names[i]; i++) {
        if (strcmp(names[i], *name) == 0)
            return MUSTER_OK;
    }
    /* Nobody has looked at what it calls itself yet, and this text is shown. */
    return muster__error(error, MUSTER_REFUSED, "the certificate is not for '%.64s': its name is '%.64s'",
                         muster__name_fault(*name) ? "?" : *name,
                         muster__name_fault(names[0]) ? "?" : names[0]);
}

enum muster_status muster__admission_find(struct proxy *fresh, struct stream *stream,
                                          const Muster__Hello *hello, struct proxy **found,
                                          struct muster_error *error)
{
    const char *name = hello->name;
    *found = NULL;
    if (!hello->session.len)
        return MUSTER_OK;
    enum muster_status status = bind_name(stream, &name, error);
    if (status != MUSTER_OK)
        return status;
    struct proxy *namesake = muster__registry_find(&muster__proxy_manager(fresh)->registry, hello->name);
    if (namesake && muster__proxy_is_shown(namesake, &hello->session))
        *found = namesake;
    else
        proxy_release(namesake);
    return MUSTER_OK;
}

static enum muster_status check_name(const struct participant_manager_options *options, const char *name,
                                     struct muster_error *error)
{
    const char *fault = muster__name_fault(name);
    if (strlen(name) > options->max_name_size)
        return muster__error(error, MUSTER_INVALID, "the name has %zu bytes, and may have at most %zu bytes",
                             strlen(name), options->max_name_size);
    if (is_given(name))
        return muster__error(error, MUSTER_INVALID,
                             "a name that begins with " GIVEN_NAME " is the server's to give");
    if (fault)
        return muster__error(error, MUSTER_INVALID, "a name %s is refused", fault);
    return MUSTER_OK;
}

static enum muster_status check_labels(const struct participant_manager_options *options,
                                       const Muster__Hello *hello, struct muster_error *error)
{
    for (size_t i = 0; hello && i < hello->n_labels; i++) {
        const char *name = hello->labels[i]->name, *value = hello->labels[i]->value;
        const char *fault = muster__text_fault(name);
        if (strlen(name) + strlen(value) > options->max_label_size)
            return muster__error(error, MUSTER_INVALID,
                                 "a label has at most %zu bytes, name and value together",
                                 options->max_label_size);
        if (fault || (fault = muster__text_fault(value)))
            return muster__error(error, MUSTER_INVALID, "a label %s is refused: it is number %zu", fault,
                                 i + 1);
    }
    return MUSTER_OK;
}

/* Gives it a rank, and the name that it asks for, or else one with the rank. */
static enum muster_status give_name(struct proxy *proxy, struct stream *stream, const Muster__Hello *hello,
                                    struct muster_error *error)
{
    struct participant_manager *manager = muster__proxy_manager(proxy);
    const char *name = hello ? hello->name : "";
    enum muster_status status = bind_name(stream, &name, error);
    if (status == MUSTER_OK)
        status = check_labels(&manager->options, hello, error);
    if (status != MUSTER_OK)
        return status;
    if (hello && hello->session.len && is_given(name))
        name = ""; /* given by a server before this one, perhaps: it gets the like again */
    status = check_name(&manager->options, name, error);
    if (status != MUSTER_OK)
        return status;
    return muster__registry_name(&manager->registry, muster__proxy_place(proxy), name,
                                 hello ? hello->former_rank : 0, error);
}

/* ---- making room ---- */

/* Whether the other will make room: only who is away does. */
static enum muster_status check_other(const struct proxy *proxy, struct proxy *other,
                                      struct muster_error *error)
{
    const char *name = proxy_name(proxy);
    int64_t left_ms;
    enum proxy_state state = muster__proxy_state(other, &left_ms);
    if (strcmp(name, proxy_name(other)) != 0 || state == PROXY_CLOSED ||
        (state == PROXY_AWAY && muster__proxy_manager(proxy)->options.name_takeover))
        return MUSTER_OK;
    if (state == PROXY_AWAY)
        return muster__error(error, MUSTER_EXISTS, "the name '%s' is away, kept for %lld s more", name,
                             (long long)(left_ms > 0 ? (left_ms + 999) / 1000 : 0));
    const struct participant_manager_options *options = &muster__proxy_manager(proxy)->options;
    int64_t noticed_ms = options->keepalive_time_ms + options->keepalive_timeout_ms;
    return muster__error(
        error, MUSTER_EXISTS,
        "the name '%s' is in use: choose another, or try again in %lld s if its participant died", name,
        (long long)(noticed_ms + 999) / 1000);
}

/* Makes the other leave, if it is away or about to end. Who bears its name gets its rank, too. */
static enum muster_status displace(struct proxy *proxy, struct proxy *other, struct muster_error *error)
{
    struct registry *registry = &muster__proxy_manager(proxy)->registry;
    bool is_namesake = strcmp(proxy_name(proxy), proxy_name(other)) == 0;
    enum muster_status status = check_other(proxy, other, error);
    if (status != MUSTER_OK)
        return status;
    bool ended = muster__proxy_end_away(
        other, is_namesake ? "the connection broke, and a newer participant has taken its name"
                           : "the connection broke, and its place was given to another participant");
    if (ended && is_namesake)
        muster__registry_inherit(registry, muster__proxy_place(proxy), muster__proxy_place(other));
    else if (!ended)
        muster__registry_came_back(registry, muster__proxy_place(other));
    if (muster__proxy_state(other, NULL) == PROXY_CLOSED)
        /* By whomever it was ended, this may be still to come. */
        muster__registry_withdraw(registry, muster__proxy_place(other));
    return MUSTER_OK;
}

/* Counts it in, whoever of those that are away has to make room. */
static enum muster_status enter_at_last(struct proxy *proxy, struct muster_error *error)
{
    for (;;) {
        struct proxy *other;
        enum muster_status status = muster__registry_enter(&muster__proxy_manager(proxy)->registry,
                                                           muster__proxy_place(proxy), &other, error);
        if (status != MUSTER_OK || !other)
            return status;
        status = displace(proxy, other, error);
        proxy_release(other);
        if (status != MUSTER_OK)
            return status;
    }
}

/* ---- the user's word ---- */

static enum muster_status ask_user(struct proxy *proxy, struct muster_error *error)
{
    const struct participant_manager_options *options = &muster__proxy_manager(proxy)->options;
    char reason[MUSTER_ERROR_TEXT_SIZE] = "";
    if (!options->admit)
        return MUSTER_OK;
    bool outer = muster__callback_begin();
    enum muster_status status = options->admit(options->context, proxy, reason, sizeof(reason));
    muster__callback_end(outer);
    if (status == MUSTER_OK)
        return MUSTER_OK;
    return muster__error(error, status, "%s", reason[0] ? reason : muster_status_text(status));
}

enum muster_status muster__admission_admit(struct proxy *proxy, struct stream *stream,
                                           const Muster__Hello *hello, struct muster_error *error)
{
    struct registry *registry = &muster__proxy_manager(proxy)->registry;
    struct proxy *other;
    enum muster_status status = muster__proxy_introduce(proxy, hello, error);
    if (status == MUSTER_OK)
        status = give_name(proxy, stream, hello, error);
    if (status != MUSTER_OK)
        return status;
    status = muster__registry_enter(registry, muster__proxy_place(proxy), &other, error);
    /* Nobody has to make room for one whom the user does not want. */
    if (other)
        status = check_other(proxy, other, error);
    if (status == MUSTER_OK)
        status = ask_user(proxy, error);
    if (status == MUSTER_OK && other)
        status = enter_at_last(proxy, error);
    proxy_release(other);
    if (status == MUSTER_OK)
        muster__proxy_make_user(proxy);
    else
        muster__registry_turn_away(registry, muster__proxy_place(proxy));
    return status;
}
