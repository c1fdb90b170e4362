# Fuzz targets. With --enable-fuzzing they are libFuzzer's programs (./run fuzz); otherwise they replay files, and
# are tests like all check_PROGRAMS: of the corpus.
fuzz_targets = \
    tests/fuzz/batch \
    tests/fuzz/chunks \
    tests/fuzz/group \
    tests/fuzz/groups \
    tests/fuzz/npy \
    tests/fuzz/participant_message \
    tests/fuzz/server_message \
    tests/fuzz/turns
if HTTP2
fuzz_targets += tests/fuzz/http2_client tests/fuzz/http2_server
endif
if LEARNING
fuzz_targets += tests/fuzz/npz
endif
if RECORD
fuzz_targets += tests/fuzz/csv tests/fuzz/mlflow
endif
if WITH_MONITOR
fuzz_targets += tests/fuzz/request
endif
if WITH_VERTICAL
fuzz_targets += tests/fuzz/matching tests/fuzz/vertical
endif
fuzz_data_targets = tests/fuzz/experiment tests/fuzz/idx tests/fuzz/leaf
if HAVE_VERTICAL_APPS
fuzz_data_targets += tests/fuzz/table
endif
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/make_corpus

if FUZZ_TARGETS
check_PROGRAMS += $(fuzz_targets)
if HAVE_APPS
check_PROGRAMS += $(fuzz_data_targets)
endif

if FUZZING
FUZZ_LINKING = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_main =
else
FUZZ_LINKING = $(AM_LDFLAGS)
fuzz_main = tests/fuzz/replay.c
endif
fuzz_cppflags = $(AM_CPPFLAGS) -I$(top_srcdir)/tests $(PROTOBUF_C_CFLAGS)
fuzz_sources = tests/fuzz/fuzz.h tests/support/no_grpc.c $(fuzz_main)

tests_fuzz_batch_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_batch_LDFLAGS = $(FUZZ_LINKING) -Wl,--wrap=muster__operation_end
tests_fuzz_batch_LDADD = libmuster-core.la
tests_fuzz_batch_SOURCES = $(fuzz_sources) tests/fuzz/batch.c tests/fuzz/links.c tests/fuzz/links.h

tests_fuzz_chunks_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_chunks_LDFLAGS = $(FUZZ_LINKING)
tests_fuzz_chunks_LDADD = libmuster-core.la
tests_fuzz_chunks_SOURCES = $(fuzz_sources) tests/fuzz/chunks.c

# One thread at a time: where a member would wait, the input goes on.
tests_fuzz_group_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_group_LDFLAGS = $(FUZZ_LINKING) -Wl,--wrap=getrandom,--wrap=muster__outbox_speak \
    -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc \
    -Wl,--wrap=pthread_cond_wait,--wrap=pthread_cond_broadcast,--wrap=pthread_cond_signal
tests_fuzz_group_LDADD = libmuster-fixture.la libmuster-core.la
tests_fuzz_group_SOURCES = \
    $(fuzz_sources) \
    tests/fuzz/calls.c \
    tests/fuzz/calls.h \
    tests/fuzz/group.c \
    tests/fuzz/group_calls.c \
    tests/fuzz/group_world.h \
    tests/fuzz/links.c \
    tests/fuzz/links.h

tests_fuzz_groups_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_groups_LDFLAGS = $(FUZZ_LINKING)
tests_fuzz_groups_LDADD = libmuster-core.la
tests_fuzz_groups_SOURCES = $(fuzz_sources) tests/fuzz/groups.c

tests_fuzz_csv_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_csv_LDFLAGS = $(FUZZ_LINKING)
tests_fuzz_csv_LDADD = libmuster-core.la
tests_fuzz_csv_SOURCES = $(fuzz_sources) tests/fuzz/csv.c

