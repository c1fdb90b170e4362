# The package for Python, as it was built for the tests.
python_tests = \
    tests/python/ddp.py \
    tests/python/endings.py \
    tests/python/examples.py \
    tests/python/flower.py \
    tests/python/groups.py \
    tests/python/learning.py \
    tests/python/memory.py \
    tests/python/misuse.py \
    tests/python/participants.py \
    tests/python/servers.py \
    tests/python/together.py \
    tests/python/typed.py
EXTRA_DIST += $(python_tests) tests/python/common.py tests/python/ddp_peer.py tests/python/peer.py

if HAVE_TESTS
if WITH_PYTHON
TESTS += $(python_tests)
endif
endif
