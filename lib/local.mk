# The library: a core that knows no transport but the in-process one, and the gRPC transport beside it. The server's
# side and what learning adds can be left out of it. Or libmuster-participant alone: a core without any transport, and the
# client's side of the HTTP/2 transport.
musterincludedir = $(includedir)/muster
musterinclude_HEADERS = \
    include/muster/credentials.h \
    include/muster/export.h \
    include/muster/label.h \
    include/muster/message.h \
    include/muster/muster.h \
    include/muster/participant.h \
    include/muster/random.h \
    include/muster/status.h \
    include/muster/traffic.h
if SERVER
musterinclude_HEADERS += include/muster/coordinator.h include/muster/group.h \
    include/muster/participant_manager.h include/muster/proxy.h include/muster/statistics.h
endif
if LEARNING
musterinclude_HEADERS += include/muster/mean.h include/muster/npy.h include/muster/npz.h include/muster/privacy.h \
    include/muster/run.h include/muster/strategy.h include/muster/topology.h
endif
if RECORD
musterinclude_HEADERS += include/muster/record.h
endif

# protoc-c derives C names from the proto package. The wire has none, so one is put in for C alone.
proto_sources = proto/muster.pb-c.c proto/muster.pb-c.h
BUILT_SOURCES = proto/muster.pb-c.h
if !PARTICIPANT_ONLY
# The health service's package gives way to ours, so that no symbol of another program's can be in its way.
proto_sources += proto/health.pb-c.c proto/health.pb-c.h
proto_sources += proto/group.pb-c.c proto/group.pb-c.h
BUILT_SOURCES += proto/health.pb-c.h proto/group.pb-c.h
endif
nobase_dist_pkgdata_DATA = proto/stream.proto proto/original.proto proto/health.proto proto/group.proto
CLEANFILES += $(proto_sources) proto/muster.proto proto/c/health.proto
proto/muster.proto: proto/stream.proto
	$(AM_V_GEN)$(MKDIR_P) proto && $(SED) 's/^syntax = .*/& package muster;/' $< > $@
proto/muster.pb-c.c: proto/muster.proto
	$(AM_V_GEN)$(PROTOC_C) --proto_path=proto --c_out=proto $<
proto/muster.pb-c.h: proto/muster.pb-c.c
proto/c/health.proto: proto/health.proto
	$(AM_V_GEN)$(MKDIR_P) proto/c && $(SED) 's/^package .*/package muster.health;/' $< > $@
proto/health.pb-c.c: proto/c/health.proto
	$(AM_V_GEN)$(PROTOC_C) --proto_path=proto/c --c_out=proto $<
proto/health.pb-c.h: proto/health.pb-c.c
proto/group.pb-c.c: proto/group.proto
	$(AM_V_GEN)$(MKDIR_P) proto && $(PROTOC_C) --proto_path=$(top_srcdir)/proto --c_out=proto $<
proto/group.pb-c.h: proto/group.pb-c.c
$(libmuster_wire_la_OBJECTS) $(libmuster_core_la_OBJECTS): $(proto_sources) $(record_proto_sources)

# What TensorBoard reads.
EXTRA_DIST += proto/tensorboard.proto
if RECORD
record_proto_sources = proto/tensorboard.pb-c.c proto/tensorboard.pb-c.h
CLEANFILES += $(record_proto_sources)
BUILT_SOURCES += proto/tensorboard.pb-c.h
proto/tensorboard.pb-c.c: proto/tensorboard.proto
	$(AM_V_GEN)$(MKDIR_P) proto && $(PROTOC_C) --proto_path=$(top_srcdir)/proto --c_out=proto $<
proto/tensorboard.pb-c.h: proto/tensorboard.pb-c.c
endif

