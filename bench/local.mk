# The benchmark: one program, which runs itself again for every process of a measurement.
if WHOLE
noinst_PROGRAMS += bench/bench
bench_bench_CPPFLAGS = -I$(top_srcdir)/include $(GRPC_CFLAGS) $(CRYPTO_CFLAGS)
bench_bench_LDADD = libmuster.la $(GRPC_LIBRARIES) $(CRYPTO_LIBS)
bench_bench_SOURCES = \
    bench/certificate.c \
    bench/certificate.h \
    bench/contender.c \
    bench/contender.h \
    bench/core.c \
    bench/core.h \
    bench/core_participants.c \
    bench/core_server.c \
    bench/figures.c \
    bench/figures.h \
    bench/fold.c \
    bench/group.c \
    bench/main.c \
    bench/measure.c \
    bench/measure.h \
    bench/measure_bulk.c \
    bench/measure_group.c \
    bench/measure_strategies.c \
    bench/measurements.c \
    bench/muster_participants.c \
    bench/muster_server.c \
    bench/process.c \
    bench/process.h \
    bench/relay.c \
    bench/relay.h \
    bench/role.c \
    bench/role.h \
    bench/strategies.c \
    bench/tcp.c
if HTTP2
bench_bench_CPPFLAGS += -DBENCH_HTTP2 $(HTTP2_CFLAGS)
bench_bench_LDADD += $(HTTP2_LIBS)
bench_bench_SOURCES += bench/bare.c bench/bare.h bench/bare_http2.c bench/bare_tcp.c bench/measure_http2.c \
    bench/raw.h bench/raw_participants.c bench/raw_protocols.c
endif
if WITH_MPI
bench_bench_CPPFLAGS += -DBENCH_MPI -DMPIRUN='"$(MPIRUN)"' $(MPI_CFLAGS)
bench_bench_LDADD += $(MPI_LIBS)
bench_bench_SOURCES += bench/measure_reduce.c bench/reduce.c
endif
EXTRA_DIST += bench/python_roles.py
if WITH_PYTHON
bench_bench_CPPFLAGS += -DBENCH_PYTHON='"$(PYTHON3)"' -DBENCH_PYTHON_ROLES='"$(abs_top_srcdir)/bench/python_roles.py"' \
    -DBENCH_PYTHON_PACKAGE='"$(abs_top_builddir)/python/package"'
bench_bench_SOURCES += bench/measure_python.c
endif
if WITH_MONITOR
bench_bench_CPPFLAGS += -DBENCH_MONITORED
bench_bench_SOURCES += bench/measure_monitored.c bench/monitored.c
endif
if WITH_VERTICAL
bench_bench_CPPFLAGS += -DBENCH_VERTICAL $(VERTICAL_CFLAGS) $(BLAS_CFLAGS)
bench_bench_LDADD += $(VERTICAL_LIBS) $(BLAS_LIBS)
bench_bench_SOURCES += bench/measure_matching.c bench/measure_vertical.c bench/vertical.c
endif
endif
