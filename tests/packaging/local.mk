# What is checked of the package as a whole, by scripts.
packaging_tests = \
    tests/packaging/headers.sh \
    tests/packaging/rules.sh \
    tests/packaging/symbols.sh
# These run the programs of the README, whose server makes a mean.
readme_tests = \
    tests/packaging/grown.sh \
    tests/packaging/install.sh \
    tests/packaging/without.sh
EXTRA_DIST += $(packaging_tests) $(readme_tests) tests/packaging/common

if HAVE_TESTS
TESTS += $(packaging_tests)
if LEARNING
TESTS += $(readme_tests)
endif
endif
