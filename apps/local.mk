# The program uses muster as any program does: through its public headers. apps/muster has a folder for each of its commands,
# and apps/common what more than one of them uses.
EXTRA_DIST += apps/common/launch apps/muster/node/demo apps/muster/vertical/demo

if HAVE_APPS
apps_cppflags = $(AM_CPPFLAGS) -I$(top_srcdir)/apps $(OPENBLAS_CFLAGS) $(JANSSON_CFLAGS) $(ZLIB_CFLAGS)
apps_libs = apps/libcommon.a libmuster.la $(OPENBLAS_LIBS) $(JANSSON_LIBS) $(ZLIB_LIBS)

noinst_LIBRARIES += apps/libcommon.a
apps_libcommon_a_CPPFLAGS = $(apps_cppflags)
apps_libcommon_a_SOURCES = \
    apps/common/arguments.c \
    apps/common/arguments.h \
    apps/common/child.c \
    apps/common/child.h \
    apps/common/dataset.c \
    apps/common/dataset.h \
    apps/common/dataset_idx.c \
    apps/common/dataset_leaf.c \
    apps/common/dataset_synthetic.c \
    apps/common/log.c \
    apps/common/log.h \
    apps/common/logistic.c \
    apps/common/logistic.h \
    apps/common/monitoring.c \
    apps/common/monitoring.h \
    apps/common/notify.c \
    apps/common/notify.h \
    apps/common/placeholders.c \
    apps/common/placeholders.h \
    apps/common/port.c \
    apps/common/port.h \
    apps/common/signals.c \
    apps/common/signals.h \
    apps/common/terminal.c \
    apps/common/terminal.h \
    apps/common/units.c \
    apps/common/units.h

