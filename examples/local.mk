# The FedAvg pair. It uses muster as any program does: through its public headers.
# Built by tests/packaging/lessons.sh, from the installed library.
lessons = \
    examples/01_first_round.c \
    examples/02_k_of_n.c \
    examples/03_evaluation.c \
    examples/04_own_messages.c \
    examples/05_different_instructions.c \
    examples/06_asynchronous.c \
    examples/07_tls.c \
    examples/08_resume.c
EXTRA_DIST += examples/demo examples/participant.py $(lessons)

if HAVE_EXAMPLES
noinst_PROGRAMS += examples/fedavg_server examples/participant

example_cppflags = $(AM_CPPFLAGS) $(OPENBLAS_CFLAGS) $(JANSSON_CFLAGS) $(ZLIB_CFLAGS)
# Never installed, and so linked without libtool's wrapper scripts: thirty participants start in no time.
example_ldflags = $(AM_LDFLAGS) -no-install
example_libs = libmuster.la $(OPENBLAS_LIBS) $(JANSSON_LIBS) $(ZLIB_LIBS)
example_sources = \
    examples/arguments.c \
    examples/arguments.h \
    examples/dataset.c \
    examples/dataset.h \
    examples/dataset_idx.c \
    examples/dataset_leaf.c \
    examples/dataset_synthetic.c \
    examples/logistic.c \
    examples/logistic.h \
    examples/signals.c \
    examples/signals.h

examples_fedavg_server_CPPFLAGS = $(example_cppflags)
examples_fedavg_server_LDFLAGS = $(example_ldflags)
examples_fedavg_server_LDADD = $(example_libs)
examples_fedavg_server_SOURCES = \
    $(example_sources) \
    examples/attendance.c \
    examples/attendance.h \
    examples/baselines.c \
    examples/baselines.h \
    examples/checkpoint.c \
    examples/checkpoint.h \
    examples/fedavg_server.c \
    examples/progress.c \
    examples/progress.h \
    examples/rounds.c \
    examples/rounds.h \
    examples/server_model.c \
    examples/server_model.h \
    examples/server_options.c \
    examples/server_options.h \
    examples/stopping.c \
    examples/stopping.h

examples_participant_CPPFLAGS = $(example_cppflags)
examples_participant_LDFLAGS = $(example_ldflags)
examples_participant_LDADD = $(example_libs)
examples_participant_SOURCES = \
    $(example_sources) \
    examples/participant.c
endif
