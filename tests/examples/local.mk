# The FedAvg pair, from outside: its data, its answers to mistakes, and its training.
example_tests = \
    tests/examples/answers.py \
    tests/examples/data.py \
    tests/examples/original.py \
    tests/examples/restarting.py \
    tests/examples/strangers.py \
    tests/examples/training.py
EXTRA_DIST += $(example_tests) tests/examples/support.py

if HAVE_TESTS
if HAVE_EXAMPLES
TESTS += $(example_tests)
endif
endif
