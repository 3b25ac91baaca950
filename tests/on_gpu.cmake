# Runs one test executable; says so where all went well but tests were left out for want of a GPU.
# ctest lets a match of its expression for skipped tests hide a failure, so the two are told apart
# here. Definitions: test.
execute_process(COMMAND ${test} OUTPUT_VARIABLE output ECHO_OUTPUT_VARIABLE RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${test} ended with ${result}")
endif()
if(output MATCHES "Skipped[\r\n]+no CUDA device")
  message(STATUS "GPU tests were skipped")
endif()
