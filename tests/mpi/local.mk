# Over MPI: programs that scripts start with mpirun. They have the stand-in for Criterion, whose child processes would be
# no ranks.
mpi_tests = tests/mpi/conformance.sh tests/mpi/groups.sh tests/mpi/ranks.sh
EXTRA_DIST += $(mpi_tests) tests/mpi/common

if HAVE_TESTS
if WITH_MPI
noinst_PROGRAMS += tests/mpi/conformance tests/mpi/members tests/mpi/ranks tests/mpi/silent
TESTS += $(mpi_tests)

tests_mpi_conformance_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests -I$(top_srcdir)/tests/support/plain \
    $(PROTOBUF_C_CFLAGS)
tests_mpi_conformance_CFLAGS = $(AM_CFLAGS) -Wno-gnu-zero-variadic-macro-arguments
tests_mpi_conformance_LDFLAGS = $(CONFORMANCE_LINKING) $(GRPC_TEST_LINKING)
tests_mpi_conformance_LDADD = libmuster.la
tests_mpi_conformance_SOURCES = \
    $(conformance_sources) \
    tests/conformance/over_mpi.c

tests_mpi_members_LDADD = libmuster.la
tests_mpi_members_SOURCES = tests/mpi/members.c

tests_mpi_ranks_CPPFLAGS = $(AM_CPPFLAGS) $(MPI_CFLAGS)
tests_mpi_ranks_LDADD = libmuster.la $(MPI_LIBS)
tests_mpi_ranks_SOURCES = tests/mpi/ranks.c

tests_mpi_silent_CPPFLAGS = $(AM_CPPFLAGS) $(MPI_CFLAGS)
tests_mpi_silent_LDADD = $(MPI_LIBS)
tests_mpi_silent_SOURCES = tests/mpi/silent.c
endif
endif