noinst_LTLIBRARIES += libmuster-wire.la libmuster-core.la
# Generated code is not held to our warnings.
libmuster_wire_la_CFLAGS = -fvisibility=hidden $(SMALL_CFLAGS)
libmuster_wire_la_CPPFLAGS = $(PROTOBUF_C_CFLAGS)
nodist_libmuster_wire_la_SOURCES = $(proto_sources) $(record_proto_sources)
libmuster_wire_la_SOURCES =

libmuster_core_la_CPPFLAGS = $(AM_CPPFLAGS) $(PROTOBUF_C_CFLAGS) $(CRYPTO_CFLAGS) $(LIBZIP_CFLAGS) $(RECORD_CFLAGS)
# Nobody asks for the errno of sqrt(), nor for floating-point exceptions: then more loops are vectorised.
libmuster_core_la_CFLAGS = $(AM_CFLAGS) -fno-math-errno -fno-trapping-math
libmuster_core_la_LIBADD = libmuster-wire.la $(PROTOBUF_C_LIBS) $(CRYPTO_LIBS) $(LIBZIP_LIBS) $(RECORD_LIBS) $(ATOMIC_LIBS)
libmuster_core_la_SOURCES = \
    lib/link/hello.c \
    lib/link/hello.h \
    lib/link/service.c \
    lib/link/service.h \
    lib/link/token.c \
    lib/link/token.h \
    lib/link/traffic.h \
    lib/link/transfer.c \
    lib/link/transfer.h \
    lib/network/address.c \
    lib/network/address.h \
    lib/network/buffer.c \
    lib/network/buffer.h \
    lib/network/code.c \
    lib/network/code.h \
    lib/network/credentials.c \
    lib/network/credentials.h \
    lib/network/renewal.c \
    lib/network/scheme.c \
    lib/network/scheme.h \
    lib/network/tend.c \
    lib/network/timer.c \
    lib/network/timer.h \
    lib/network/transport.c \
    lib/network/trim.c \
    lib/network/transport.h \
    lib/network/trim.h \
    lib/network/words.h \
    lib/participant/dispatch.c \
    lib/participant/heartbeat.c \
    lib/participant/heartbeat.h \
    lib/participant/internal.h \
    lib/participant/participant.c \
    lib/participant/return.c \
    lib/participant/return.h \
    lib/participant/session.c \
    lib/participant/session.h \
    lib/participant/statistics.c \
    lib/participant/turn.c \
    lib/participant/turn.h \
    lib/participant/wait.c \
    lib/participant/wait.h \
    lib/participant/warning.c \
    lib/participant/warning.h
if TLS
libmuster_core_la_SOURCES += lib/network/certificates.c
else
libmuster_core_la_SOURCES += lib/network/no_certificates.c
endif
if !PARTICIPANT_ONLY
libmuster_core_la_SOURCES += \
    lib/network/descriptors.c \
    lib/network/descriptors.h \
    lib/network/guesses.c \
    lib/network/guesses.h \
    lib/network/handshakes.c \
    lib/network/handshakes.h \
    lib/network/health.c \
    lib/network/health.h \
    lib/network/holders.c \
    lib/network/holders.h \
    lib/network/identity.c \
    lib/network/identity.h \
    lib/network/local.c \
    lib/network/local.h \
    lib/network/local_listener.c \
    lib/network/local_stream.c \
    lib/network/waiting.c \
    lib/network/waiting.h
