# Records: their parts, with allocations that fail, and from outside what they write.
record_tests = tests/record/files.py tests/record/tracking.py
EXTRA_DIST += $(record_tests) tests/record/event.proto tests/record/recording.py

if HAVE_TESTS
if RECORD
TESTS += $(record_tests)
noinst_PROGRAMS += tests/record/recorder
tests_record_recorder_LDADD = libmuster.la
tests_record_recorder_SOURCES = tests/record/recorder.c

check_PROGRAMS += tests/record/record
tests_record_record_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS) $(RECORD_CFLAGS)
tests_record_record_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=strndup \
    -Wl,--wrap=pwrite,--wrap=close
tests_record_record_LDADD = $(CORE_TEST_LIBS)
tests_record_record_SOURCES = \
    tests/record/test_csv.c \
    tests/record/test_entry.c \
    tests/record/test_event_file.c \
    tests/record/test_histogram.c \
    tests/record/test_outlet.c \
    tests/record/test_queue.c \
    tests/record/test_record.c \
    tests/support/no_grpc.c
endif
endif
