# How kimic's libraries and tests are declared, in one place.
include_guard()

# The bits of a result may not depend on the compiler: no fused multiply-add, no fast-math.
add_compile_options(-Wall -Wextra -Wno-unused-parameter -ffp-contract=off)
include_directories(${PROJECT_SOURCE_DIR})
if(KIMIC_SANITIZE)
  # vptr needs the RTTI that the core libraries do without.
  add_compile_options(-fsanitize=${KIMIC_SANITIZE} -fno-sanitize=vptr -fno-sanitize-recover=all -fno-omit-frame-pointer -g)
  add_link_options(-fsanitize=${KIMIC_SANITIZE})
endif()

if(KIMIC_FUZZERS)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# kimic_library(NAME sources... [LINK libraries...]): a static library; without sources, an interface library.
function(kimic_library name)
  cmake_parse_arguments(arg "" "" "LINK" ${ARGN})
  if(arg_UNPARSED_ARGUMENTS)
    add_library(${name} STATIC ${arg_UNPARSED_ARGUMENTS})
    target_link_libraries(${name} PUBLIC ${arg_LINK})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE ${arg_LINK})
  endif()
endfunction()

# kimic_core_library: the same, for formats/ and runtime/, which build without exceptions and RTTI.
function(kimic_core_library name)
  kimic_library(${name} ${ARGN})
  get_target_property(type ${name} TYPE)
  if(NOT type STREQUAL "INTERFACE_LIBRARY")
    target_compile_options(${name} PRIVATE -fno-exceptions -fno-rtti)
  endif()
endfunction()

# kimic_sources_id(OUTPUT FUNCTION HEADER folders...): a source file that defines `const char *FUNCTION()`, declared in
# HEADER, as the SHA-256 of the sources in the folders: the identity of a compiler, for the keys of what it makes.
function(kimic_sources_id output function header)
  set(globs)
  foreach(folder ${ARGN})
    foreach(suffix cpp h td def)
      list(APPEND globs ${PROJECT_SOURCE_DIR}/${folder}/*.${suffix})
    endforeach()
  endforeach()
  file(GLOB sources CONFIGURE_DEPENDS ${globs})
  string(REPLACE ";" "," list "${sources}")
  add_custom_command(OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DFILES=${list} -DOUTPUT=${output} -DVERSION=${PROJECT_VERSION} -DFUNCTION=${function}
            -DHEADER=${header} -P ${PROJECT_SOURCE_DIR}/cmake/SourcesId.cmake
    DEPENDS ${sources} ${PROJECT_SOURCE_DIR}/cmake/SourcesId.cmake VERBATIM)
endfunction()

# kimic_unit_test(NAME sources... [LINK libraries...]): a GoogleTest program, one ctest entry.
function(kimic_unit_test name)
  cmake_parse_arguments(arg "" "" "LINK" ${ARGN})
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE ${arg_LINK} GTest::gmock GTest::gtest_main)
  add_test(NAME unit.${name} COMMAND ${name})
endfunction()

# kimic_cost_test(NAME LIMIT [--in FUNCTION] PROGRAM arguments...): a ctest entry that counts the program's instructions
# under valgrind, if there is one, and fails if they are more.
find_program(KIMIC_VALGRIND valgrind)
function(kimic_cost_test name limit)
  if(KIMIC_VALGRIND AND NOT KIMIC_SANITIZE)
    add_test(NAME ${name} COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tests/support/check_cost.py ${KIMIC_VALGRIND}
                                  ${limit} ${ARGN})
    set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77)
  endif()
endfunction()