tests_fuzz_matching_CPPFLAGS = $(fuzz_cppflags) $(VERTICAL_CFLAGS)
tests_fuzz_matching_LDFLAGS = $(FUZZ_LINKING)
tests_fuzz_matching_LDADD = libmuster-vertical.la libmuster-core.la $(VERTICAL_LIBS)
tests_fuzz_matching_SOURCES = $(fuzz_sources) tests/fuzz/matching.c

tests_fuzz_vertical_CPPFLAGS = $(fuzz_cppflags) $(VERTICAL_CFLAGS)
tests_fuzz_vertical_LDFLAGS = $(FUZZ_LINKING)
tests_fuzz_vertical_LDADD = libmuster-vertical.la libmuster-core.la $(VERTICAL_LIBS)
tests_fuzz_vertical_SOURCES = $(fuzz_sources) tests/fuzz/vertical.c

# In libcurl's place: what it is asked for, and what it would have got.
tests_fuzz_mlflow_CPPFLAGS = $(fuzz_cppflags) $(RECORD_CFLAGS)
tests_fuzz_mlflow_LDFLAGS = $(FUZZ_LINKING) \
    -Wl,--wrap=curl_easy_setopt,--wrap=curl_easy_getinfo,--wrap=curl_multi_add_handle,--wrap=curl_multi_remove_handle \
    -Wl,--wrap=curl_multi_perform,--wrap=curl_multi_info_read
tests_fuzz_mlflow_LDADD = libmuster-core.la $(RECORD_LIBS)
tests_fuzz_mlflow_SOURCES = $(fuzz_sources) tests/fuzz/mlflow.c

# The listener and the loop are compiled into the target, so that one thread does all; and time passes when the input says so.
fuzz_http2_sources = $(fuzz_sources) tests/fuzz/http2.c tests/fuzz/http2.h
tests_fuzz_http2_client_CPPFLAGS = $(fuzz_cppflags) $(HTTP2_CFLAGS)
tests_fuzz_http2_client_LDFLAGS = $(FUZZ_LINKING) -Wl,--wrap=muster__clock_now
tests_fuzz_http2_client_LDADD = libmuster-http2.la libmuster-core.la
tests_fuzz_http2_client_SOURCES = $(fuzz_http2_sources) tests/fuzz/http2_client.c
tests_fuzz_http2_server_CPPFLAGS = $(fuzz_cppflags) $(HTTP2_CFLAGS)
tests_fuzz_http2_server_LDFLAGS = $(FUZZ_LINKING) -Wl,--wrap=muster__clock_now
tests_fuzz_http2_server_LDADD = libmuster-http2.la libmuster-core.la
tests_fuzz_http2_server_SOURCES = $(fuzz_http2_sources) tests/fuzz/http2_server.c

tests_fuzz_npy_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_npy_LDFLAGS = $(FUZZ_LINKING)
tests_fuzz_npy_LDADD = libmuster-core.la
tests_fuzz_npy_SOURCES = $(fuzz_sources) tests/fuzz/npy.c

tests_fuzz_npz_CPPFLAGS = $(fuzz_cppflags) $(LIBZIP_CFLAGS)
tests_fuzz_npz_LDFLAGS = $(FUZZ_LINKING)
tests_fuzz_npz_LDADD = libmuster-core.la $(LIBZIP_LIBS)
tests_fuzz_npz_SOURCES = $(fuzz_sources) tests/fuzz/npz.c

tests_fuzz_request_CPPFLAGS = $(fuzz_cppflags) $(MONITOR_CFLAGS)
tests_fuzz_request_LDFLAGS = $(FUZZ_LINKING)
tests_fuzz_request_LDADD = libmuster-monitor.la libmuster-core.la
tests_fuzz_request_SOURCES = $(fuzz_sources) tests/fuzz/request.c

