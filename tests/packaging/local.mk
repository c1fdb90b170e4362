# What is checked of the package as a whole, by scripts.
packaging_tests = \
    tests/packaging/arm.sh \
    tests/packaging/completion.py \
    tests/packaging/docs.py \
    tests/packaging/headers.sh \
    tests/packaging/man.sh \
    tests/packaging/manifests.py \
    tests/packaging/python.sh \
    tests/packaging/rules.sh \
    tests/packaging/symbols.sh \
    tests/packaging/units.sh
# These run programs that make a mean: those of the README and the examples.
learning_tests = \
    tests/packaging/grown.sh \
    tests/packaging/install.sh \
    tests/packaging/lessons.sh \
    tests/packaging/without.sh
# A participant without gRPC, with servers of both transports.
http2_packaging_tests = tests/packaging/participant.sh
EXTRA_DIST += $(packaging_tests) $(learning_tests) $(http2_packaging_tests) tests/packaging/alone tests/packaging/common \
    tests/arm/participant.c tests/arm/server.c

if HAVE_TESTS
TESTS += $(packaging_tests)
if LEARNING
TESTS += $(learning_tests)
if HTTP2
TESTS += $(http2_packaging_tests)
endif
endif
endif
