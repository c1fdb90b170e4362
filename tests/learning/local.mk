# Learning, from outside: what numpy says of the library's arithmetic.
learning_checks = tests/learning/mixing.py tests/learning/private.py tests/learning/spending.py \
    tests/learning/strategies.py
EXTRA_DIST += $(learning_checks) tests/learning/references.py

if HAVE_TESTS
if LEARNING
TESTS += $(learning_checks)
noinst_PROGRAMS += tests/learning/mixing tests/learning/private tests/learning/spending tests/learning/strategies
tests_learning_mixing_LDADD = libmuster.la
tests_learning_mixing_SOURCES = tests/learning/mixing.c
tests_learning_private_LDADD = libmuster.la
tests_learning_private_SOURCES = tests/learning/private.c
tests_learning_spending_LDADD = libmuster.la
tests_learning_spending_SOURCES = tests/learning/spending.c
tests_learning_strategies_LDADD = libmuster.la
tests_learning_strategies_SOURCES = tests/learning/strategies.c
endif
endif
