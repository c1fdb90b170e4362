# The programs of apps/, from outside: its data, its answers to mistakes, and its training.
app_tests = \
    tests/apps/agent.py \
    tests/apps/answers.py \
    tests/apps/conformance.py \
    tests/apps/coordinator.py \
    tests/apps/data.py \
    tests/apps/decentralized.py \
    tests/apps/demo.py \
    tests/apps/experiment.py \
    tests/apps/experiment_files.py \
    tests/apps/hosts.py \
    tests/apps/launching.py \
    tests/apps/namespaces.py \
    tests/apps/orchestrate.py \
    tests/apps/original.py \
    tests/apps/privacy.py \
    tests/apps/restarting.py \
    tests/apps/runs.py \
    tests/apps/runs_found.py \
    tests/apps/server.py \
    tests/apps/server_asynchronous.py \
    tests/apps/server_evaluation.py \
    tests/apps/server_journal.py \
    tests/apps/server_runs.py \
    tests/apps/server_settings.py \
    tests/apps/strangers.py \
    tests/apps/training.py \
    tests/apps/tutorial.py \
    tests/apps/watching.py
vertical_tests = \
    tests/apps/vertical.py \
    tests/apps/vertical_sklearn.py
EXTRA_DIST += $(app_tests) $(vertical_tests) tests/apps/broken_participant.py tests/apps/broken_server.py tests/apps/peers.py tests/apps/recruits.py \
    tests/apps/screen.py tests/apps/serving.py tests/apps/spaces.py \
    tests/apps/support.py tests/apps/volunteers.py

if HAVE_TESTS
if HAVE_APPS
check_PROGRAMS += tests/apps/child
TESTS += $(app_tests)
tests_apps_child_CPPFLAGS = $(apps_cppflags) -I$(top_srcdir) $(TEST_CPPFLAGS)
tests_apps_child_LDADD = $(apps_libs) $(TEST_LIBS)
tests_apps_child_SOURCES = tests/apps/test_child.c
check_PROGRAMS += tests/apps/notify
TESTS += tests/apps/notify
tests_apps_notify_CPPFLAGS = $(apps_cppflags) -I$(top_srcdir) $(TEST_CPPFLAGS)
tests_apps_notify_LDADD = $(apps_libs) $(TEST_LIBS)
tests_apps_notify_SOURCES = tests/apps/test_notify.c
check_PROGRAMS += tests/apps/workers
TESTS += tests/apps/workers
tests_apps_workers_CPPFLAGS = $(apps_cppflags) -I$(top_srcdir) -I$(top_srcdir)/apps/muster $(TEST_CPPFLAGS)
tests_apps_workers_LDADD = $(apps_libs) $(TEST_LIBS)
tests_apps_workers_SOURCES = tests/apps/test_workers.c apps/muster/server/workers.c
check_PROGRAMS += tests/apps/inbox
TESTS += tests/apps/inbox
tests_apps_inbox_CPPFLAGS = $(apps_cppflags) $(TEST_PROGRAMS_CPPFLAGS)
tests_apps_inbox_LDADD = $(CORE_TEST_LIBS)
tests_apps_inbox_SOURCES = apps/conformance/inbox.c tests/apps/test_inbox.c tests/support/no_grpc.c
check_PROGRAMS += tests/apps/orchestration
TESTS += tests/apps/orchestration
tests_apps_orchestration_CPPFLAGS = $(apps_cppflags) -I$(top_srcdir) -I$(top_srcdir)/apps/muster $(TEST_CPPFLAGS)
tests_apps_orchestration_LDADD = $(apps_libs) $(TEST_LIBS)
tests_apps_orchestration_SOURCES = \
    apps/muster/launch/run_files.c \
    apps/muster/orchestrate/epoch.c \
    apps/muster/orchestrate/machine.c \
    apps/muster/orchestrate/memory.c \
    apps/muster/orchestrate/orders.c \
    apps/muster/orchestrate/places.c \
    tests/apps/stage.c \
    tests/apps/stage.h \
    tests/apps/test_orchestration.c \
    tests/apps/test_orders.c
if HAVE_VERTICAL_APPS
TESTS += $(vertical_tests)
endif
endif
endif
