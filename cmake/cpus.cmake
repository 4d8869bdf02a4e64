# Writes cpus.h: the processors that this LLVM knows, by architecture, as `llc -mcpu=help` lists them. LLVM's C
# interface cannot be asked; it only complains on stderr and goes on. Without llc the lists are empty, and any name
# is taken.
set(text "/* Made by cmake/cpus.cmake. */\n")
foreach(architecture x86_64 aarch64 riscv64)
    execute_process(COMMAND ${LLVM_TOOLS_DIR}/llc -mtriple=${architecture} -mcpu=help
        INPUT_FILE /dev/null OUTPUT_VARIABLE listed ERROR_VARIABLE listed)
    string(REGEX REPLACE "Available features.*" "" listed "${listed}")
    string(REGEX MATCHALL "\n  [A-Za-z0-9_.-]+ +- " lines "${listed}")
    string(APPEND text "static const char *const cpus_${architecture}[] = {\n")
    foreach(line ${lines})
        string(REGEX MATCH "[A-Za-z0-9_.-]+" name "${line}")
        string(APPEND text "    \"${name}\",\n")
    endforeach()
    string(APPEND text "    0};\n")
endforeach()
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/cpus/cpus.h CONTENT "${text}" @ONLY)
