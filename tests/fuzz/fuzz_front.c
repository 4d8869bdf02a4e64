/* tests/fuzz/fuzz_front.c: libFuzzer entry: whatever the text, `dlc check` ends, with messages or
 * without, and says nothing of a mistake of ours. */
#include "dlc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Dlc *dlc = dlc_open();
    char *text = malloc(size + 1);
    FILE *nowhere = fopen("/dev/null", "w");
    if (!dlc || !text || !nowhere) abort();
    memcpy(text, data, size);
    text[size] = 0;
    if (dlc_load_text(dlc, "fuzz.dl", text)) dlc_check(dlc);
    dlc_show_messages(dlc, nowhere, true, false);
    fclose(nowhere);
    free(text);
    dlc_close(dlc);
    return 0;
}
