# Vertical learning: matching, and whole ensembles over each transport.
if HAVE_TESTS
if WITH_VERTICAL
check_PROGRAMS += tests/vertical/matching
tests_vertical_matching_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS) $(VERTICAL_CFLAGS)
tests_vertical_matching_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc,--wrap=calloc
tests_vertical_matching_LDADD = libmuster-vertical.la $(CORE_TEST_LIBS) $(VERTICAL_LIBS)
tests_vertical_matching_SOURCES = \
    tests/support/no_grpc.c \
    tests/vertical/meeting.c \
    tests/vertical/meeting.h \
    tests/vertical/test_memory.c \
    tests/vertical/test_over_local.c \
    tests/vertical/test_plain.c \
    tests/vertical/test_private.c \
    tests/vertical/test_refused.c

ensemble_sources = \
    tests/vertical/ensemble.c \
    tests/vertical/ensemble.h \
    tests/vertical/over.h \
    tests/vertical/problem.c \
    tests/vertical/problem.h \
    tests/vertical/test_deaths.c \
    tests/vertical/test_faults.c \
    tests/vertical/test_training.c \
    tests/vertical/test_updates.c
check_PROGRAMS += tests/vertical/fixture tests/vertical/local tests/vertical/grpc
tests_vertical_fixture_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS)
tests_vertical_fixture_LDADD = libmuster-vertical.la $(CORE_TEST_LIBS)
tests_vertical_fixture_SOURCES = $(ensemble_sources) tests/vertical/over_fixture.c tests/support/no_grpc.c
tests_vertical_local_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS)
tests_vertical_local_LDADD = libmuster-vertical.la $(CORE_TEST_LIBS)
tests_vertical_local_SOURCES = $(ensemble_sources) tests/vertical/over_local.c tests/support/no_grpc.c
tests_vertical_grpc_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS)
tests_vertical_grpc_LDFLAGS = $(AM_LDFLAGS) $(GRPC_TEST_LINKING)
tests_vertical_grpc_LDADD = $(GRPC_TEST_LIBS)
tests_vertical_grpc_SOURCES = \
    $(ensemble_sources) \
    tests/support/port.c \
    tests/support/port.h \
    tests/vertical/over_grpc.c

# The same as processes.
check_PROGRAMS += tests/vertical/processes
tests_vertical_processes_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS)
tests_vertical_processes_LDFLAGS = $(AM_LDFLAGS) $(GRPC_TEST_LINKING)
tests_vertical_processes_LDADD = $(GRPC_TEST_LIBS)
tests_vertical_processes_SOURCES = \
    tests/support/port.c \
    tests/support/port.h \
    tests/vertical/ensemble.c \
    tests/vertical/ensemble.h \
    tests/vertical/over.h \
    tests/vertical/over_grpc.c \
    tests/vertical/problem.c \
    tests/vertical/problem.h \
    tests/vertical/test_processes.c
endif
endif
