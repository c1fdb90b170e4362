# What a machine needs beside the program: completion for shells, units for systemd; and what Debian and others make packages of.
if !PARTICIPANT_ONLY
bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = packaging/completion/bash/muster packaging/completion/bash/muster_conformance
zshcompletiondir = $(datadir)/zsh/site-functions
dist_zshcompletion_DATA = packaging/completion/zsh/_muster packaging/completion/zsh/_muster_conformance
fishcompletiondir = $(datadir)/fish/vendor_completions.d
dist_fishcompletion_DATA = packaging/completion/fish/muster.fish packaging/completion/fish/muster_conformance.fish
endif

units = packaging/systemd/muster-server.service packaging/systemd/muster-coordinator.service \
    packaging/systemd/muster-participant@.service
if SYSTEMD_UNITS
systemdsystemunit_DATA = $(units)
endif
EXTRA_DIST += $(units:=.in) packaging/systemd/default/muster-server packaging/systemd/default/muster-coordinator
CLEANFILES += $(units)
# Where programs and documents are is known only to make.
$(units): Makefile $(units:=.in)
	$(AM_V_GEN)$(MKDIR_P) packaging/systemd && \
	    $(SED) -e 's|@bindir[@]|$(bindir)|g' -e 's|@docdir[@]|$(docdir)|g' '$(srcdir)/$@.in' > '$@'

EXTRA_DIST += \
    debian/changelog \
    debian/control \
    debian/copyright \
    debian/libmuster-dev.install \
    debian/libmuster0.install \
    debian/libmuster0.symbols \
    debian/muster.install \
    debian/rules \
    debian/source/format

# Libraries for a participant on another machine: docs/http2.md.
EXTRA_DIST += packaging/arm/sysroot

# For containers: docs/packaging.md says what was checked of it.
EXTRA_DIST += \
    packaging/Dockerfile \
    packaging/Dockerfile.dockerignore \
    packaging/kubernetes/plain/kustomization.yaml \
    packaging/kubernetes/plain/network.yaml \
    packaging/kubernetes/plain/participants.yaml \
    packaging/kubernetes/plain/server.yaml \
    packaging/kubernetes/tls/kustomization.yaml \
    packaging/kubernetes/tls/participants.yaml \
    packaging/kubernetes/tls/server.yaml \
    packaging/kubernetes/tls/service.yaml
