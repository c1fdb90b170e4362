# Once more over the HTTP/2 transport: programs whose addresses have no scheme.
http2_tests = tests/http2/apps.sh tests/http2/chaos.sh tests/http2/groups.sh tests/http2/network.sh tests/http2/vertical.sh
EXTRA_DIST += $(http2_tests) tests/http2/common

if HAVE_TESTS
if HTTP2
TESTS += tests/http2/groups.sh tests/http2/network.sh
if HAVE_APPS
TESTS += tests/http2/apps.sh
endif
if LEARNING
TESTS += tests/http2/chaos.sh
endif
if WITH_VERTICAL
TESTS += tests/http2/vertical.sh
endif
endif
endif
