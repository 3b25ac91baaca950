# The code blocks of the README are the files that the consumer compiles, character for character.
#   cmake -D readme=<README.md> -D source=<this folder> -P readme.cmake
file(READ ${readme} text)
foreach(example cpu_example.cpp device_example.cpp c_example.c)
  file(READ ${source}/${example} code)
  cmake_path(GET example EXTENSION LAST_ONLY extension)
  string(SUBSTRING ${extension} 1 -1 language)
  string(FIND "${text}" "```${language}\n${code}```" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "README.md does not show ${example} as it is")
  endif()
endforeach()