# The program that is installed.
bin_PROGRAMS += apps/muster/muster
apps_muster_muster_CPPFLAGS = $(apps_cppflags) -I$(top_srcdir)/apps/muster $(YAML_CFLAGS) $(CRYPTO_CFLAGS) $(RECORD_CFLAGS)
apps_muster_muster_LDADD = $(apps_libs) $(YAML_LIBS) $(CRYPTO_LIBS) $(RECORD_LIBS)
apps_muster_muster_SOURCES = \
    apps/muster/coordinator/command.c \
    apps/muster/coordinator/command.h \
    apps/muster/coordinator/coordinator_options.c \
    apps/muster/coordinator/coordinator_options.h \
    apps/muster/coordinator/state.c \
    apps/muster/coordinator/state.h \
    apps/muster/demo/attack.c \
    apps/muster/demo/attack.h \
    apps/muster/demo/baselines.c \
    apps/muster/demo/baselines.h \
    apps/muster/demo/demo.c \
    apps/muster/demo/demo.h \
    apps/muster/demo/demo_options.c \
    apps/muster/demo/demo_options.h \
    apps/muster/demo/export.c \
    apps/muster/demo/export.h \
    apps/muster/demo/federation.c \
    apps/muster/demo/federation.h \
    apps/muster/demo/launch.c \
    apps/muster/demo/launch.h \
    apps/muster/demo/participant.c \
    apps/muster/demo/participant.h \
    apps/muster/demo/participant_options.c \
    apps/muster/demo/participant_options.h \
    apps/muster/experiment/check.c \
    apps/muster/experiment/check.h \
    apps/muster/experiment/decentralized.c \
    apps/muster/experiment/draft.h \
    apps/muster/experiment/experiment.c \
    apps/muster/experiment/experiment.h \
    apps/muster/experiment/federated.c \
    apps/muster/experiment/hosts.c \
    apps/muster/experiment/layout.c \
    apps/muster/experiment/layout.h \
    apps/muster/experiment/layout_check.c \
    apps/muster/experiment/memory.c \
    apps/muster/experiment/memory.h \
    apps/muster/experiment/missing.c \
    apps/muster/experiment/missing.h \
    apps/muster/experiment/mistakes.c \
    apps/muster/experiment/mistakes.h \
    apps/muster/experiment/processes.c \
    apps/muster/experiment/schema.c \
    apps/muster/experiment/schema.h \
    apps/muster/experiment/serving.c \
    apps/muster/experiment/settings_section.c \
    apps/muster/experiment/tree.c \
    apps/muster/experiment/tree.h \
    apps/muster/experiment/values.c \
    apps/muster/experiment/values.h \
    apps/muster/experiment/vertical.c \
    apps/muster/launch/agent.c \
    apps/muster/launch/agent.h \
    apps/muster/launch/channel.c \
    apps/muster/launch/channel.h \
    apps/muster/launch/control.c \
    apps/muster/launch/control.h \
    apps/muster/launch/host.c \
    apps/muster/launch/host.h \
    apps/muster/launch/launch_command.c \
    apps/muster/launch/launch_command.h \
    apps/muster/launch/launcher.c \
    apps/muster/launch/launcher.h \
    apps/muster/launch/list.c \
    apps/muster/launch/list.h \
    apps/muster/launch/logs.c \
    apps/muster/launch/logs.h \
    apps/muster/launch/monitor_client.c \
    apps/muster/launch/monitor_client.h \
    apps/muster/launch/output.c \
    apps/muster/launch/output.h \
    apps/muster/launch/process_start.c \
    apps/muster/launch/process_start.h \
    apps/muster/launch/program_sum.c \
    apps/muster/launch/program_sum.h \
    apps/muster/launch/registry.c \
    apps/muster/launch/registry.h \
    apps/muster/launch/run.c \
    apps/muster/launch/run.h \
    apps/muster/launch/run_directory.c \
    apps/muster/launch/run_directory.h \
    apps/muster/launch/run_files.c \
    apps/muster/launch/run_files.h \
    apps/muster/launch/run_lock.c \
    apps/muster/launch/run_lock.h \
    apps/muster/launch/run_record.c \
    apps/muster/launch/run_record.h \
    apps/muster/launch/start.c \
    apps/muster/launch/start.h \
    apps/muster/launch/status.c \
    apps/muster/launch/status.h \
    apps/muster/launch/stop.c \
    apps/muster/launch/stop.h \
    apps/muster/launch/supervision.c \
    apps/muster/launch/supervision.h \
    apps/muster/launch/supervision_status.c \
    apps/muster/main.c \
    apps/muster/node/command.c \
    apps/muster/node/command.h \
    apps/muster/node/consensus.c \
    apps/muster/node/consensus.h \
    apps/muster/node/evaluation.c \
    apps/muster/node/evaluation.h \
    apps/muster/node/mixture.c \
    apps/muster/node/mixture.h \
    apps/muster/node/model.c \
    apps/muster/node/model.h \
    apps/muster/node/node.c \
    apps/muster/node/node.h \
    apps/muster/node/node_options.c \
    apps/muster/node/node_options.h \
    apps/muster/node/node_table.c \
    apps/muster/node/node_table.h \
    apps/muster/node/ranks.c \
    apps/muster/node/ranks.h \
    apps/muster/node/recording.c \
    apps/muster/node/recording.h \
    apps/muster/node/saving.c \
    apps/muster/node/saving.h \
    apps/muster/node/state.c \
    apps/muster/node/state.h \
    apps/muster/node/taking.c \
    apps/muster/node/taking.h \
    apps/muster/node/training.c \
    apps/muster/node/training.h \
    apps/muster/orchestrate/command.c \
    apps/muster/orchestrate/command.h \
    apps/muster/orchestrate/crew.c \
    apps/muster/orchestrate/crew.h \
    apps/muster/orchestrate/crew_display.c \
    apps/muster/orchestrate/crew_display.h \
    apps/muster/orchestrate/local.c \
    apps/muster/orchestrate/local.h \
    apps/muster/orchestrate/machine.c \
    apps/muster/orchestrate/machine.h \
    apps/muster/orchestrate/memory.c \
    apps/muster/orchestrate/memory.h \
    apps/muster/orchestrate/orchestrate.c \
    apps/muster/orchestrate/orchestrate.h \
    apps/muster/orchestrate/orchestrate_options.c \
    apps/muster/orchestrate/orchestrate_options.h \
    apps/muster/orchestrate/orders.c \
    apps/muster/orchestrate/orders.h \
    apps/muster/orchestrate/outputs.c \
    apps/muster/orchestrate/outputs.h \
    apps/muster/orchestrate/places.c \
    apps/muster/orchestrate/places.h \
    apps/muster/server/answers.c \
    apps/muster/server/answers.h \
    apps/muster/server/asynchronous.c \
    apps/muster/server/asynchronous.h \
    apps/muster/server/attendance.c \
    apps/muster/server/attendance.h \
    apps/muster/server/average.c \
    apps/muster/server/average.h \
    apps/muster/server/checkpoint.c \
    apps/muster/server/checkpoint.h \
    apps/muster/server/command.c \
    apps/muster/server/command.h \
    apps/muster/server/display.c \
    apps/muster/server/display.h \
    apps/muster/server/evaluation.c \
    apps/muster/server/evaluation.h \
    apps/muster/server/failures.c \
    apps/muster/server/failures.h \
    apps/muster/server/first_model.c \
    apps/muster/server/first_model.h \
    apps/muster/server/instructions.c \
    apps/muster/server/instructions.h \
    apps/muster/server/journal.c \
    apps/muster/server/journal.h \
    apps/muster/server/metrics.c \
    apps/muster/server/metrics.h \
    apps/muster/server/model.c \
    apps/muster/server/model.h \
    apps/muster/server/privacy.c \
    apps/muster/server/privacy.h \
    apps/muster/server/recording.c \
    apps/muster/server/recording.h \
    apps/muster/server/rounds.c \
    apps/muster/server/rounds.h \
    apps/muster/server/selection.c \
    apps/muster/server/selection.h \
    apps/muster/server/server.c \
    apps/muster/server/server.h \
    apps/muster/server/state.c \
    apps/muster/server/state.h \
    apps/muster/server/stopping.c \
    apps/muster/server/stopping.h \
    apps/muster/server/testing.c \
    apps/muster/server/testing.h \
    apps/muster/server/training.c \
    apps/muster/server/training.h \
    apps/muster/server/versions.c \
    apps/muster/server/versions.h \
    apps/muster/server/workers.c \
    apps/muster/server/workers.h \
    apps/muster/settings/arguments.c \
    apps/muster/settings/arguments.h \
    apps/muster/settings/configuration.c \
    apps/muster/settings/configuration.h \
    apps/muster/settings/kind.c \
    apps/muster/settings/kind.h \
    apps/muster/settings/kinds.c \
    apps/muster/settings/nearest.c \
    apps/muster/settings/nearest.h \
    apps/muster/settings/privacy_settings.c \
    apps/muster/settings/privacy_settings.h \
    apps/muster/settings/rows.h \
    apps/muster/settings/server_help.c \
    apps/muster/settings/server_help.h \
    apps/muster/settings/server_table.c \
    apps/muster/settings/server_table.h \
    apps/muster/settings/setting.c \
    apps/muster/settings/setting.h \
    apps/muster/settings/settings.c \
    apps/muster/settings/settings.h \
    apps/muster/settings/training_settings.c \
    apps/muster/settings/training_settings.h \
    apps/muster/settings/written_out.c \
    apps/muster/settings/written_out.h \
    apps/muster/settings/yaml_text.c \
    apps/muster/settings/yaml_text.h

