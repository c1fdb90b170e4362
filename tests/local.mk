# The tests: programs over the local transport (without libgrpc), programs over real sockets, and scripts.
EXTRA_DIST += tests/support/count_tests tests/support/lsan.supp tests/support/tsan.supp tests/support/run_test tests/support/valgrind.supp \
    tests/support/plain/criterion/criterion.h tests/integration/make_certificates tests/long/common tests/long/consensus \
    tests/long/ddp tests/long/fresh_debian tests/long/starts tests/long/strangers tests/long/training \
    tests/long/grpc-js/package.json tests/long/grpc-js/participant.js tests/long/grpc-go/go.mod tests/long/grpc-go/participant.go \
    tests/long/train.py

if HAVE_TESTS
TEST_PROGRAMS_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests $(PROTOBUF_C_CFLAGS) $(TEST_CPPFLAGS)
CORE_TEST_LIBS = libmuster-fixture.la libmuster-core.la $(TEST_LIBS)
# From the archive, whose internals can be reached.
GRPC_TEST_LINKING = -static
GRPC_TEST_LIBS = libmuster-fixture.la libmuster.la $(TEST_LIBS)

check_PROGRAMS += tests/unit/unit tests/server/server tests/participant/participant \
    tests/group/local tests/group/grpc tests/group/whole_local tests/group/whole_grpc \
    tests/group/processes \
    tests/conformance/by_hand tests/conformance/local tests/conformance/grpc tests/integration/network
if LEARNING
check_PROGRAMS += tests/fault/allocation tests/fault/disk tests/fault/chaos
endif
TESTS += $(check_PROGRAMS)

tests_unit_unit_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS)
tests_unit_unit_LDFLAGS = $(AM_LDFLAGS) $(UNIT_TEST_WRAP)
tests_unit_unit_LDADD = $(CORE_TEST_LIBS)
tests_unit_unit_SOURCES = \
    tests/support/no_grpc.c \
    tests/unit/codec.c \
    tests/unit/codec.h \
    tests/unit/test_array.c \
    tests/unit/test_block.c \
    tests/unit/test_budget.c \
    tests/unit/test_codec.c \
    tests/unit/test_codec_refused.c \
    tests/unit/test_copy.c \
    tests/unit/test_drain.c \
    tests/unit/test_guesses.c \
    tests/unit/test_link.c \
    tests/unit/test_local.c \
    tests/unit/test_options.c \
    tests/unit/test_random.c \
    tests/unit/test_reader.c \
    tests/unit/test_renewal.c \
    tests/unit/test_status.c \
    tests/unit/test_text.c \
    tests/unit/test_timer.c \
    tests/unit/test_transfer.c \
    tests/unit/test_values.c \
    tests/unit/test_window.c
if LEARNING
# Random numbers that do not come.
UNIT_TEST_WRAP = -Wl,--wrap=getrandom,--wrap=EVP_EncryptUpdate
tests_unit_unit_SOURCES += \
    tests/unit/mean.c \
    tests/unit/mean.h \
    tests/unit/npy.c \
    tests/unit/npy.h \
    tests/unit/test_accountant.c \
    tests/unit/strategy.c \
    tests/unit/strategy.h \
    tests/unit/test_arithmetic.c \
    tests/unit/test_clip.c \
    tests/unit/test_mean.c \
    tests/unit/test_mean_kinds.c \
    tests/unit/test_noise.c \
    tests/unit/test_npy.c \
    tests/unit/test_npy_file.c \
    tests/unit/test_npz.c \
    tests/unit/test_run.c \
    tests/unit/test_strategy.c \
    tests/unit/test_strategy_round.c \
    tests/unit/test_strategy_spool.c \
    tests/unit/test_strategy_state.c \
    tests/unit/test_topology.c \
    tests/unit/test_topology_mixing.c \
    tests/unit/test_topology_refused.c \
    tests/unit/topology.c \
    tests/unit/topology.h
