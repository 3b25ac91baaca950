# Installs a build of culoss into an empty folder, then configures, builds and runs the consumer
# against it. Definitions: source, this folder; work, a folder to fill; generator; and either
# build, an existing build of culoss, or shared_from, the source of culoss, which is then built
# first, as a shared library without CUDA.
file(REMOVE_RECURSE ${work})
if(shared_from)
  set(build ${work}/culoss)
  execute_process(
    COMMAND ${CMAKE_COMMAND} -S ${shared_from} -B ${build} -G ${generator} -D CULOSS_CUDA=OFF
            -D CMAKE_BUILD_TYPE=Debug -D BUILD_SHARED_LIBS=ON -D CULOSS_TESTS=OFF -D CULOSS_BENCH=OFF COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND ${CMAKE_COMMAND} --build ${build} COMMAND_ERROR_IS_FATAL ANY)
endif()
execute_process(COMMAND ${CMAKE_COMMAND} --install ${build} --prefix ${work}/prefix
                COMMAND_ERROR_IS_FATAL ANY)
execute_process(
  COMMAND ${CMAKE_COMMAND} -S ${source} -B ${work}/consumer -G ${generator}
          -D CMAKE_PREFIX_PATH=${work}/prefix COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${work}/consumer COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_CTEST_COMMAND} --test-dir ${work}/consumer --output-on-failure
                        --verbose COMMAND_ERROR_IS_FATAL ANY)
