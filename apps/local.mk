# The programs use muster as any program does: through its public headers. apps/common is what they share, apps/fedavg
# a server that trains by federated averaging, and its participant, apps/decentralized a node of a group, apps/vertical a
# master with labels, and its members, which have columns.
EXTRA_DIST += apps/common/launch apps/decentralized/demo apps/fedavg/demo apps/vertical/demo

if HAVE_APPS
noinst_PROGRAMS += apps/decentralized/decentralized apps/fedavg/fedavg_server apps/fedavg/participant

apps_cppflags = $(AM_CPPFLAGS) -I$(top_srcdir)/apps $(OPENBLAS_CFLAGS) $(JANSSON_CFLAGS) $(ZLIB_CFLAGS)
# Never installed, and so linked without libtool's wrapper scripts: thirty participants start in no time.
apps_ldflags = $(AM_LDFLAGS) -no-install
apps_libs = apps/libcommon.a libmuster.la $(OPENBLAS_LIBS) $(JANSSON_LIBS) $(ZLIB_LIBS)

noinst_LIBRARIES += apps/libcommon.a
apps_libcommon_a_CPPFLAGS = $(apps_cppflags)
apps_libcommon_a_SOURCES = \
    apps/common/arguments.c \
    apps/common/arguments.h \
    apps/common/dataset.c \
    apps/common/dataset.h \
    apps/common/dataset_idx.c \
    apps/common/dataset_leaf.c \
    apps/common/dataset_synthetic.c \
    apps/common/log.c \
    apps/common/log.h \
    apps/common/logistic.c \
    apps/common/logistic.h \
    apps/common/monitoring.c \
    apps/common/monitoring.h \
    apps/common/port.c \
    apps/common/port.h \
    apps/common/signals.c \
    apps/common/signals.h \
    apps/common/terminal.c \
    apps/common/terminal.h \
    apps/common/units.c \
    apps/common/units.h

apps_decentralized_decentralized_CPPFLAGS = $(apps_cppflags)
apps_decentralized_decentralized_LDFLAGS = $(apps_ldflags)
apps_decentralized_decentralized_LDADD = $(apps_libs)
apps_decentralized_decentralized_SOURCES = \
    apps/decentralized/consensus.c \
    apps/decentralized/consensus.h \
    apps/decentralized/decentralized.c \
    apps/decentralized/evaluation.c \
    apps/decentralized/evaluation.h \
    apps/decentralized/mixture.c \
    apps/decentralized/mixture.h \
    apps/decentralized/model.c \
    apps/decentralized/model.h \
    apps/decentralized/node.c \
    apps/decentralized/node.h \
    apps/decentralized/node_options.c \
    apps/decentralized/node_options.h \
    apps/decentralized/recording.c \
    apps/decentralized/recording.h \
    apps/decentralized/saving.c \
    apps/decentralized/saving.h \
    apps/decentralized/settings.c \
    apps/decentralized/settings.h \
    apps/decentralized/state.c \
    apps/decentralized/state.h \
    apps/decentralized/taking.c \
    apps/decentralized/taking.h \
    apps/decentralized/training.c \
    apps/decentralized/training.h

apps_fedavg_fedavg_server_CPPFLAGS = $(apps_cppflags)
apps_fedavg_fedavg_server_LDFLAGS = $(apps_ldflags)
apps_fedavg_fedavg_server_LDADD = $(apps_libs)
apps_fedavg_fedavg_server_SOURCES = \
    apps/fedavg/attendance.c \
    apps/fedavg/attendance.h \
    apps/fedavg/baselines.c \
    apps/fedavg/baselines.h \
    apps/fedavg/checkpoint.c \
    apps/fedavg/checkpoint.h \
    apps/fedavg/configuration.c \
    apps/fedavg/configuration.h \
    apps/fedavg/display.c \
    apps/fedavg/display.h \
    apps/fedavg/fedavg_server.c \
    apps/fedavg/recording.c \
    apps/fedavg/recording.h \
    apps/fedavg/rounds.c \
    apps/fedavg/rounds.h \
    apps/fedavg/server_model.c \
    apps/fedavg/server_model.h \
    apps/fedavg/server_options.c \
    apps/fedavg/server_options.h \
    apps/fedavg/state.c \
    apps/fedavg/state.h \
    apps/fedavg/stopping.c \
    apps/fedavg/stopping.h

apps_fedavg_participant_CPPFLAGS = $(apps_cppflags)
apps_fedavg_participant_LDFLAGS = $(apps_ldflags)
apps_fedavg_participant_LDADD = $(apps_libs)
apps_fedavg_participant_SOURCES = \
    apps/fedavg/participant.c

if HAVE_VERTICAL_APPS
noinst_PROGRAMS += apps/vertical/vertical_master apps/vertical/vertical_member

vertical_sources = \
    apps/vertical/member.c \
    apps/vertical/member.h \
    apps/vertical/options.c \
    apps/vertical/options.h \
    apps/vertical/table.c \
    apps/vertical/table.h \
    apps/vertical/table_csv.c \
    apps/vertical/table_synthetic.c

apps_vertical_vertical_master_CPPFLAGS = $(apps_cppflags)
apps_vertical_vertical_master_LDFLAGS = $(apps_ldflags)
apps_vertical_vertical_master_LDADD = $(apps_libs) $(CSV_LIBS)
apps_vertical_vertical_master_SOURCES = \
    $(vertical_sources) \
    apps/vertical/central.c \
    apps/vertical/central.h \
    apps/vertical/master_options.c \
    apps/vertical/master_options.h \
    apps/vertical/recording.c \
    apps/vertical/recording.h \
    apps/vertical/state.c \
    apps/vertical/state.h \
    apps/vertical/threads.c \
    apps/vertical/threads.h \
    apps/vertical/training.c \
    apps/vertical/training.h \
    apps/vertical/vertical_master.c

apps_vertical_vertical_member_CPPFLAGS = $(apps_cppflags)
apps_vertical_vertical_member_LDFLAGS = $(apps_ldflags)
apps_vertical_vertical_member_LDADD = $(apps_libs) $(CSV_LIBS)
apps_vertical_vertical_member_SOURCES = \
    $(vertical_sources) \
    apps/vertical/vertical_member.c
endif
endif