endif
if WITH_VERTICAL
tests_unit_unit_SOURCES += tests/unit/test_vertical_metrics.c
tests_unit_unit_LDADD += libmuster-vertical.la
endif
if HTTP2
tests_unit_unit_CPPFLAGS += $(HTTP2_CFLAGS)
tests_unit_unit_SOURCES += \
    tests/unit/test_sealed.c \
    tests/unit/test_tls.c \
    tests/unit/test_tls_failures.c \
    tests/unit/test_tls_transfer.c \
    tests/unit/tls.c \
    tests/unit/tls.h \
    tests/unit/tls_files.c \
    tests/unit/tls_files.h
tests_unit_unit_LDADD += libmuster-http2.la
endif

# A network inside the process, and what plays on it.
fixture_sources = \
    tests/support/call.c \
    tests/support/call.h \
    tests/support/fixture.c \
    tests/support/fixture.h \
    tests/support/no_grpc.c \
    tests/support/outcome.c \
    tests/support/outcome.h \
    tests/support/peer.c \
    tests/support/peer.h \
    tests/support/sample.c \
    tests/support/sample.h \
    tests/support/words.c \
    tests/support/words.h

# How the members of groups find each other, over the fixture.
check_PROGRAMS += tests/group/rendezvous
TESTS += tests/group/rendezvous
tests_group_rendezvous_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS)
tests_group_rendezvous_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=muster__file_replace
tests_group_rendezvous_LDADD = $(CORE_TEST_LIBS)
tests_group_rendezvous_SOURCES = \
    tests/group/book.c \
    tests/group/book.h \
    tests/group/test_file.c \
    tests/group/test_groups.c \
    tests/group/test_restart.c \
    tests/group/test_rendezvous.c \
    tests/group/troop.c \
    tests/group/troop.h \
    $(fixture_sources)

# Whole groups on hosts of their own, which die and are cut off, over the fixture.
check_PROGRAMS += tests/group/faults
TESTS += tests/group/faults
tests_group_faults_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS)
tests_group_faults_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=participant_start
tests_group_faults_LDADD = $(CORE_TEST_LIBS)
tests_group_faults_SOURCES = \
    tests/group/company.c \
    tests/group/company.h \
    tests/group/fleet.c \
    tests/group/fleet.h \
    tests/group/test_faults.c \
    $(fixture_sources)

# Where a conversation is written out byte for byte, which both sides are to say.
CONVERSATION = -DCONVERSATION='"$(abs_top_srcdir)/docs/any-language.md"'

# What a server's programmer sees, over the fixture. A test is told when the library unlists.
tests_server_server_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS) $(CONVERSATION)
tests_server_server_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=muster__registry_unlist
tests_server_server_LDADD = $(CORE_TEST_LIBS)
tests_server_server_SOURCES = \
    tests/server/circle.c \
    tests/server/circle.h \
    tests/server/couple.c \
    tests/server/couple.h \
    tests/server/crowd.c \
    tests/server/crowd.h \
    tests/server/line.c \
    tests/server/line.h \
    tests/server/pair.c \
    tests/server/pair.h \
    tests/server/test_admission.c \
    tests/server/test_answer.c \
    tests/server/test_ask.c \
    tests/server/test_away.c \
    tests/server/test_blocking.c \
    tests/server/test_breaks.c \
    tests/server/test_callback.c \
    tests/server/test_conversation.c \
    tests/server/test_doors.c \
    tests/server/test_joining.c \
    tests/server/test_leaving.c \
    tests/server/test_local.c \
    tests/server/test_original.c \
    tests/server/test_payload.c \
    tests/server/test_payload_end.c \
    tests/server/test_prepared.c \
    tests/server/test_progress.c \
    tests/server/test_refused.c \
    tests/server/test_restart.c \
    tests/server/test_round.c \
    tests/server/test_round_end.c \
    tests/server/test_round_many.c \
    tests/server/test_session.c \
    tests/server/test_session_end.c \
    tests/server/test_statistics.c \
    tests/server/test_stop.c \
    tests/server/test_take.c \
    tests/server/test_turn.c \
    tests/server/test_upload.c \
    tests/server/test_upload_big.c \
    tests/server/test_upload_rules.c \
    tests/server/test_upload_slow.c \
    tests/support/conversation.c \
    tests/support/conversation.h \
    $(fixture_sources)

