# Doxygen has nothing to say against the public headers, and every function of theirs is documented.
#   cmake -D doxygen=<executable> -D source=<root of the tree> -D work=<folder> -P run.cmake
cmake_policy(VERSION 3.25)
file(REMOVE_RECURSE ${work})
file(MAKE_DIRECTORY ${work})
file(READ ${source}/tests/documentation/Doxyfile settings)
file(WRITE ${work}/Doxyfile "${settings}\nOUTPUT_DIRECTORY = ${work}\n")
execute_process(COMMAND ${doxygen} ${work}/Doxyfile WORKING_DIRECTORY ${source}
                ERROR_VARIABLE warnings RESULT_VARIABLE result)
if(warnings OR NOT result EQUAL 0)
  message(FATAL_ERROR "${doxygen}: ${result}\n${warnings}")
endif()
file(GLOB_RECURSE headers ${source}/include/culoss/*.h ${source}/include/culoss/*.hpp)
file(GLOB xml ${work}/xml/*.xml)
execute_process(COMMAND awk -f ${source}/tests/documentation/check.awk ${headers} ${xml}
                COMMAND_ERROR_IS_FATAL ANY)