if HAVE_VERTICAL_APPS
apps_muster_muster_CPPFLAGS += -DHAVE_VERTICAL_APPS=1
apps_muster_muster_LDADD += $(CSV_LIBS)
apps_muster_muster_SOURCES += \
    apps/muster/vertical/central.c \
    apps/muster/vertical/central.h \
    apps/muster/vertical/command.c \
    apps/muster/vertical/command.h \
    apps/muster/vertical/master_command.c \
    apps/muster/vertical/master_options.c \
    apps/muster/vertical/master_options.h \
    apps/muster/vertical/master_table.c \
    apps/muster/vertical/master_table.h \
    apps/muster/vertical/member.c \
    apps/muster/vertical/member.h \
    apps/muster/vertical/member_command.c \
    apps/muster/vertical/member_options.c \
    apps/muster/vertical/options.c \
    apps/muster/vertical/options.h \
    apps/muster/vertical/recording.c \
    apps/muster/vertical/recording.h \
    apps/muster/vertical/state.c \
    apps/muster/vertical/state.h \
    apps/muster/vertical/table.c \
    apps/muster/vertical/table.h \
    apps/muster/vertical/table_csv.c \
    apps/muster/vertical/table_synthetic.c \
    apps/muster/vertical/threads.c \
    apps/muster/vertical/threads.h \
    apps/muster/vertical/training.c \
    apps/muster/vertical/training.h
endif

# The program that judges participants and servers of others. It stands on the transports and the messages, not on what is above
# them in the library, and so it is made of the library's parts.
bin_PROGRAMS += apps/conformance/muster_conformance
apps_conformance_muster_conformance_CPPFLAGS = $(apps_cppflags) $(PROTOBUF_C_CFLAGS)
apps_conformance_muster_conformance_LDADD = apps/libcommon.a libmuster-grpc.la libmuster-core.la $(PROTOBUF_C_LIBS) $(JANSSON_LIBS) $(ZLIB_LIBS)
apps_conformance_muster_conformance_SOURCES = \
    apps/conformance/checks.c \
    apps/conformance/checks.h \
    apps/conformance/command_line.c \
    apps/conformance/command_line.h \
    apps/conformance/guest.c \
    apps/conformance/guest.h \
    apps/conformance/host.c \
    apps/conformance/host.h \
    apps/conformance/inbox.c \
    apps/conformance/inbox.h \
    apps/conformance/judge.c \
    apps/conformance/judge_chunk.c \
    apps/conformance/look.c \
    apps/conformance/look.h \
    apps/conformance/main.c \
    apps/conformance/model.c \
    apps/conformance/model.h \
    apps/conformance/options.h \
    apps/conformance/scenes.h \
    apps/conformance/scenes_both.c \
    apps/conformance/scenes_chunks.c \
    apps/conformance/scenes_full.c \
    apps/conformance/scenes_original.c \
    apps/conformance/scenes_server.c \
    apps/conformance/transports.c \
    apps/conformance/visit.c \
    apps/conformance/visit.h \
    apps/conformance/visit_judge.c
$(apps_conformance_muster_conformance_OBJECTS): proto/muster.pb-c.h
endif
