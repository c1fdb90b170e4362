# The monitor: its formats and checks, and from outside, by HTTP, by Prometheus and by a browser.
monitor_tests = \
    tests/monitor/browser.py \
    tests/monitor/prometheus.py \
    tests/monitor/replies.py
EXTRA_DIST += $(monitor_tests) tests/monitor/world.py \
    contrib/grafana-dashboard.json contrib/prometheus-rules-test.yml contrib/prometheus-rules.yml

if HAVE_TESTS
if WITH_MONITOR
check_PROGRAMS += tests/monitor/allocation tests/monitor/monitor
noinst_PROGRAMS += tests/monitor/world
TESTS += $(monitor_tests)

tests_monitor_monitor_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS) $(MONITOR_CFLAGS)
tests_monitor_monitor_LDADD = libmuster-fixture.la libmuster-monitor.la $(CORE_TEST_LIBS)
tests_monitor_monitor_SOURCES = \
    tests/monitor/test_access.c \
    tests/monitor/test_curves.c \
    tests/monitor/test_feed.c \
    tests/monitor/test_formats.c \
    tests/monitor/test_monitor.c \
    tests/support/no_grpc.c

# Of the thread that a test says.
tests_monitor_allocation_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS) $(MONITOR_CFLAGS)
tests_monitor_allocation_LDFLAGS = $(AM_LDFLAGS) \
    -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=reallocarray,--wrap=strdup
tests_monitor_allocation_LDADD = libmuster-monitor.la $(CORE_TEST_LIBS)
tests_monitor_allocation_SOURCES = tests/monitor/allocation.c tests/support/no_grpc.c

tests_monitor_world_CPPFLAGS = $(AM_CPPFLAGS)
tests_monitor_world_LDADD = libmuster.la
tests_monitor_world_SOURCES = tests/monitor/world.c
endif
endif

# What the tests keep for people, and the Prometheus that they run.
CLEANFILES += tests/monitor/page-*.png
clean-local:
	rm -rf tests/monitor/prometheus
