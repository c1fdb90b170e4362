/* muster: a server takes the initiative over its clients. This header includes all others. */
#ifndef MUSTER_MUSTER_H
#define MUSTER_MUSTER_H

#include <muster/credentials.h>
#include <muster/message.h>
#include <muster/participant.h>
#include <muster/random.h>
#include <muster/status.h>
#include <muster/traffic.h>

/* The headers of the server, of the monitor, of learning, of vertical learning and of the record are missing if the
   library was built without them. */
#if __has_include(<muster/proxy.h>)
#include <muster/coordinator.h>
#include <muster/group.h>
#include <muster/participant_manager.h>
#include <muster/proxy.h>
#include <muster/statistics.h>
#endif
#if __has_include(<muster/monitor.h>)
#include <muster/monitor.h>
#endif
#if __has_include(<muster/mean.h>)
#include <muster/mean.h>
#include <muster/npy.h>
#include <muster/npz.h>
#include <muster/privacy.h>
#include <muster/run.h>
#include <muster/strategy.h>
#include <muster/topology.h>
#endif
#if __has_include(<muster/vertical.h>)
#include <muster/vertical.h>
#endif
#if __has_include(<muster/record.h>)
#include <muster/record.h>
#endif

#endif
