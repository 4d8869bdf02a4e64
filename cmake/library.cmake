# Embeds compiler/std/*.dl as the C file library.c.
file(GLOB LIBRARY_FILES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/compiler/std/*.dl)
set(LIBRARY_SOURCE ${CMAKE_BINARY_DIR}/library.c)
add_custom_command(OUTPUT ${LIBRARY_SOURCE}
    COMMAND ${CMAKE_COMMAND} "-DFILES=${LIBRARY_FILES}" -DOUT=${LIBRARY_SOURCE}
            -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${LIBRARY_FILES} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    VERBATIM)