endif
if SERVER
libmuster_core_la_SOURCES += \
    lib/group/batch.c \
    lib/group/batch.h \
    lib/group/collectives.c \
    lib/group/contact.h \
    lib/group/coordinator.c \
    lib/group/coordinator_file.c \
    lib/group/coordinator_groups.c \
    lib/group/coordinator_groups.h \
    lib/group/coordinator_list.c \
    lib/group/coordinator_news.c \
    lib/group/coordinator_news.h \
    lib/group/coordinator_registration.c \
    lib/group/coordinator_registration.h \
    lib/group/coordinator_statistics.c \
    lib/group/coordinator_store.c \
    lib/group/coordinator_store.h \
    lib/group/coordinator_words.c \
    lib/group/coordinator_words.h \
    lib/group/dial.c \
    lib/group/direct.c \
    lib/group/group.c \
    lib/group/inbox.c \
    lib/group/inbox.h \
    lib/group/internal.h \
    lib/group/link.c \
    lib/group/link.h \
    lib/group/listen.c \
    lib/group/membership.c \
    lib/group/membership.h \
    lib/group/membership_roster.c \
    lib/group/numbers.h \
    lib/group/operation.c \
    lib/group/operation.h \
    lib/group/outbox.c \
    lib/group/outbox.h \
    lib/group/packed.c \
    lib/group/packed.h \
    lib/group/pump.c \
    lib/group/reduce.c \
    lib/group/roster.c \
    lib/group/state.c \
    lib/group/statistics.c \
    lib/group/tree.c \
    lib/group/tree.h \
    lib/group/words.h \
    lib/link/window.c \
    lib/link/window.h \
    lib/proxy/admission.c \
    lib/proxy/admission.h \
    lib/proxy/answer.c \
    lib/proxy/budget.c \
    lib/proxy/budget.h \
    lib/proxy/connection.c \
    lib/proxy/connection.h \
    lib/proxy/counters.c \
    lib/proxy/counters.h \
    lib/proxy/drain.c \
    lib/proxy/drain.h \
    lib/proxy/instruction.c \
    lib/proxy/lanes.c \
    lib/proxy/lanes.h \
    lib/proxy/instruction.h \
    lib/proxy/internal.h \
    lib/proxy/manager.h \
    lib/proxy/name.c \
    lib/proxy/name.h \
    lib/proxy/observers.c \
    lib/proxy/observers.h \
    lib/proxy/participant_manager.c \
    lib/proxy/proxy.c \
    lib/proxy/proxy.h \
    lib/proxy/registry.c \
    lib/proxy/registry.h \
    lib/proxy/ring.h \
    lib/proxy/round.c \
    lib/proxy/round.h \
    lib/proxy/run.c \
    lib/proxy/session.c \
    lib/proxy/statistics.c \
    lib/proxy/turn.c
endif
libmuster_core_la_SOURCES += \
    lib/callback.c \
    lib/callback.h \
    lib/options.c \
    lib/options.h \
    lib/random.c \
    lib/random.h \
    lib/status.c \
    lib/status.h \
    lib/text.c \
    lib/text.h \
    lib/thread.c \
    lib/thread.h \
    lib/wire/array.c \
    lib/wire/array.h \
    lib/wire/block.c \
    lib/wire/check.c \
    lib/wire/chunk.c \
    lib/wire/copy.c \
    lib/wire/copy.h \
    lib/wire/decode.c \
    lib/wire/decode.h \
    lib/wire/decode_arrays.c \
    lib/wire/encode.c \
    lib/wire/encode_own.c \
    lib/wire/names.c \
    lib/wire/npy.c \
    lib/wire/reader.c \
    lib/wire/reader.h \
    lib/wire/storage.c \
    lib/wire/storage.h \
    lib/wire/values.c \
    lib/wire/wire.h \
    lib/wire/writer.c \
    lib/wire/writer.h
if FILES
libmuster_core_la_SOURCES += \
    lib/file.c \
    lib/file.h \
    lib/float16.h
