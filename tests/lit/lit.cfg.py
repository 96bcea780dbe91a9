# How lit runs the compiler's IR tests: every .mlir file under this folder, with the built tools on the path.
import os

import lit.formats

config.name = "kimic"
config.test_format = lit.formats.ShTest(execute_external=True)
config.suffixes = [".mlir"]
config.excludes = ["Inputs"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = config.kimic_tests_binary_dir
config.environment["PATH"] = os.pathsep.join(
    [config.kimic_tools_dir, config.llvm_tools_dir, os.environ["PATH"]])
