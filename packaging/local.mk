# What a machine needs beside the program: completion for shells, and units for systemd. Debian's package is made of debian/.
bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = packaging/completion/bash/muster
zshcompletiondir = $(datadir)/zsh/site-functions
dist_zshcompletion_DATA = packaging/completion/zsh/_muster
fishcompletiondir = $(datadir)/fish/vendor_completions.d
dist_fishcompletion_DATA = packaging/completion/fish/muster.fish

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
