/* tests/fuzz/fuzz_safetensors.c: libFuzzer entry: whatever the bytes of a file of weights, it is
 * loaded or refused with a reason, and a refused one changes nothing. */
#include "files.h"

enum { PARAMS = 32, STATE = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int64_t dims[] = {2, 3};
    static const DlrtTensor params[] = {{"w", 2, dims, 6, 0, true}, {"b", 0, dims, 1, 16, false}};
    static const DlrtTensor states[] = {{"v", 2, dims, 6, 0, false}};
    const DlrtModel model = {.name = "m",
                             .real_bytes = 4,
                             .max_batch = 1,
                             .nparams = 2,
                             .nstates = 1,
                             .params = params,
                             .states = states,
                             .params_elements = PARAMS,
                             .state_elements = STATE};
    DlrtError error = {0};
    DlrtSession *session = dlrt_session_open(&model, 1, &error);
    if (!session) abort();
    char path[32], before[PARAMS * 4], zero[STATE * 4] = {0};
    memset(dlrt_session_params(session), 0x3f, sizeof before);
    memcpy(before, dlrt_session_params(session), sizeof before);
    int file = fuzz_file(data, size, path);
    int64_t epoch;
    if (!dlrt_load(session, path, &epoch, &error)) {
        if (!error.message[0]) abort();
        if (memcmp(before, dlrt_session_params(session), sizeof before) != 0) abort();
        if (memcmp(zero, dlrt_session_state(session), sizeof zero) != 0) abort();
    }
    close(file);
    dlrt_session_close(session);
    return 0;
}
