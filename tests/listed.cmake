# Every test file stands in a list of CMakeLists.txt. Definitions: listed, joined by commas; folder.
string(REPLACE "," ";" listed "${listed}")
file(GLOB files ${folder}/*_test.cpp)
foreach(file IN LISTS files)
  get_filename_component(name ${file} NAME_WE)
  if(NOT name IN_LIST listed)
    message(SEND_ERROR "${name} stands in no list of tests/CMakeLists.txt")
  endif()
endforeach()
