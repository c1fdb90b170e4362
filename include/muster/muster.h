/* muster: a server takes the initiative over its clients. This header includes all others. */
#ifndef MUSTER_MUSTER_H
#define MUSTER_MUSTER_H

#include <muster/credentials.h>
#include <muster/mean.h>
#include <muster/message.h>
#include <muster/npy.h>
#include <muster/npz.h>
#include <muster/participant.h>
#include <muster/participant_manager.h>
#include <muster/proxy.h>
#include <muster/random.h>
#include <muster/run.h>
#include <muster/status.h>

#endif
