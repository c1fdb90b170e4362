# The package for Python, which pip builds against an installed library; here, for those in the tree, against this one.
EXTRA_DIST += python/README.md python/pyproject.toml python/setup.py python/MANIFEST.in
EXTRA_DIST += $(PYTHON_BUILD) $(PYTHON_MODULES)
PYTHON_BUILD = python/muster_build.py python/muster_jobs.c
PYTHON_MODULES = \
    python/muster/__init__.py \
    python/muster/_call.py \
    python/muster/_ddp_checkpoint.py \
    python/muster/_ddp_control.py \
    python/muster/_ddp_group.py \
    python/muster/_ddp_sockets.py \
    python/muster/_errors.py \
    python/muster/_flower_app.py \
    python/muster/_message.py \
    python/muster/_muster.pyi \
    python/muster/ddp.py \
    python/muster/flower.py \
    python/muster/group.py \
    python/muster/learning.py \
    python/muster/log.py \
    python/muster/monitor.py \
    python/muster/participant.py \
    python/muster/py.typed \
    python/muster/proxy.py \
    python/muster/record.py \
    python/muster/round.py \
    python/muster/server.py \
    python/muster/torch.py

if WITH_PYTHON
check_DATA += python/built
CLEANFILES += python/built

# `make python`: what is built is for the tests, and is not installed.
python: python/built

python/built: libmuster.la $(musterinclude_HEADERS) $(PYTHON_BUILD) $(PYTHON_MODULES)
	$(AM_V_GEN)rm -rf python/package && $(MKDIR_P) python/package/muster && \
	for file in $(PYTHON_MODULES); do cp "$(srcdir)/$$file" python/package/muster/ || exit; done && \
	CC='$(CC)' CFLAGS='-O2 $(WERROR_CFLAGS)' PKG_CONFIG='$(PKG_CONFIG)' PKG_CONFIG_PATH='$(abs_top_builddir)' \
	    $(PYTHON3) -B $(srcdir)/python/muster_build.py python/package >python/build.log 2>&1 || \
	    { cat python/build.log; exit 1; }
	@touch $@

endif

clean-local: clean-python
clean-python:
	rm -rf python/package python/build.log
.PHONY: python clean-python
