/* tests/fuzz/fuzz_image.c: libFuzzer entry: whatever the bytes of a picture, it is decoded or
 * refused with a reason. */
#include "files.h"

#include "runtime/private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const ImageWanted wanted[] = {{1, 3, 4}, {3, 3, 4}};
    for (int i = 0; i < 2; i++) {
        DlrtError error = {0};
        unsigned char *pixels = malloc((size_t)(wanted[i].channels * 12));
        Bytes file = {malloc(size + 1), size};
        if (!pixels || !file.data) abort();
        memcpy(file.data, data, size);
        if (!image_decode(&file, "a", &wanted[i], pixels, &error) && !error.message[0]) abort();
        free(file.data);
        free(pixels);
    }
    return 0;
}
