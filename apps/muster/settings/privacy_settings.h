/* The settings of privacy: what they are, and what cannot go together with them. */
#ifndef PRIVACY_SETTINGS_H
#define PRIVACY_SETTINGS_H

#include <stdbool.h>

#include "settings.h"

/* What privacy.sampling says; false if it is none of them. */
bool privacy_settings_sampling(const struct server_settings *settings, enum muster_sampling *sampling);

/* INVALID with *error if the training is to be private and cannot be so; there is such a strategy. */
enum muster_status privacy_settings_check(const struct server_settings *settings, struct muster_error *error);

#endif
