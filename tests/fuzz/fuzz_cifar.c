/* tests/fuzz/fuzz_cifar.c: libFuzzer entry: whatever the bytes of a file of images, it is read or
 * refused with a reason, and what was read is in range. */
#include "files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int64_t dims[] = {3, 32, 32};
    static const DlrtScale scale = {.port = "x", .standardize = true};
    const DlrtPort x = {"x", 3, dims, 3072, 0, true}, y = {"y", 0, dims, 1, 10, true};
    DlrtModel model = {.name = "m",
                       .real_bytes = 4,
                       .max_batch = 4,
                       .ninputs = 1,
                       .ntargets = 1,
                       .inputs = &x,
                       .targets = &y};
    static const DlrtArgument files[] = {{.kind = DLRT_STRING, .string = "a.bin"}};
    DlrtSource source = {.is_split = true, .reader = "cifar", .nargs = 1, .args = files};
    DlrtDataSpec spec = {.name = "d", .nsources = 1, .sources = &source, .scales = &scale};
    char path[32];
    int file = fuzz_file(data, size, path);
    fuzz_open(&spec, &model, path);
    spec.nscales = 1;
    spec.percent[DLRT_TRAIN] = 60, spec.percent[DLRT_VALID] = 40;
    fuzz_open(&spec, &model, path);
    close(file);
    return 0;
}