endif
if LEARNING
libmuster_core_la_SOURCES += \
    lib/array/arithmetic.c \
    lib/array/arithmetic.h \
    lib/learning/base_graph.c \
    lib/learning/base_graph.h \
    lib/learning/graph.c \
    lib/learning/graph.h \
    lib/learning/mean.c \
    lib/learning/mean.h \
    lib/learning/neighbours.h \
    lib/learning/npy_file.c \
    lib/learning/npz.c \
    lib/learning/npz.h \
    lib/learning/privacy/accountant.c \
    lib/learning/privacy/bits.c \
    lib/learning/privacy/bits.h \
    lib/learning/privacy/clip.c \
    lib/learning/privacy/draw.c \
    lib/learning/privacy/grid.h \
    lib/learning/privacy/noise.c \
    lib/learning/privacy/renyi.c \
    lib/learning/privacy/renyi.h \
    lib/learning/privacy/renyi_fixed.c \
    lib/learning/run.c \
    lib/learning/strategy/buffer.c \
    lib/learning/strategy/columns.c \
    lib/learning/strategy/kinds.c \
    lib/learning/strategy/krum.c \
    lib/learning/strategy/means.c \
    lib/learning/strategy/memory.c \
    lib/learning/strategy/memory.h \
    lib/learning/strategy/model.c \
    lib/learning/strategy/model.h \
    lib/learning/strategy/moving.c \
    lib/learning/strategy/moving.h \
    lib/learning/strategy/network.c \
    lib/learning/strategy/network.h \
    lib/learning/strategy/optimizer.c \
    lib/learning/strategy/optimizer.h \
    lib/learning/strategy/parameters.c \
    lib/learning/strategy/private.c \
    lib/learning/strategy/spool.c \
    lib/learning/strategy/spool.h \
    lib/learning/strategy/state.c \
    lib/learning/strategy/strategy.c \
    lib/learning/strategy/strategy.h \
    lib/learning/strategy/whole.c \
    lib/learning/strategy/whole.h \
    lib/learning/topology.c \
    lib/learning/topology.h \
    lib/learning/topology_kinds.c
endif
if RECORD
libmuster_core_la_SOURCES += \
    lib/record/csv.c \
    lib/record/csv.h \
    lib/record/entry.c \
    lib/record/entry.h \
    lib/record/event_file.c \
    lib/record/event_file.h \
    lib/record/histogram.c \
    lib/record/histogram.h \
    lib/record/http.c \
    lib/record/http.h \
    lib/record/json.h \
    lib/record/jsonl.c \
    lib/record/mlflow.c \
    lib/record/outlet.c \
    lib/record/outlet.h \
    lib/record/queue.c \
    lib/record/queue.h \
    lib/record/record.c \
    lib/record/sink.c \
    lib/record/sink.h \
    lib/record/tensorboard.c
endif

if !PARTICIPANT_ONLY
noinst_LTLIBRARIES += libmuster-grpc.la
endif
libmuster_grpc_la_CPPFLAGS = $(AM_CPPFLAGS) $(GRPC_CFLAGS)
libmuster_grpc_la_LIBADD = $(GRPC_LIBRARIES)
libmuster_grpc_la_SOURCES = \
    lib/network/grpc.h \
    lib/network/grpc_address.c \
    lib/network/grpc_calls.c \
    lib/network/grpc_client.c \
    lib/network/grpc_credentials.c \
    lib/network/grpc_flood.c \
    lib/network/grpc_flood.h \
    lib/network/grpc_handshakes.c \
    lib/network/grpc_handshakes.h \
    lib/network/grpc_listener.c \
    lib/network/grpc_listener.h \
    lib/network/grpc_loan.c \
    lib/network/grpc_parting.c \
    lib/network/grpc_cause.c \
    lib/network/grpc_receive.c \
    lib/network/grpc_send.c \
    lib/network/grpc_stream.c \
    lib/network/grpc_stream.h \
    lib/network/grpc_transport.c \
    lib/network/grpc_unfinished.c \
    lib/network/grpc_unfinished.h

libmuster_la_LDFLAGS = $(AM_LDFLAGS) -version-info $(MUSTER_INTERFACE) -no-undefined
libmuster_la_LIBADD = libmuster-core.la libmuster-grpc.la
libmuster_la_SOURCES = lib/network/built_in.c
if PARTICIPANT_ONLY
lib_LTLIBRARIES = libmuster-participant.la
else
lib_LTLIBRARIES = libmuster.la
endif

