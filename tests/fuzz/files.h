/* tests/fuzz/files.h: what the fuzz entries of the readers share: bytes as a file, and a look at
 * every example of what was read. */
#ifndef DLC_TESTS_FUZZ_FILES_H
#define DLC_TESTS_FUZZ_FILES_H

#define _GNU_SOURCE /* memfd_create */
#include "runtime/dlrt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The path of a file in memory with these bytes; fuzz_file_end removes it. */
static inline int fuzz_file(const uint8_t *data, size_t size, char path[32]) {
    int file = memfd_create("fuzz", 0);
    if (file < 0 || write(file, data, size) != (ssize_t)size) abort();
    snprintf(path, 32, "/proc/self/fd/%d", file);
    return file;
}

/* Everything in range: classes, finite numbers. */
static inline void fuzz_look(const DlrtData *data, const DlrtModel *model) {
    for (int part = 0; part < DLRT_PARTS; part++)
        for (int64_t i = 0; i < dlrt_data_count(data, (DlrtPart)part); i++)
            for (uint32_t p = 0; p < model->ninputs + model->ntargets; p++) {
                const DlrtPort *port =
                    p < model->ninputs ? &model->inputs[p] : &model->targets[p - model->ninputs];
                const void *values = dlrt_data_example(data, (DlrtPart)part, p, i);
                for (int64_t e = 0; e < port->elements; e++) {
                    if (port->classes) {
                        int32_t k = ((const int32_t *)values)[e];
                        if (k < 0 || k >= port->classes) abort();
                    } else {
                        float x = ((const float *)values)[e];
                        if (!(x - x == 0)) abort();
                    }
                }
            }
}

/* Opens the file with each of the specifications. */
static inline void fuzz_open(const DlrtDataSpec *spec, const DlrtModel *model, const char *path) {
    DlrtError error;
    DlrtData *data = dlrt_data_open(spec, model, path, 1, &error);
    if (data)
        fuzz_look(data, model);
    else if (!error.message[0])
        abort(); /* refused without a reason */
    dlrt_data_close(data);
}

#endif
