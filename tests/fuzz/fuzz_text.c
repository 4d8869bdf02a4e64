/* tests/fuzz/fuzz_text.c: libFuzzer entry: whatever the bytes of a text, its windows and lines are
 * read or refused with a reason, and their classes are in range. */
#include "files.h"

/* With an argument that is a number, or true. */
static void open_with(const DlrtModel *model, const char *path, const char *reader,
                      DlrtArgument argument) {
    const DlrtArgument arguments[] = {{.kind = DLRT_STRING, .string = "a.txt"}, argument};
    const DlrtSource source = {.is_split = true, .reader = reader, .nargs = 2, .args = arguments};
    DlrtDataSpec spec = {.name = "d", .nsources = 1, .sources = &source, .in_order = true};
    fuzz_open(&spec, model, path);
    spec.percent[DLRT_TRAIN] = 70, spec.percent[DLRT_VALID] = 20, spec.percent[DLRT_TEST] = 10;
    fuzz_open(&spec, model, path);
    spec.in_order = false;
    fuzz_open(&spec, model, path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int64_t dims[] = {6};
    const DlrtPort t = {"t", 1, dims, 6, 300, true}, y = {"y", 1, dims, 6, 300, true},
                   next = {"y", 0, dims, 1, 300, true};
    DlrtModel model = {.name = "m",
                       .real_bytes = 4,
                       .max_batch = 4,
                       .ninputs = 1,
                       .ntargets = 1,
                       .inputs = &t,
                       .targets = &y};
    DlrtArgument stride = {.name = "stride", .kind = DLRT_NUMBER, .number = 1};
    DlrtArgument cut = {.name = "cut", .kind = DLRT_BOOL};
    char path[32];
    int file = fuzz_file(data, size, path);
    for (int i = 0; i < 3; i++, stride.number += 3) open_with(&model, path, "text", stride);
    for (int i = 0; i < 2; i++, cut.boolean = true) open_with(&model, path, "lines", cut);
    model.targets = &next;
    open_with(&model, path, "text", stride);
    close(file);
    return 0;
}