# Ranks of an MPI world.
if WITH_MPI
libmuster_la_LIBADD += libmuster-mpi.la
noinst_LTLIBRARIES += libmuster-mpi.la
libmuster_mpi_la_CPPFLAGS = $(AM_CPPFLAGS) $(MPI_CFLAGS)
libmuster_mpi_la_LIBADD = $(MPI_LIBS)
libmuster_mpi_la_SOURCES = \
    lib/network/mpi/address.c \
    lib/network/mpi/listener.c \
    lib/network/mpi/mpi.h \
    lib/network/mpi/opening.c \
    lib/network/mpi/owner.c \
    lib/network/mpi/parcel.c \
    lib/network/mpi/stream.c \
    lib/network/mpi/transport.c \
    lib/network/mpi/world.c
endif

# gRPC over HTTP/2 without C-core.
if HTTP2
libmuster_la_LIBADD += libmuster-http2.la
noinst_LTLIBRARIES += libmuster-http2.la
libmuster_http2_la_CPPFLAGS = $(AM_CPPFLAGS) $(HTTP2_CFLAGS)
libmuster_http2_la_LIBADD = $(HTTP2_LIBS)
libmuster_http2_la_SOURCES = \
    lib/network/http2/client.c \
    lib/network/http2/connection.c \
    lib/network/http2/frames.c \
    lib/network/http2/headers.c \
    lib/network/http2/http2.h \
    lib/network/http2/input.c \
    lib/network/http2/intake.h \
    lib/network/http2/lookup.c \
    lib/network/http2/lookup.h \
    lib/network/http2/loop.c \
    lib/network/http2/loop.h \
    lib/network/http2/output.c \
    lib/network/http2/session.c \
    lib/network/http2/stream.c \
    lib/network/http2/tend.c \
    lib/network/http2/tend.h \
    lib/network/http2/tls.h \
    lib/network/http2/tls_context.h \
    lib/network/http2/transport.c
if TLS
libmuster_http2_la_SOURCES += \
    lib/network/http2/sealed.c \
    lib/network/http2/sealed.h \
    lib/network/http2/tls.c \
    lib/network/http2/tls_context.c
else
libmuster_http2_la_SOURCES += lib/network/http2/no_tls.c
endif
if PARTICIPANT_ONLY
libmuster_http2_la_SOURCES += lib/network/http2/client_operations.c
else
libmuster_http2_la_SOURCES += \
    lib/network/http2/call.c \
    lib/network/http2/listener.c \
    lib/network/http2/listener.h \
    lib/network/http2/operations.c \
    lib/network/http2/tls_server.c \
    lib/network/http2/tls_shown.c
endif
endif

# A participant by itself, of the core and that transport.
libmuster_participant_la_LDFLAGS = $(AM_LDFLAGS) -version-info $(MUSTER_INTERFACE) -no-undefined
libmuster_participant_la_LIBADD = libmuster-core.la libmuster-http2.la
libmuster_participant_la_SOURCES =

