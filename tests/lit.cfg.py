"""The one test runner: lit over all of tests/. DLC_BUILD is the build to test, DLC_TEST_DATA the real data."""
import os

import lit.formats

config.name = "dlc"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".dl", ".test"]
config.excludes = ["Inputs", "corpus"]
config.test_source_root = os.path.dirname(__file__)

root = os.path.dirname(config.test_source_root)
build = os.environ.get("DLC_BUILD", os.path.join(root, "build", "release"))
config.test_exec_root = os.path.join(build, "tests", "output")

tools = "/usr/lib/llvm-22/bin"
config.environment["PATH"] = os.pathsep.join([tools, os.environ.get("PATH", "")])
# A leak in libLLVM's start-up is not ours; a use after free is.
config.environment["ASAN_OPTIONS"] = "detect_leaks=0:abort_on_error=0:exitcode=99"
config.environment["UBSAN_OPTIONS"] = "print_stacktrace=1:halt_on_error=1:exitcode=99"
config.environment["NO_COLOR"] = "1"
config.environment["HOME"] = config.test_exec_root

config.substitutions.append(("%dlc", os.path.join(build, "dlc")))
config.substitutions.append(("%unit", os.path.join(build, "tests", "unit_")))
config.substitutions.append(("%fuzz", os.path.join(build, "tests", "fuzz_")))
config.substitutions.append(("%root", root))
config.substitutions.append(("%build", build))
config.substitutions.append(("%python", "python3"))

data = os.environ.get("DLC_TEST_DATA")
if data and os.path.isdir(data):
    config.available_features.add("data")
    config.environment["DLC_TEST_DATA"] = data
    config.substitutions.append(("%data", data))
if os.environ.get("DLC_FULL") or lit_config.params.get("full"):
    config.available_features.add("slow")
if os.path.basename(build) != "dev":
    config.available_features.add("fast-build")
