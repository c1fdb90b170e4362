# The programs use muster as any program does: through its public headers. apps/common is what they share, apps/muster
# the program with commands for everything, apps/decentralized a node of a group, apps/vertical a master with labels, and its
# members, which have columns.
EXTRA_DIST += apps/common/launch apps/decentralized/demo apps/vertical/demo

if HAVE_APPS
noinst_PROGRAMS += apps/decentralized/decentralized

apps_cppflags = $(AM_CPPFLAGS) -I$(top_srcdir)/apps $(OPENBLAS_CFLAGS) $(JANSSON_CFLAGS) $(ZLIB_CFLAGS)
# Never installed, and so linked without libtool's wrapper scripts: thirty participants start in no time.
apps_ldflags = $(AM_LDFLAGS) -no-install
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
    apps/common/port.c \
    apps/common/port.h \
    apps/common/signals.c \
    apps/common/signals.h \
    apps/common/terminal.c \
    apps/common/terminal.h \
    apps/common/units.c \
    apps/common/units.h

apps_decentralized_decentralized_CPPFLAGS = $(apps_cppflags)
apps_decentralized_decentralized_LDFLAGS = $(apps_ldflags)
apps_decentralized_decentralized_LDADD = $(apps_libs)
apps_decentralized_decentralized_SOURCES = \
    apps/decentralized/consensus.c \
    apps/decentralized/consensus.h \
    apps/decentralized/decentralized.c \
    apps/decentralized/evaluation.c \
    apps/decentralized/evaluation.h \
    apps/decentralized/mixture.c \
    apps/decentralized/mixture.h \
    apps/decentralized/model.c \
    apps/decentralized/model.h \
    apps/decentralized/node.c \
    apps/decentralized/node.h \
    apps/decentralized/node_options.c \
    apps/decentralized/node_options.h \
    apps/decentralized/recording.c \
    apps/decentralized/recording.h \
    apps/decentralized/saving.c \
    apps/decentralized/saving.h \
    apps/decentralized/settings.c \
    apps/decentralized/settings.h \
    apps/decentralized/state.c \
    apps/decentralized/state.h \
    apps/decentralized/taking.c \
    apps/decentralized/taking.h \
    apps/decentralized/training.c \
    apps/decentralized/training.h

# The program that is installed.
bin_PROGRAMS += apps/muster/muster
apps_muster_muster_CPPFLAGS = $(apps_cppflags) -I$(top_srcdir)/apps/muster $(YAML_CFLAGS)
apps_muster_muster_LDADD = $(apps_libs) $(YAML_LIBS)
apps_muster_muster_SOURCES = \
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
    apps/muster/experiment/experiment.c \
    apps/muster/experiment/experiment.h \
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
    apps/muster/launch/output.c \
    apps/muster/launch/output.h \
    apps/muster/launch/program_sum.c \
    apps/muster/launch/program_sum.h \
    apps/muster/launch/registry.c \
    apps/muster/launch/registry.h \
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
    apps/muster/launch/supervision.c \
    apps/muster/launch/supervision.h \
    apps/muster/main.c \
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
    apps/muster/settings/configuration.c \
    apps/muster/settings/configuration.h \
    apps/muster/settings/nearest.c \
    apps/muster/settings/nearest.h \
    apps/muster/settings/privacy_settings.c \
    apps/muster/settings/privacy_settings.h \
    apps/muster/settings/server_arguments.c \
    apps/muster/settings/server_arguments.h \
    apps/muster/settings/settings.c \
    apps/muster/settings/settings.h \
    apps/muster/settings/table.c \
    apps/muster/settings/table.h \
    apps/muster/settings/training_settings.c \
    apps/muster/settings/training_settings.h \
    apps/muster/settings/written_out.c \
    apps/muster/settings/written_out.h \
    apps/muster/settings/yaml_text.c \
    apps/muster/settings/yaml_text.h

if HAVE_VERTICAL_APPS
noinst_PROGRAMS += apps/vertical/vertical_master apps/vertical/vertical_member

vertical_sources = \
    apps/vertical/member.c \
    apps/vertical/member.h \
    apps/vertical/options.c \
    apps/vertical/options.h \
    apps/vertical/table.c \
    apps/vertical/table.h \
    apps/vertical/table_csv.c \
    apps/vertical/table_synthetic.c

apps_vertical_vertical_master_CPPFLAGS = $(apps_cppflags)
apps_vertical_vertical_master_LDFLAGS = $(apps_ldflags)
apps_vertical_vertical_master_LDADD = $(apps_libs) $(CSV_LIBS)
apps_vertical_vertical_master_SOURCES = \
    $(vertical_sources) \
    apps/vertical/central.c \
    apps/vertical/central.h \
    apps/vertical/master_options.c \
    apps/vertical/master_options.h \
    apps/vertical/recording.c \
    apps/vertical/recording.h \
    apps/vertical/state.c \
    apps/vertical/state.h \
    apps/vertical/threads.c \
    apps/vertical/threads.h \
    apps/vertical/training.c \
    apps/vertical/training.h \
    apps/vertical/vertical_master.c

apps_vertical_vertical_member_CPPFLAGS = $(apps_cppflags)
apps_vertical_vertical_member_LDFLAGS = $(apps_ldflags)
apps_vertical_vertical_member_LDADD = $(apps_libs) $(CSV_LIBS)
apps_vertical_vertical_member_SOURCES = \
    $(vertical_sources) \
    apps/vertical/vertical_member.c
endif
endif