# Vertical learning, a program's own use of proxies and participants.
if WITH_VERTICAL
musterinclude_HEADERS += include/muster/vertical.h
libmuster_la_LIBADD += libmuster-vertical.la
noinst_LTLIBRARIES += libmuster-vertical.la
libmuster_vertical_la_CPPFLAGS = $(AM_CPPFLAGS) $(VERTICAL_CFLAGS) $(BLAS_CFLAGS)
libmuster_vertical_la_LIBADD = $(VERTICAL_LIBS)
libmuster_vertical_la_SOURCES = \
    lib/learning/vertical/batches.c \
    lib/learning/vertical/batches.h \
    lib/learning/vertical/blas.c \
    lib/learning/vertical/blas.h \
    lib/learning/vertical/columns.c \
    lib/learning/vertical/columns.h \
    lib/learning/vertical/directory.c \
    lib/learning/vertical/directory.h \
    lib/learning/vertical/exchange.h \
    lib/learning/vertical/ids.c \
    lib/learning/vertical/ids.h \
    lib/learning/vertical/labels.c \
    lib/learning/vertical/labels.h \
    lib/learning/vertical/learner.c \
    lib/learning/vertical/learner.h \
    lib/learning/vertical/master.c \
    lib/learning/vertical/master.h \
    lib/learning/vertical/match_message.c \
    lib/learning/vertical/match_message.h \
    lib/learning/vertical/matcher.c \
    lib/learning/vertical/matching.c \
    lib/learning/vertical/matching.h \
    lib/learning/vertical/matrix.h \
    lib/learning/vertical/member.c \
    lib/learning/vertical/member.h \
    lib/learning/vertical/members.c \
    lib/learning/vertical/members.h \
    lib/learning/vertical/metrics.c \
    lib/learning/vertical/model.c \
    lib/learning/vertical/model.h \
    lib/learning/vertical/note.c \
    lib/learning/vertical/note.h \
    lib/learning/vertical/plain_matching.c \
    lib/learning/vertical/points.c \
    lib/learning/vertical/points.h \
    lib/learning/vertical/private_matching.c \
    lib/learning/vertical/private_party.c \
    lib/learning/vertical/private_party.h \
    lib/learning/vertical/settings.c \
    lib/learning/vertical/settings.h \
    lib/learning/vertical/steps.h \
    lib/learning/vertical/table.c \
    lib/learning/vertical/table.h \
    lib/learning/vertical/train.c \
    lib/learning/vertical/updates.c \
    lib/learning/vertical/updates.h \
    lib/learning/vertical/words.h
else
noinst_HEADERS += include/muster/vertical.h
endif

# The monitor, on top of all this. The files of its page become arrays.
page_files = lib/monitor/page/groups.js lib/monitor/page/page.html lib/monitor/page/page.css lib/monitor/page/page.js
EXTRA_DIST += lib/monitor/page/embed $(page_files)
if WITH_MONITOR
musterinclude_HEADERS += include/muster/monitor.h
libmuster_la_LIBADD += libmuster-monitor.la
noinst_LTLIBRARIES += libmuster-monitor.la
CLEANFILES += lib/monitor/page_bytes.h
lib/monitor/page_bytes.h: lib/monitor/page/embed $(page_files) $(CHART_JS)
	$(AM_V_GEN)$(MKDIR_P) lib/monitor && page=$(top_srcdir)/lib/monitor/page && \
	    $$page/embed page_html $$page/page.html page_css $$page/page.css page_js $$page/page.js \
	    groups_js $$page/groups.js \
	    chart_js '$(CHART_JS)' >$@.new && mv $@.new $@
$(libmuster_monitor_la_OBJECTS): lib/monitor/page_bytes.h
libmuster_monitor_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_builddir)/lib/monitor $(MONITOR_CFLAGS)
libmuster_monitor_la_LIBADD = $(MONITOR_LIBS)
libmuster_monitor_la_SOURCES = \
    lib/monitor/access.c \
    lib/monitor/access.h \
    lib/monitor/clock.h \
    lib/monitor/curves.c \
    lib/monitor/curves.h \
    lib/monitor/feed.c \
    lib/monitor/feed.h \
    lib/monitor/http.c \
    lib/monitor/http.h \
    lib/monitor/json.c \
    lib/monitor/json.h \
    lib/monitor/listen.c \
    lib/monitor/listen.h \
    lib/monitor/metrics.c \
    lib/monitor/metrics.h \
    lib/monitor/monitor.c \
    lib/monitor/page.c \
    lib/monitor/page.h \
    lib/monitor/request.c \
    lib/monitor/request.h \
    lib/monitor/sources.c \
    lib/monitor/sources.h \
    lib/monitor/state.c \
    lib/monitor/state.h \
    lib/monitor/written.c \
    lib/monitor/written.h
else
noinst_HEADERS += include/muster/monitor.h
endif
