# Pictures as JPEG files: libjpeg. Without it reading them is an error that says so.
find_package(JPEG)
if(JPEG_FOUND)
    target_compile_definitions(dlc_runtime PRIVATE DLRT_HAVE_JPEG)
    target_link_libraries(dlc_runtime PUBLIC JPEG::JPEG)
else()
    message(STATUS "libjpeg was not found: JPEG files cannot be read (Debian: libjpeg-dev)")
endif()
