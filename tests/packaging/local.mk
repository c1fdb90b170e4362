# What is checked of the package as a whole, by scripts.
packaging_tests = \
    tests/packaging/docs.py \
    tests/packaging/grown.sh \
    tests/packaging/headers.sh \
    tests/packaging/install.sh \
    tests/packaging/lessons.sh \
    tests/packaging/rules.sh \
    tests/packaging/symbols.sh
EXTRA_DIST += $(packaging_tests) tests/packaging/common

if HAVE_TESTS
TESTS += $(packaging_tests)
endif