# What a participant's programmer sees, mostly of a server that is played message by message. A test is told when the
# library encodes.
tests_participant_participant_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS) $(CONVERSATION)
tests_participant_participant_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=muster__encode
tests_participant_participant_LDADD = $(CORE_TEST_LIBS)
tests_participant_participant_SOURCES = \
    tests/participant/duo.c \
    tests/participant/duo.h \
    tests/participant/test_ask.c \
    tests/participant/test_callback.c \
    tests/participant/test_connect.c \
    tests/participant/test_conversation.c \
    tests/participant/test_download.c \
    tests/participant/test_end.c \
    tests/participant/test_heartbeat.c \
    tests/participant/test_original.c \
    tests/participant/test_ready.c \
    tests/participant/test_reconnect.c \
    tests/participant/test_refused.c \
    tests/participant/test_retry.c \
    tests/participant/test_start.c \
    tests/participant/test_work.c \
    tests/support/conversation.c \
    tests/support/conversation.h \
    $(fixture_sources)

# Every allocation of the library fails in turn; where it would wait, the test steps the network in its place.
tests_fault_allocation_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS)
tests_fault_allocation_LDFLAGS = $(AM_LDFLAGS) \
    -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc,--wrap=strdup,--wrap=strndup,--wrap=free \
    -Wl,--wrap=reallocarray,--wrap=tsearch,--wrap=pthread_cond_wait,--wrap=sem_wait
tests_fault_allocation_LDADD = $(CORE_TEST_LIBS)
tests_fault_allocation_SOURCES = \
    tests/fault/allocation.c \
    tests/fault/allocation_chunks.c \
    tests/fault/allocation_group.c \
    tests/fault/allocation_parts.c \
    tests/fault/allocation_sessions.c \
    tests/fault/ends.c \
    tests/fault/ends.h \
    tests/fault/failing.c \
    tests/fault/failing.h \
    tests/support/no_grpc.c

if HTTP2
check_PROGRAMS += tests/fault/allocation_http2
tests_fault_allocation_http2_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS) $(HTTP2_CFLAGS)
tests_fault_allocation_http2_LDFLAGS = $(tests_fault_allocation_LDFLAGS) \
    -Wl,--wrap=muster__clock_now,--wrap=pthread_create,--wrap=pthread_join,--wrap=pthread_detach \
    -Wl,--wrap=getaddrinfo \
    -Wl,--wrap=nghttp2_session_server_new2,--wrap=nghttp2_session_client_new2,--wrap=epoll_wait
tests_fault_allocation_http2_LDADD = libmuster-http2.la libmuster-core.la $(HTTP2_LIBS) $(TEST_LIBS)
tests_fault_allocation_http2_SOURCES = \
    tests/fault/allocation_http2.c \
    tests/fault/allocation_http2_streams.c \
    tests/fault/failing.c \
    tests/fault/failing.h \
    tests/fault/failing_http2.c \
    tests/fault/failing_http2.h \
    tests/unit/tls_files.c \
    tests/unit/tls_files.h
endif

# Every call that reaches the disk fails in turn.
tests_fault_disk_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS)
tests_fault_disk_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pwrite,--wrap=read,--wrap=fsync,--wrap=ftruncate \
    -Wl,--wrap=fstat,--wrap=flock,--wrap=mkdir,--wrap=openat,--wrap=renameat,--wrap=unlinkat
tests_fault_disk_LDADD = $(CORE_TEST_LIBS)
tests_fault_disk_SOURCES = \
    tests/fault/disk.c \
    tests/support/no_grpc.c

# Processes and a relay between them; ./run chaos is the long form.
tests_fault_chaos_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests
tests_fault_chaos_LDADD = libmuster.la
tests_fault_chaos_SOURCES = \
    tests/fault/chaos.c \
    tests/fault/chaos.h \
    tests/fault/chaos_roles.c \
    tests/support/now.c \
    tests/support/now.h \
    tests/support/port.c \
    tests/support/port.h \
    tests/support/relay.c \
    tests/support/relay.h

