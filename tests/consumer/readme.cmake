# The code blocks of the README are the files that the consumer compiles, character for character.
#   cmake -D readme=<README.md> -D source=<this folder> -P readme.cmake
file(READ ${readme} text)
foreach(example cpu_example device_example)
  file(READ ${source}/${example}.cpp code)
  string(FIND "${text}" "```cpp\n${code}```" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "README.md does not show ${example}.cpp as it is")
  endif()
endforeach()
