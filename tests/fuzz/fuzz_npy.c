/* tests/fuzz/fuzz_npy.c: libFuzzer entry: whatever the bytes of a NumPy array or archive, it is
 * read or refused with a reason, and what was read is in range. */
#include "files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int64_t dims[] = {2, 3};
    const DlrtPort x = {"x", 2, dims, 6, 0, true}, k = {"x", 2, dims, 6, 5, true};
    DlrtModel model = {.name = "m", .real_bytes = 4, .max_batch = 4, .ninputs = 1, .inputs = &x};
    DlrtArgument argument = {.kind = DLRT_STRING, .string = "a"};
    DlrtSource source = {.is_split = true, .reader = "npy", .nargs = 1, .args = &argument};
    DlrtDataSpec spec = {.name = "d", .nsources = 1, .sources = &source};
    char path[32];
    int file = fuzz_file(data, size, path);
    for (int i = 0; i < 2; i++) {
        source.reader = i ? "npz" : "npy";
        model.inputs = &x;
        fuzz_open(&spec, &model, path);
        model.inputs = &k;
        fuzz_open(&spec, &model, path);
    }
    close(file);
    return 0;
}