# One suite, built once for each transport. It is told when a buffer is released.
conformance_sources = \
    tests/conformance/conformance.h \
    tests/conformance/fixture.c \
    tests/conformance/fixture.h \
    tests/conformance/test_ends.c \
    tests/conformance/test_events.c \
    tests/conformance/test_listening.c \
    tests/conformance/test_messages.c \
    tests/conformance/test_timers.c \
    tests/conformance/test_turns.c \
    tests/support/slowness.c \
    tests/support/slowness.h
CONFORMANCE_LINKING = $(AM_LDFLAGS) -Wl,--wrap=muster__buffer_release
tests_conformance_local_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS)
tests_conformance_local_LDFLAGS = $(CONFORMANCE_LINKING)
tests_conformance_local_LDADD = $(CORE_TEST_LIBS)
tests_conformance_local_SOURCES = \
    $(conformance_sources) \
    tests/conformance/inside.c \
    tests/conformance/over_local.c \
    tests/support/no_grpc.c
tests_conformance_by_hand_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS)
tests_conformance_by_hand_LDFLAGS = $(CONFORMANCE_LINKING)
tests_conformance_by_hand_LDADD = $(CORE_TEST_LIBS)
tests_conformance_by_hand_SOURCES = \
    $(conformance_sources) \
    tests/conformance/inside.c \
    tests/conformance/over_fixture.c \
    tests/support/no_grpc.c
tests_conformance_grpc_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS)
tests_conformance_grpc_LDFLAGS = $(CONFORMANCE_LINKING) $(GRPC_TEST_LINKING)
tests_conformance_grpc_LDADD = $(GRPC_TEST_LIBS)
socket_conformance_sources = \
    $(conformance_sources) \
    tests/conformance/sockets.c \
    tests/conformance/sockets.h \
    tests/support/port.c \
    tests/support/port.h
tests_conformance_grpc_SOURCES = $(socket_conformance_sources) tests/conformance/over_grpc.c
if HTTP2
check_PROGRAMS += tests/conformance/http2
tests_conformance_http2_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS)
tests_conformance_http2_LDFLAGS = $(CONFORMANCE_LINKING) $(GRPC_TEST_LINKING)
tests_conformance_http2_LDADD = $(GRPC_TEST_LIBS)
tests_conformance_http2_SOURCES = $(socket_conformance_sources) tests/conformance/over_http2.c \
    tests/conformance/test_tending.c

# Peers that write HTTP/2 by hand, and mean no good.
check_PROGRAMS += tests/http2/hostile
tests_http2_hostile_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS) $(HTTP2_CFLAGS)
tests_http2_hostile_LDFLAGS = $(CONFORMANCE_LINKING) $(GRPC_TEST_LINKING) \
    -Wl,--wrap=getaddrinfo,--wrap=epoll_ctl,--wrap=epoll_wait,--wrap=muster__clock_now
tests_http2_hostile_LDADD = $(GRPC_TEST_LIBS) $(HTTP2_LIBS)
tests_http2_hostile_SOURCES = \
    tests/conformance/conformance.h \
    tests/conformance/fixture.c \
    tests/conformance/fixture.h \
    tests/http2/loops.c \
    tests/http2/loops.h \
    tests/http2/network.c \
    tests/http2/raw.c \
    tests/http2/raw.h \
    tests/http2/test_clients.c \
    tests/http2/test_floods.c \
    tests/http2/test_listening.c \
    tests/http2/test_pauses.c \
    tests/http2/test_places.c \
    tests/http2/test_servers.c \
    tests/http2/test_tls.c \
    tests/support/slowness.c \
    tests/support/slowness.h \
    tests/unit/tls_files.c \
    tests/unit/tls_files.h
endif

