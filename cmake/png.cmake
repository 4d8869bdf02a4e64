# Pictures as PNG files: libpng. Without it reading and writing them is an error that says so.
find_package(PNG)
if(PNG_FOUND)
    target_compile_definitions(dlc_runtime PRIVATE DLRT_HAVE_PNG)
    target_link_libraries(dlc_runtime PUBLIC PNG::PNG)
else()
    message(STATUS "libpng was not found: PNG files cannot be read or written (Debian: libpng-dev)")
endif()
