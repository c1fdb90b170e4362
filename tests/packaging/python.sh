#!/usr/bin/env bash
# The package for Python as its users get it: pip builds it against an installed library, in a fresh virtual environment, and
# it is what its tests say.
# shellcheck source=tests/packaging/common
. "${top_srcdir:?is not set: run this through make check}/tests/packaging/common"

if [[ ! -d $top_builddir/python/package || ! -e $top_builddir/.libs/libmuster.so ]]; then
    echo "the package for Python is not built"
    exit 77
fi

root=$scratch/root
venv=$scratch/venv

# Of what Debian has; pip gets nothing from elsewhere.
installed_by_pip() {
    cp -r "$top_srcdir/python" "$scratch/python" && chmod -R u+w "$scratch/python" &&
        /usr/bin/python3 -m venv --system-site-packages "$venv" &&
        env PKG_CONFIG_PATH="$root$pkgconfigdir" PKG_CONFIG_SYSROOT_DIR="$root" PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 \
            PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
            "$venv/bin/pip" install --quiet --no-index --no-build-isolation "$scratch/python"
}

in_venv() {
    local packages
    packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
    cd "$scratch" && LD_LIBRARY_PATH=$root$libdir python_package=$packages "$venv/bin/python" -B "$@"
}

# Without the library, the message says what to do.
says_what_is_missing() {
    local output
    output=$(cd "$top_srcdir/python" && PKG_CONFIG_LIBDIR=/nowhere /usr/bin/python3 -B muster_build.py "$scratch/none" 2>&1) && return 1
    [[ $output == *"the library muster was not found"* ]] || echo "$output"
}

knows_all_headers() {
    in_venv - "$top_srcdir/debian/libmuster0.symbols" <<'PYTHON'
import re
import sys

import muster

for name in re.findall(r"^ (\w+)@Base", open(sys.argv[1]).read(), re.M):
    getattr(muster.lib, name)
PYTHON
}

top_srcdir=$(realpath "$top_srcdir") top_builddir=$(realpath "$top_builddir")
check "the library is installed" install_into "$root"
check "pip builds and installs the package in a fresh virtual environment" installed_by_pip
check "the version is the library's" [ "$(in_venv -c 'import muster; print(muster.__version__)')" = "$(PKG_CONFIG_PATH=$root$pkgconfigdir pkg-config --modversion muster)" ]
check "all that the headers declare is reached" nothing knows_all_headers
check "it is typed" test -e "$(in_venv -c 'import muster, os; print(os.path.dirname(muster.__file__))')/py.typed"
for file in participants servers; do
    check "tests/python/$file.py passes with it" in_venv "$top_srcdir/tests/python/$file.py"
done
check "without the library, it is said what is missing" nothing says_what_is_missing
exit "$failed"