# Groups, over each transport; the coordinator is played.
GROUP_TEST_WRAP = -Wl,--wrap=muster__membership_start,--wrap=muster__membership_finish,--wrap=muster__membership_free
group_sources = \
    tests/group/company.c \
    tests/group/company.h \
    tests/group/over.h \
    tests/group/test_collective.c \
    tests/group/test_direct.c \
    tests/group/test_loss.c \
    tests/group/test_state.c \
    tests/group/test_statistics.c \
    tests/support/sample.c \
    tests/support/sample.h
tests_group_local_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS)
tests_group_local_LDFLAGS = $(AM_LDFLAGS) $(GROUP_TEST_WRAP) -Wl,--wrap=muster__message_copy
tests_group_local_LDADD = $(CORE_TEST_LIBS)
tests_group_local_SOURCES = \
    $(group_sources) \
    tests/group/over_local.c \
    tests/group/test_copy.c \
    tests/group/test_hearing.c \
    tests/group/test_inside.c \
    tests/group/test_partition.c \
    tests/support/no_grpc.c
tests_group_grpc_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS)
tests_group_grpc_LDFLAGS = $(AM_LDFLAGS) $(GROUP_TEST_WRAP) $(GRPC_TEST_LINKING)
tests_group_grpc_LDADD = $(GRPC_TEST_LIBS)
tests_group_grpc_SOURCES = $(group_sources) tests/group/over_grpc.c

# The same with a coordinator.
whole_sources = \
    tests/group/company.c \
    tests/group/company.h \
    tests/group/over.h \
    tests/group/test_whole.c
tests_group_whole_local_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS)
tests_group_whole_local_LDADD = $(CORE_TEST_LIBS)
tests_group_whole_local_SOURCES = $(whole_sources) tests/group/over_local.c tests/support/no_grpc.c
tests_group_whole_grpc_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS)
tests_group_whole_grpc_LDFLAGS = $(AM_LDFLAGS) $(GRPC_TEST_LINKING)
tests_group_whole_grpc_LDADD = $(GRPC_TEST_LIBS)
tests_group_whole_grpc_SOURCES = $(whole_sources) tests/group/over_grpc.c

# The same as processes.
tests_group_processes_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS)
tests_group_processes_LDFLAGS = $(AM_LDFLAGS) $(GRPC_TEST_LINKING)
tests_group_processes_LDADD = $(GRPC_TEST_LIBS)
tests_group_processes_SOURCES = tests/group/company.c tests/group/company.h tests/group/test_processes.c \
    tests/support/port.c tests/support/port.h tests/support/slowness.c tests/support/slowness.h

# Real sockets and processes; raw C-core peers send what our own participants never would.
tests_integration_network_CPPFLAGS = $(TEST_PROGRAMS_CPPFLAGS) $(GRPC_CFLAGS) \
    -DTESTS_DIRECTORY='"$(abs_top_srcdir)/tests"'
tests_integration_network_LDFLAGS = $(AM_LDFLAGS) $(GRPC_TEST_LINKING)
tests_integration_network_LDADD = $(GRPC_TEST_LIBS) $(GRPC_LIBRARIES)
tests_integration_network_SOURCES = \
    tests/integration/files.c \
    tests/integration/files.h \
    tests/integration/fixture.c \
    tests/integration/fixture.h \
    tests/integration/house.c \
    tests/integration/house.h \
    tests/integration/raw_peer.c \
    tests/integration/raw_peer.h \
    tests/integration/roles.c \
    tests/integration/test_clogged.c \
    tests/integration/test_coordinator.c \
    tests/integration/test_credentials.c \
    tests/integration/test_doors.c \
    tests/integration/test_faults.c \
    tests/integration/test_health.c \
    tests/integration/test_listeners.c \
    tests/integration/test_many.c \
    tests/integration/test_payload.c \
    tests/integration/test_processes.c \
    tests/integration/test_sessions.c \
    tests/integration/test_strangers.c \
    tests/integration/test_unreachable.c \
    tests/support/now.c \
    tests/support/now.h \
    tests/support/port.c \
    tests/support/port.h \
    tests/support/relay.c \
    tests/support/relay.h \
    tests/support/slowness.c \
    tests/support/slowness.h \
    tests/support/words.c \
    tests/support/words.h
endif
