/* tests/fuzz/fuzz_csv.c: libFuzzer entry: whatever the bytes of a table, it is read or refused with
 * a reason, and what was read is in range. */
#include "files.h"

static void open_all(const DlrtDataSpec *base, const DlrtModel *model, const char *path) {
    static const DlrtColumn text[] = {{.first = 1, .onehot = true}};
    static const DlrtColumn rest[] = {{.name = "b", .last_name = "d"}};
    static const DlrtColumns by_text[] = {{"x", 1, text}}, by_name[] = {{"x", 1, rest}};
    static const DlrtScale scales[] = {{.port = "x", .factor = 1e30, .offset = -3},
                                       {.port = "x", .standardize = true}};
    DlrtDataSpec spec = *base;
    fuzz_open(&spec, model, path);
    spec.percent[DLRT_TRAIN] = 60, spec.percent[DLRT_VALID] = 30, spec.percent[DLRT_TEST] = 10;
    spec.scales = scales;
    spec.nscales = 2;
    for (int missing = DLRT_MISSING_SKIP; missing <= DLRT_MISSING_NUMBER; missing++) {
        spec.missing = (DlrtMissing)missing;
        fuzz_open(&spec, model, path);
    }
    spec.columns = by_text;
    spec.ncolumns = 1;
    fuzz_open(&spec, model, path);
    spec.columns = by_name;
    fuzz_open(&spec, model, path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int64_t dims[] = {3};
    const DlrtPort x = {"x", 1, dims, 3, 0, true}, y = {"y", 0, dims, 1, 0, true},
                   k = {"y", 0, dims, 1, 3, true};
    DlrtModel real = {.name = "m",
                      .real_bytes = 4,
                      .max_batch = 4,
                      .ninputs = 1,
                      .ntargets = 1,
                      .inputs = &x,
                      .targets = &y},
              classes = real;
    classes.targets = &k;
    static const DlrtArgument arguments[] = {
        {.kind = DLRT_STRING, .string = "a.csv"},
        {.name = "separator", .kind = DLRT_STRING, .string = ";"}};
    DlrtSource source = {.is_split = true, .reader = "csv", .nargs = 1, .args = arguments};
    DlrtDataSpec spec = {.name = "d", .nsources = 1, .sources = &source};
    char path[32];
    int file = fuzz_file(data, size, path);
    open_all(&spec, &real, path);
    open_all(&spec, &classes, path);
    source.nargs = 2;
    fuzz_open(&spec, &classes, path);
    const DlrtArgument windows[] = {arguments[0], {.name = "stride", .number = 2}};
    source = (DlrtSource){.is_split = true, .reader = "series", .nargs = 2, .args = windows};
    spec.in_order = true;
    spec.percent[DLRT_TRAIN] = 60, spec.percent[DLRT_TEST] = 40;
    fuzz_open(&spec, &real, path);
    close(file);
    return 0;
}
