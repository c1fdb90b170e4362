# apps/fedavg: a server that trains by federated averaging, and its participant. They use muster as any program does:
# through its public headers.
EXTRA_DIST += apps/fedavg/demo

if HAVE_APPS
noinst_PROGRAMS += apps/fedavg/fedavg_server apps/fedavg/participant

fedavg_cppflags = $(AM_CPPFLAGS) $(OPENBLAS_CFLAGS) $(JANSSON_CFLAGS) $(ZLIB_CFLAGS)
# Never installed, and so linked without libtool's wrapper scripts: thirty participants start in no time.
fedavg_ldflags = $(AM_LDFLAGS) -no-install
fedavg_libs = libmuster.la $(OPENBLAS_LIBS) $(JANSSON_LIBS) $(ZLIB_LIBS)
fedavg_sources = \
    apps/fedavg/arguments.c \
    apps/fedavg/arguments.h \
    apps/fedavg/dataset.c \
    apps/fedavg/dataset.h \
    apps/fedavg/dataset_idx.c \
    apps/fedavg/dataset_leaf.c \
    apps/fedavg/dataset_synthetic.c \
    apps/fedavg/log.c \
    apps/fedavg/log.h \
    apps/fedavg/logistic.c \
    apps/fedavg/logistic.h \
    apps/fedavg/signals.c \
    apps/fedavg/signals.h \
    apps/fedavg/terminal.c \
    apps/fedavg/terminal.h \
    apps/fedavg/units.c \
    apps/fedavg/units.h

apps_fedavg_fedavg_server_CPPFLAGS = $(fedavg_cppflags)
apps_fedavg_fedavg_server_LDFLAGS = $(fedavg_ldflags)
apps_fedavg_fedavg_server_LDADD = $(fedavg_libs)
apps_fedavg_fedavg_server_SOURCES = \
    $(fedavg_sources) \
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

apps_fedavg_participant_CPPFLAGS = $(fedavg_cppflags)
apps_fedavg_participant_LDFLAGS = $(fedavg_ldflags)
apps_fedavg_participant_LDADD = $(fedavg_libs)
apps_fedavg_participant_SOURCES = \
    $(fedavg_sources) \
    apps/fedavg/participant.c
endif
