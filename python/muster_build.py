"""Makes muster._muster, which reaches everything of the public headers.

The declarations come from the headers of the installed library, as the C compiler sees them, and are compiled against
the same headers: none can be wrong. To build into a folder of one's own: python3 muster_build.py FOLDER.
"""
import os
import re
import shlex
import subprocess
import sys

import cffi

HEADER = "#include <muster/muster.h>\n"

# Calls that wait: each also has a form that runs on another thread, so that Python's main thread hears signals.
WAITS = """
    proxy_run participant_manager_stop participant_manager_free participant_free
    muster_group_join muster_group_send muster_group_receive muster_group_exchange muster_group_exchange_all
    muster_group_fetch muster_group_barrier muster_group_broadcast muster_group_gather muster_group_all_gather
    muster_group_all_reduce muster_group_leave muster_group_free muster_record_close muster_monitor_free
    muster_coordinator_wait muster_coordinator_free
""".split()

# What the library calls and Python answers.
CALLBACKS = """
    extern "Python" {
        enum muster_status muster_python_admit(void *, struct proxy *, char *, size_t);
        void muster_python_manager_event(void *, const struct participant_manager_event *);
        void muster_python_turn_event(void *, const struct participant_manager_event *);
        void muster_python_manager_warning(void *, const char *);
        void muster_python_answered(void *, struct proxy *, enum muster_status, struct muster_message *);
        enum muster_status muster_python_on_answer(void *, size_t, struct proxy *, const struct muster_message *,
                                                   struct muster_error *);
        void muster_python_participant_warning(void *, const char *);
        void muster_python_tick(void *, const struct proxy_round_statistics *, struct proxy *const *, size_t);
        void muster_python_cancelled(void *, struct participant *);
        void muster_python_group_event(void *, const struct muster_group_event *);
        void muster_python_group_warning(void *, const char *);
        void muster_python_record_warning(void *, const char *);
        void muster_python_coordinator_event(void *, const struct muster_coordinator_event *);
    }
"""

JOBS = """
struct muster_job;
bool muster_job_wait(struct muster_job *job, int64_t milliseconds);
int64_t muster_job_end(struct muster_job *job);
struct muster_gate;
struct muster_gate *muster_gate_new(void *handle);
void *muster_gate_handle(void *gate);
void muster_gate_open(void *context, struct participant *participant);
bool muster_gate_wait(struct muster_gate *gate, int64_t milliseconds);
void muster_gate_free(struct muster_gate *gate);
void muster_python_free(void *memory);
void muster_python_keep_memory(void);
"""


def run_path():
    """Has the module find a library that is where the system does not look; LD_LIBRARY_PATH goes before it."""
    folder = "".join(pkg_config("--variable=libdir"))  # in the build tree there is none
    return [f"-Wl,-rpath,{folder}"] if folder and not re.match("(/usr)?/lib", folder) else []


def pkg_config(*arguments):
    command = [os.environ.get("PKG_CONFIG", "pkg-config"), *arguments, "muster"]
    try:
        return shlex.split(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    except (OSError, subprocess.CalledProcessError):
        sys.exit(f"{' '.join(command)}: the library muster was not found: install it, or say in PKG_CONFIG_PATH where"
                 " its muster.pc is")


def preprocess(flags, *more):
    compiler = shlex.split(os.environ.get("CC", "cc"))
    return subprocess.run([*compiler, "-E", *more, *flags, "-xc", "-"], input=HEADER, check=True,
                          stdout=subprocess.PIPE, text=True).stdout


def own_lines(text):
    """The lines that come from a header of the library."""
    own = False
    for line in text.splitlines():
        marker = re.match(r'# \d+ "(.*?)"', line)
        if marker:
            own = "/muster/" in marker[1] and marker[1].endswith(".h")
        elif own:
            yield line


def without_bodies(text):
    """Inline functions, as declarations."""
    result = ""
    while True:
        found = re.search(r"\bstatic inline\b", text)
        if not found:
            return result + text
        result += text[: found.start()]
        opening = text.index("{", found.end())
        result += text[found.end() : opening].rstrip() + ";"
        depth, at = 1, opening + 1
        while depth:
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            at += 1
        text = text[at:]


def constants(flags):
    """Macros that are whole numbers."""
    for name, value in re.findall(r"^#define (\w+) (.+)$", preprocess(flags, "-dM"), re.M):
        if re.match(r"(MUSTER|PARTICIPANT|PROXY)_", name) and re.fullmatch(
            r"[\s()\-<0-9xa-fA-FuUlL]*|\(\(int64_t\)-1\)|UINT32_MAX", value
        ):
            yield f"#define {name} ..."


def declarations(flags):
    text = "\n".join(own_lines(preprocess(flags)))
    text = re.sub(r"__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)", "", text)
    text = without_bodies(text)
    return "\n".join([*constants(flags), text])


def signature(text, name):
    """The result and the parameters of a function, as (type, name)."""
    found = re.search(r"([\w *]+?)\b" + name + r"\s*\(([^;]*)\)\s*;", text)
    parameters = [re.fullmatch(r"(.*?)(\w+)", " ".join(each.split())) for each in found[2].split(",")]
    return " ".join(found[1].split()), [(each[1], each[2]) for each in parameters]


def job(text, name):
    """A function that begins a call on another thread, and writes the job into *begun: its declaration and its code."""
    result, parameters = signature(text, name)
    given = ", ".join([*(kind + each for kind, each in parameters), "struct muster_job **begun"])
    head = f"void muster_begin_{name}({given})"
    fields = " ".join(f"{kind}{each};" for kind, each in parameters)
    call = f"{name}({', '.join('call->' + each for _, each in parameters)})"
    keep = f"{call}; return 0;" if result == "void" else f"return (int64_t){call};"
    values = "".join(f", {each}" for _, each in parameters)
    return head + ";", f"""
struct call_{name} {{ struct muster_job job; {fields} }};
static int64_t do_{name}(struct muster_job *job)
{{
    struct call_{name} *call = (struct call_{name} *)job;
    {keep}
}}
{head}
{{
    struct call_{name} *call = malloc(sizeof(*call));
    if (!call)
        return;
    *call = (struct call_{name}){{{{.run = do_{name}}}{values}}};
    *begun = muster_job_begin(&call->job);
}}
"""


def make():
    flags = pkg_config("--cflags")
    text = declarations(flags)
    folder = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(folder, "muster_jobs.c"), encoding="utf-8") as file:
        source = HEADER + file.read()
    heads = []
    for name in WAITS:
        if re.search(rf"\b{name}\s*\(", text):
            head, code = job(text, name)
            heads.append(head)
            source += code
    ffi = cffi.FFI()
    ffi.cdef(text + JOBS + "\n".join(heads) + CALLBACKS)
    libraries = [*pkg_config("--libs"), *run_path()]
    ffi.set_source("muster._muster", source, extra_compile_args=[*flags, "-std=gnu11"], extra_link_args=libraries,
                   py_limited_api=False)
    return ffi


ffi = make()

if __name__ == "__main__":
    ffi.compile(tmpdir=sys.argv[1] if len(sys.argv) > 1 else ".")
