# Man pages, made of what is there anyway: of the program's own help, and of the comments in the public headers. Awk makes
# them, so they need nothing that the build does not need, and a release archive need not carry them.
EXTRA_DIST += docs/man/command.awk docs/man/header.awk docs/man/pages

if RUN_APPS
man_program = apps/muster/muster$(EXEEXT)
man_program_path = $(abs_top_builddir)/$(man_program)
man_conformance = apps/conformance/muster_conformance$(EXEEXT)
man_conformance_path = $(abs_top_builddir)/$(man_conformance)
endif
man/stamp: docs/man/command.awk docs/man/header.awk docs/man/pages $(musterinclude_HEADERS) $(man_program) $(man_conformance) Makefile
	$(AM_V_GEN)cd $(srcdir) && docs/man/pages '$(abs_top_builddir)/man' '$(PACKAGE_VERSION)' '$(MUSTER_DATE)' \
	    '$(AWK)' '$(man_program_path)' '$(man_conformance_path)' $(musterinclude_HEADERS)
	@echo > $@

all-local: man/stamp

# Which pages there are is known only when they are made.
install-data-local: install-pages
install-pages: man/stamp
	$(MKDIR_P) '$(DESTDIR)$(mandir)/man1' '$(DESTDIR)$(mandir)/man3'
	test ! -e man/man1/muster.1 || $(INSTALL_DATA) man/man1/*.1 '$(DESTDIR)$(mandir)/man1'
	$(INSTALL_DATA) man/man3/*.3 '$(DESTDIR)$(mandir)/man3'

uninstall-local: uninstall-pages
uninstall-pages:
	for page in man/man1/*.1; do rm -f '$(DESTDIR)$(mandir)/man1/'"$${page##*/}"; done
	for page in man/man3/*.3; do rm -f '$(DESTDIR)$(mandir)/man3/'"$${page##*/}"; done

clean-local: clean-pages
clean-pages:
	rm -rf man
.PHONY: install-pages uninstall-pages clean-pages