# What a message takes of memory is counted.
FUZZ_MESSAGE_LINKING = $(FUZZ_LINKING) -Wl,--wrap=malloc
fuzz_message_sources = $(fuzz_sources) tests/fuzz/message.c tests/fuzz/message.h
tests_fuzz_participant_message_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_participant_message_LDFLAGS = $(FUZZ_MESSAGE_LINKING)
tests_fuzz_participant_message_LDADD = libmuster-core.la
tests_fuzz_participant_message_SOURCES = $(fuzz_message_sources) tests/fuzz/participant_message.c
tests_fuzz_server_message_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_server_message_LDFLAGS = $(FUZZ_MESSAGE_LINKING)
tests_fuzz_server_message_LDADD = libmuster-core.la
tests_fuzz_server_message_SOURCES = $(fuzz_message_sources) tests/fuzz/server_message.c

# One thread: where the library would wait, the input goes on.
tests_fuzz_turns_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_turns_LDFLAGS = $(FUZZ_LINKING) -Wl,--wrap=pthread_cond_wait,--wrap=getrandom,--wrap=muster__payload_fill
tests_fuzz_turns_LDADD = libmuster-fixture.la libmuster-core.la
tests_fuzz_turns_SOURCES = \
    $(fuzz_sources) \
    tests/fuzz/turns.c \
    tests/fuzz/turns_participant.c \
    tests/fuzz/turns_peer.c \
    tests/fuzz/turns_world.c \
    tests/fuzz/turns_world.h

if HAVE_APPS
fuzz_data_cppflags = $(fuzz_cppflags) -I$(top_srcdir)/apps $(JANSSON_CFLAGS) $(ZLIB_CFLAGS)
fuzz_data_libs = libmuster-core.la $(JANSSON_LIBS) $(ZLIB_LIBS)
fuzz_data_sources = \
    $(fuzz_sources) \
    apps/common/dataset.c \
    apps/common/dataset.h \
    apps/common/dataset_idx.c \
    apps/common/dataset_leaf.c \
    apps/common/dataset_synthetic.c \
    tests/fuzz/data.c \
    tests/fuzz/data.h
tests_fuzz_experiment_CPPFLAGS = $(fuzz_data_cppflags) -I$(top_srcdir)/apps/muster $(YAML_CFLAGS)
tests_fuzz_experiment_LDFLAGS = $(FUZZ_LINKING)
tests_fuzz_experiment_LDADD = libmuster-core.la $(JANSSON_LIBS) $(YAML_LIBS)
tests_fuzz_experiment_SOURCES = \
    $(fuzz_sources) \
    apps/muster/experiment/memory.c \
    apps/muster/experiment/memory.h \
    apps/muster/experiment/mistakes.c \
    apps/muster/experiment/mistakes.h \
    apps/muster/experiment/tree.c \
    apps/muster/experiment/tree.h \
    apps/muster/experiment/values.c \
    apps/muster/experiment/values.h \
    tests/fuzz/experiment.c
tests_fuzz_idx_CPPFLAGS = $(fuzz_data_cppflags)
tests_fuzz_idx_LDFLAGS = $(FUZZ_LINKING)
tests_fuzz_idx_LDADD = $(fuzz_data_libs)
tests_fuzz_idx_SOURCES = $(fuzz_data_sources) tests/fuzz/idx.c
tests_fuzz_leaf_CPPFLAGS = $(fuzz_data_cppflags)
tests_fuzz_leaf_LDFLAGS = $(FUZZ_LINKING)
tests_fuzz_leaf_LDADD = $(fuzz_data_libs)
tests_fuzz_leaf_SOURCES = $(fuzz_data_sources) tests/fuzz/leaf.c
if HAVE_VERTICAL_APPS
tests_fuzz_table_CPPFLAGS = $(fuzz_data_cppflags)
tests_fuzz_table_LDFLAGS = $(FUZZ_LINKING)
tests_fuzz_table_LDADD = $(fuzz_data_libs) $(CSV_LIBS)
tests_fuzz_table_SOURCES = \
    $(fuzz_data_sources) \
    apps/muster/vertical/table.c \
    apps/muster/vertical/table.h \
    apps/muster/vertical/table_csv.c \
    apps/muster/vertical/table_synthetic.c \
    tests/fuzz/table.c
endif
endif
endif
