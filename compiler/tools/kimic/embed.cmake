# Writes the text of CheckKernels.mjs as a C++ string, for CMakeLists.txt.
file(READ ${INPUT} text)
file(WRITE ${OUTPUT} "namespace kimic::tool {\nextern const char kCheckKernelsScript[] = R\"script(${text})script\";\n}\n")
