# What is checked of the package as a whole, by scripts.
packaging_tests = \
    tests/packaging/headers.sh \
    tests/packaging/install.sh \
    tests/packaging/rules.sh \
    tests/packaging/symbols.sh
dist_check_SCRIPTS += $(packaging_tests)
EXTRA_DIST += tests/packaging/common
TESTS += $(packaging_tests)
